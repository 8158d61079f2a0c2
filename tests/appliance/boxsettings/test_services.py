"""What the configuration lets in: firewall, share, SSH; and that nothing of it is there unless it is asked for."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance import cli, config
from appliance.boxsettings import files, letin, readers, sshserver
from appliance.config import Configuration
from storage.share.access import Shared
from storage.share.settings import ShareUser

FILTER = Path(__file__).parents[3] / "systemd" / "nftables" / "management.nft"
SHARE = """
[share]
networks = ["192.0.2.0/24", "192.0.2.128/25", "2001:db8::/64"]
[[share.user]]
name = "suzuki"
password_file = "/etc/rokubox/keys/suzuki.password"
"""
SSH = """
[ssh]
authorized_keys_file = "/etc/rokubox/keys/ssh_authorized_keys"
networks = ["198.51.100.7"]
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEq9cUcF3nVp8sY2m0Jc1Rr0xJc8m3cQd2vJ0fX9k1aB a technician\n"


def configured(tmp_path: Path, text: str) -> Configuration:
    file = tmp_path / "rokubox.toml"
    file.write_text(text)
    return config.read(file)


def made(tmp_path: Path, text: str) -> dict[str, str]:
    configuration = configured(tmp_path, text)
    shared = Shared(recordings=tmp_path, group="rokubox-audio", group_id=990, settings=configuration.share)
    return dict(files.files(configuration, shared))


def test_nothing_comes_in_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert not {letin.NAME, sshserver.NAME, files.SHARE, readers.USERS} & made(tmp_path, "").keys()


def test_each_service_is_open_to_its_own_networks(tmp_path: Path) -> None:
    lines = made(tmp_path, SHARE + SSH)[letin.NAME].splitlines()[1:]
    assert lines == [
        "add element inet rokubox_management admitted { tcp . 22 . 198.51.100.7-198.51.100.7 }",
        "add element inet rokubox_management admitted { tcp . 445 . 192.0.2.0-192.0.2.255 }",
        "add element inet rokubox_management admitted6 { tcp . 445 . 2001:db8::-2001:db8::ffff:ffff:ffff:ffff }",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="packet filters are root's")
@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
@pytest.mark.parametrize("text", [SHARE + SSH, SHARE.replace("networks", "#"), SSH.replace("networks", "#")])
def test_the_packet_filter_takes_them(tmp_path: Path, text: str) -> None:
    own = tmp_path / "elements.nft"
    own.write_text(made(tmp_path, text)[letin.NAME])
    told = subprocess.run(
        ["unshare", "--net", "sh", "-c", f"nft -f {FILTER} && nft -f {own} && nft list ruleset"],
        capture_output=True,
        text=True,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert "tcp . " in told.stdout


def test_readers_are_users_without_a_shell(tmp_path: Path) -> None:
    found = made(tmp_path, SHARE)
    assert found[readers.USERS] == "suzuki:x:59001:59000::/nonexistent:/usr/sbin/nologin\n"
    assert found[readers.GROUPS] == "rokubox-readers:x:59000:\n"
    assert "valid users = @rokubox-readers suzuki\n" in found[files.SHARE]


@pytest.mark.parametrize("name", ["root", "rokubox-agent", "rokubox-anybody"])
def test_a_reader_is_nobody_of_the_system(name: str) -> None:
    users = [ShareUser(name=name, password_file="/p")]
    assert len(list(readers.problems(users, {"root", "rokubox-agent"}))) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"correct horse\n", ""),
        (b"correct horse\r\n", ""),
        (b"short", "has 8 to 127 characters, this one has 5"),
        (b"one line\nand another\n", "one line"),
        ("パスワードです".encode(), "ASCII"),
        (b"", "this one has 0"),
    ],
)
def test_passwords(content: bytes, problem: str) -> None:
    if not problem:
        assert readers.password(content) == "correct horse"
        return
    with pytest.raises(ValueError, match=problem):
        readers.password(content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (f"# keys\n\n{KEY}", ""),
        ("", "no public key in it"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "a private key"),
        (f"{KEY}command=x {KEY}", "line 2: no public key"),
        ("ssh-ed25519\n", "line 1: no public key"),
    ],
)
def test_authorized_keys(content: str, problem: str) -> None:
    found = list(sshserver.problems(content.encode()))
    assert len(found) == bool(problem)
    assert not problem or found[0].startswith(problem)


@pytest.mark.skipif(os.geteuid() != 0, reason="sshd is root's")
@pytest.mark.skipif(shutil.which("sshd") is None, reason="sshd is not installed")
def test_sshd_takes_its_configuration(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    text = made(tmp_path, SSH)[sshserver.NAME].replace(sshserver.HOST_KEY, str(key))
    (tmp_path / "sshd_config").write_text(text)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # it wants that even to read its configuration
    told = subprocess.run(
        [shutil.which("sshd") or "", "-T", "-f", tmp_path / "sshd_config"], capture_output=True, text=True
    )
    assert told.stderr == ""
    for line in ("passwordauthentication no", "permitrootlogin no", "allowusers technician", "port 22"):
        assert line in told.stdout.splitlines()


def test_what_is_no_longer_asked_for_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "archive" / "recordings").mkdir(parents=True)
    run, file = tmp_path / "run", tmp_path / "rokubox.toml"
    command = ["box-settings", "--config", str(file), "--into", str(run), "--archive", str(tmp_path / "archive")]
    file.write_text(SHARE + SSH + '[management]\nvlan = 7\nntp = ["ntp.example.jp"]\n')
    assert cli.main(command) == 0
    assert {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()} == set(files.NAMES)
    assert {path.stat().st_mode & 0o777 for path in run.rglob("*") if path.is_file()} == {0o644}
    file.write_text("")
    assert cli.main(command) == 0
    left = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]
    assert left == ["systemd/network/20-rokubox-management.network"]


def test_without_recordings_there_is_no_share_but_a_network(tmp_path: Path) -> None:
    file, run = tmp_path / "rokubox.toml", tmp_path / "run"
    file.write_text(SHARE)
    assert cli.main(["box-settings", "--config", str(file), "--into", str(run), "--archive", str(tmp_path / "a")]) == 4
    assert (run / "systemd/network/20-rokubox-management.network").exists()
    assert not (run / files.SHARE).exists()
