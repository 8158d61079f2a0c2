"""The generated configuration, word for word where it matters."""

from pathlib import PurePosixPath

import pytest

from storage.share import accesslog, nfs, samba
from storage.share.access import Shared
from storage.share.settings import ShareSettings


def shared(path: str = "/srv/rokubox/recordings", **settings) -> Shared:
    return Shared(recordings=PurePosixPath(path), group="rokubox", group_id=997, settings=ShareSettings(**settings))


def sections(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            current = found.setdefault(line.strip("[]"), {})
        elif line.startswith("\t"):
            key, _, value = line.strip().partition(" = ")
            assert key not in current
            current[key] = value
        else:
            assert not line or line.startswith("# ")
    return found


def test_samba_serves_recordings_alone_and_read_only() -> None:
    found = sections(samba.configuration(shared(name="rec", readers=("@qa", "tanaka"), networks=("192.0.2.0/24",))))
    assert list(found) == ["global", "rec"]
    share = found["rec"]
    assert (share["path"], share["read only"], share["guest ok"]) == ("/srv/rokubox/recordings", "yes", "no")
    assert (share["valid users"], share["force group"]) == ("@qa tanaka", "rokubox")
    assert (share["follow symlinks"], share["wide links"], share["veto files"]) == ("no", "no", "/.*/")
    assert found["global"]["unix charset"] == "UTF-8"
    assert (found["global"]["hosts allow"], found["global"]["hosts deny"]) == ("192.0.2.0/24", "ALL")
    assert found["global"]["map to guest"] == "Never"


def test_samba_without_networks_names_none() -> None:
    assert not {"hosts allow", "hosts deny"} & sections(samba.configuration(shared()))["global"].keys()


def test_the_access_log_is_a_record_of_its_own() -> None:
    share = sections(samba.configuration(shared()))["recordings"]
    assert share["vfs objects"] == "full_audit"
    assert "create_file" in share["full_audit:success"]
    assert share["full_audit:facility"] == "local5"
    kept, *_, stopped = accesslog.rsyslog().splitlines()[1:]
    assert kept.startswith("local5.* action(")
    assert 'fileCreateMode="0640"' in kept
    assert stopped == "local5.* stop"
    assert "\tmaxage 30\n" in accesslog.logrotate(ShareSettings(log_keep_days=30))


def test_nfs_reads_as_nobody() -> None:
    options = "(ro,all_squash,anonuid=65534,anongid=997,subtree_check,sec=sys)"
    text = nfs.exports(shared(networks=("192.0.2.0/24", "2001:db8::/32")))
    assert text.splitlines()[1] == f"/srv/rokubox/recordings 192.0.2.0/24{options} 2001:db8::/32{options}"


@pytest.mark.parametrize(("path", "written"), [("/a b", r"/a\040b"), ('/a"#\\', r"/a\042\043\134"), ("/録音", "/録音")])
def test_odd_paths_in_exports(path: str, written: str) -> None:
    assert nfs.exports(shared(path, networks=("192.0.2.1",))).splitlines()[1].partition(" ")[0] == written
