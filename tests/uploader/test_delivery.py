"""From a finished recording to the receipt in the ledger, with both daemons as processes."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from appliance.alarms.kind import AlarmName
from appliance.alarms.rules import delivery
from storage.archive import Archive
from storage.ledger.entries import Erasure
from storage.ledger.view import LedgerView
from storage.vocabulary import Form
from tests.appliance.test_archivist import hold
from tests.storage.retention.archives import call_id, carried_out, make, owned
from tests.uploader.daemons import configured, daemon, delivering, receipted, receipts, status, until
from tests.uploader.deliveries import hashes

ROKUBOX = Path(sys.executable).with_name("rokubox")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


def rokubox(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROKUBOX, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_delivered_proved_and_on_the_record(root: Path, there: Path, tmp_path: Path) -> None:
    make(root, 4, parts=2)
    config = configured(tmp_path, f'name = "hq"\nurl = "{there.as_uri()}"')
    with delivering(root, config) as upload:
        until(lambda: len(receipted(root)) == 8, root)
        upload.terminate()
        assert upload.wait(20) == 0
    kept = {path: found for path, found in hashes(root / "recordings").items() if path.endswith(".zip")}
    assert hashes(there) == kept
    assert {part.sha256 for one in receipts(root) for part in one.parts} == set(kept.values())
    assert {(one.target, one.address, one.proof, one.who) for one in receipts(root)} == {
        ("hq", there.as_uri(), "read_back", "rokubox-upload")
    }
    told = status(root)
    assert told is not None
    assert [(one.name, one.waiting, one.delivered, one.overdue) for one in told.targets] == [("hq", 0, 8, False)]
    assert rokubox("verify", "--archive", root).returncode == 0


@pytest.mark.thorough
def test_the_zip_form_of_what_is_stored_otherwise(root: Path, there: Path, tmp_path: Path) -> None:
    make(root, 1, parts=1, form=Form.WAV)
    config = configured(tmp_path, f'name = "hq"\nurl = "{there.as_uri()}"')
    with delivering(root, config):
        until(lambda: receipted(root), root)
    [bundle] = there.rglob("*.zip")
    [wav] = (root / "recordings").rglob("*.wav")
    with zipfile.ZipFile(bundle) as opened:
        assert opened.testzip() is None
        assert opened.read("audio.wav") == wav.read_bytes()
        assert opened.read("call.json") == wav.with_suffix(".json").read_bytes()
    assert bundle.stem == wav.stem


def test_erased_here_when_every_target_has_it(root: Path, there: Path, tmp_path: Path) -> None:
    """Not before, and not what a legal hold names."""
    make(root, 3, parts=1)
    with owned(root) as archivist:
        carried_out(archivist, hold(2))
    away = tmp_path / "away"
    config = configured(
        tmp_path,
        f'name = "hq"\nurl = "{there.as_uri()}"',
        f'name = "dr"\nurl = "{away.as_uri()}"',
        names='"hq", "dr"',
        delivery='then = "delete"',
    )
    with delivering(root, config):
        until(lambda: len(receipted(root)) == 3, root)
        assert len(list((root / "recordings").rglob("*.zip"))) == 3
        words = ("erase", call_id(0)[:12], "--yes", "--why", "a test", "--certificate", f"{root}-erased")
        asked = rokubox(*words, "--archive", root, "--config", config)
        assert "pending" in asked.stdout + asked.stderr
        away.mkdir()
        assert rokubox("uploads", "--archive", root, "--config", config, "--retry", "dr").returncode == 0
        until(lambda: len(list((root / "recordings").rglob("*.zip"))) == 1, root)
    [left] = (root / "recordings").rglob("*.zip")
    assert call_id(2)[:10] in left.name
    assert hashes(there) == hashes(away)
    assert len(hashes(there)) == 3
    entries = [line.entry for line in LedgerView(Archive(root).ledger).lines()]
    erased = [call for entry in entries if isinstance(entry, Erasure) for call in entry.call_ids]
    assert sorted(erased) == sorted((call_id(0), call_id(1)))
    first = next(at for at, entry in enumerate(entries) if isinstance(entry, Erasure))
    assert len([entry for entry in entries[:first] if getattr(entry, "kind", "") == "delivery"]) >= 2


def given_up_at_once(root: Path, there: Path, tmp_path: Path, *, policy: str) -> list[str]:
    """Three calls, one of them held, to a target that is away for as long as they are tried; the ledger's erasures."""
    make(root, 3, parts=1)
    with owned(root) as archivist:
        carried_out(archivist, hold(2))
    there.rmdir()
    config = configured(tmp_path, f'name = "hq"\nurl = "{there.as_uri()}"', delivery=f"give_up_days = 1e-6\n{policy}")
    with daemon("assemble", root, config):
        with daemon("upload", root, config) as upload:
            until(lambda: (told := status(root)) and told.targets[0].error, root)
            upload.terminate()
            upload.wait(20)
        with daemon("upload", root, config):  # which looks at once whether there is something to give up
            until(lambda: sum(len(one.parts) for one in receipts(root)) == 3, root)
            if 'on_give_up = "delete"' in policy:
                until(lambda: (told := status(root)) and told.targets[0].lost == 2, root)
            until(lambda: (told := status(root)) and told.targets[0].given_up + told.targets[0].lost == 3, root)
    assert {one.outcome for one in receipts(root)} == {"given_up"}
    entries = [line.entry for line in LedgerView(Archive(root).ledger).lines()]
    return sorted(call for entry in entries if isinstance(entry, Erasure) for call in entry.call_ids)


def test_giving_up_erases_nothing(root: Path, there: Path, tmp_path: Path) -> None:
    """Not even what would be erased when it had been delivered."""
    assert given_up_at_once(root, there, tmp_path, policy='then = "delete"') == []
    assert len(list((root / "recordings").rglob("*.zip"))) == 3
    told = status(root)
    assert told is not None
    [alarm] = delivery.conditions(told)
    assert (alarm.key.name, alarm.facts["recordings"]) == (AlarmName.UPLOAD_GIVEN_UP, 3)
    assert "alarm: 3 deliveries were given up" in (tmp_path / "upload.log").read_text()


def test_giving_up_erases_where_the_policy_says_so(root: Path, there: Path, tmp_path: Path) -> None:
    """By the archive's owner, with a line in the ledger and an alarm that outlives them; a legal hold goes first."""
    erased = given_up_at_once(root, there, tmp_path, policy='then = "delete"\non_give_up = "delete"')
    assert erased == sorted((call_id(0), call_id(1)))
    [left] = (root / "recordings").rglob("*.zip")
    assert call_id(2)[:10] in left.name
    told = status(root)
    assert told is not None
    [alarm] = delivery.conditions(told)
    assert (alarm.key.name, alarm.facts["recordings"], alarm.facts["erased"]) == (AlarmName.UPLOAD_GIVEN_UP, 1, 2)
    assert rokubox("verify", "--archive", root).returncode == 0


@pytest.mark.thorough
def test_what_waits_is_not_evicted(root: Path, tmp_path: Path) -> None:
    """Neither what is in the queue nor what the uploader has not seen; what is delivered may go."""
    make(root, 3, parts=1)
    away = tmp_path / "away"
    config = configured(tmp_path, f'name = "hq"\nurl = "{away.as_uri()}"')

    def spared() -> str:
        return rokubox("retention", "--dry-run", "--room", 1 << 30, "--archive", root, "--config", config).stdout

    assert "not delivered yet" in spared()
    with delivering(root, config):
        until(lambda: (told := status(root)) and told.targets[0].error, root)
        assert "not delivered yet" in spared()
        away.mkdir()
        rokubox("uploads", "--archive", root, "--retry")
        until(lambda: len(receipted(root)) == 3, root)
        assert "not delivered yet" not in spared()


@pytest.mark.thorough
def test_the_queue_is_shown(root: Path, tmp_path: Path) -> None:
    make(root, 2, parts=1)
    away = tmp_path / "away"
    config = configured(tmp_path, f'name = "hq"\nurl = "{away.as_uri()}"')
    before = rokubox("uploads", "--archive", root, "--config", config)
    assert (before.returncode, before.stdout) == (3, "")
    assert "rokubox-upload never ran" in before.stderr
    with daemon("upload", root, config):
        until(lambda: (told := status(root)) and told.targets[0].error, root)
        shown = rokubox("uploads", "--archive", root, "--config", config)
        told = json.loads(rokubox("uploads", "--archive", root, "--config", config, "--json").stdout)
    assert "is it mounted?" in shown.stdout
    assert call_id(0)[:10] in shown.stdout
    assert "0312345678" not in shown.stdout + json.dumps(told)
    assert told["status"]["targets"][0]["waiting"] == 2
    assert {one["state"] for one in told["deliveries"]} == {"waiting"}


@pytest.mark.thorough
def test_receipts_wait_for_the_archives_owner(root: Path, there: Path, tmp_path: Path) -> None:
    make(root, 2, parts=1)
    config = configured(tmp_path, f'name = "hq"\nurl = "{there.as_uri()}"')
    with daemon("upload", root, config):
        until(lambda: (told := status(root)) and told.trouble and told.targets[0].delivered == 2, root)
        assert receipts(root) == []
        with daemon("assemble", root, config):
            until(lambda: len(receipted(root)) == 2, root)
            until(lambda: (told := status(root)) and not told.trouble, root)


@pytest.mark.thorough
def test_a_recording_that_is_damaged_here_is_reported_and_not_delivered(
    root: Path, there: Path, tmp_path: Path
) -> None:
    make(root, 1, parts=1, frames=8000)
    [path] = (root / "recordings").rglob("*.zip")
    config = configured(tmp_path, f'name = "hq"\nurl = "{there.as_uri()}"', delivery='then = "delete"')
    with daemon("assemble", root, config):
        content = bytearray(path.read_bytes())
        content[5000] ^= 1
        path.write_bytes(content)
        with daemon("upload", root, config):
            until(lambda: receipts(root), root)
            told = json.loads(rokubox("uploads", "--archive", root, "--config", config, "--json").stdout)
    assert [one.outcome for one in receipts(root)] == ["given_up"]
    assert "not what the ledger says" in told["deliveries"][0]["error"]
    assert path.exists()
    assert hashes(there) == {}
