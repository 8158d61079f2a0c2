"""What a technician brings: taken as a whole or not at all, and answered on the medium."""

import os
from pathlib import Path

import pytest

from appliance import cli
from appliance.condition import observed
from appliance.datapartition.encryption import Encryption
from appliance.provisioning import medium, outcome, taking
from appliance.provisioning.outcome import Outcome, Told
from appliance.provisioning.taking import Wanted
from storage.volume import mounts

ARCHIVE = "/var/lib/rokubox"
SETTINGS = f"""
[site]
customer = "example"
site = "osaka"
serial = "RB-1"
[storage]
archive = "{ARCHIVE}"
"""
MQTT = """
[mqtt]
host = "broker.example.jp"
ca_file = "{keys}/noc-ca.pem"
key_file = "{keys}/box.key"
certificate_file = "{keys}/box.pem"
"""


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A medium with a configuration and its keys; `box` beside it is the box."""
    (tmp_path / "stick" / "keys").mkdir(parents=True)
    (tmp_path / "box").mkdir()
    text = SETTINGS + MQTT.format(keys=tmp_path / "box" / "keys")
    (tmp_path / "stick" / "rokubox.toml").write_text(text)
    for name in ("noc-ca.pem", "box.key", "box.pem"):
        (tmp_path / "stick" / "keys" / name).write_text(name)
    return tmp_path / "stick"


def provision(stick: Path) -> int:
    return cli.main(["provision", str(stick), "--into", str(stick.parent / "box"), "--archive", ARCHIVE])


def result(stick: Path) -> str:
    return (stick / medium.RESULT).read_text("utf-8")


@pytest.mark.parametrize(
    ("wanted", "source", "is_left_open"),
    [
        (Encryption.NONE, "/dev/vda6", False),
        (Encryption.TPM2, "/dev/vda6", True),
        (Encryption.PASSPHRASE, "/dev/sda6", True),
        (Encryption.TPM2, "/dev/mapper/data", False),
        (Encryption.TPM2, "", False),
    ],
)
def test_what_was_to_be_encrypted_is_not_left_open(wanted: Encryption, source: str, is_left_open: bool) -> None:
    table = "22 1 254:0 / / ro shared:1 - squashfs /dev/mapper/root ro\n"
    if source:
        table += f"23 22 253:6 / /data rw,nosuid,nodev shared:2 - ext4 {source} rw\n"
    assert medium.is_left_open(wanted, mounts.parse(table)) is is_left_open


def test_everything_is_put_in_place(stick: Path) -> None:
    assert provision(stick) == 0
    box = stick.parent / "box"
    assert (box / "rokubox.toml").read_bytes() == (stick / "rokubox.toml").read_bytes()
    assert {key.name: key.read_text() for key in (box / "keys").iterdir()} == {
        name: name for name in ("noc-ca.pem", "box.key", "box.pem")
    }
    assert all(file.stat().st_mode & 0o777 == 0o640 for file in box.rglob("*") if file.is_file())
    assert result(stick).startswith("rokubox: accepted\n受け付けました。\n")
    assert "keys/box.key\n" in result(stick)
    assert provision(stick) == 0  # once more changes nothing


def test_nothing_is_changed_while_anything_is_wrong(stick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = stick.parent / "box"
    (box / "rokubox.toml").write_text("[site]\n")
    (stick / "rokubox.toml").write_text(
        '[site]\ncustomer = "a"\nsite = "b"\nserial = "c"\n'
        '[storage]\narchive = "/srv"\n[mqtt]\nhost = "h"\nca_file = "/nowhere/ca.pem"\n'
    )
    (stick / "keys" / "not a name").write_text("")
    (stick / "keys" / "large").write_bytes(bytes(medium.MAX_KEY_BYTES + 1))
    (stick / "keys" / "link").symlink_to("/etc/shadow")
    os.mkfifo(stick / "keys" / "pipe")
    assert provision(stick) == 2
    told = result(stick)
    for problem in (
        "keys/'not a name': ",
        "keys/large: larger than 65536 bytes",
        "keys/link: ",
        "keys/pipe: not a file",
        "storage.archive: has to be '/var/lib/rokubox'",
        "mqtt.ca_file: /nowhere/ca.pem is not on this box; bring keys/ca.pem on the medium",
    ):
        assert problem in told
    assert "storage.archive" in capsys.readouterr().err
    assert [file.name for file in box.iterdir()] == ["rokubox.toml"]
    assert (box / "rokubox.toml").read_text() == "[site]\n"


@pytest.mark.parametrize(
    ("text", "problem"), [(None, "rokubox.toml: is not on the medium"), ("[site]\nbad = 1\n", "site.bad")]
)
def test_a_configuration_that_is_none(stick: Path, text: str | None, problem: str) -> None:
    (stick / "rokubox.toml").unlink()
    if text is not None:
        (stick / "rokubox.toml").write_text(text)
    assert provision(stick) == 2
    assert problem in result(stick)
    assert str(stick) not in result(stick)


CONTENTS = """
[[share.user]]
name = "suzuki"
password_file = "{keys}/suzuki.password"
[[share.user]]
name = "root"
password_file = "{keys}/root.password"
[ssh]
authorized_keys_file = "{keys}/ssh_authorized_keys"
"""


def test_what_is_in_passwords_and_public_keys_is_looked_at(stick: Path) -> None:
    text = SETTINGS + CONTENTS.format(keys=stick.parent / "box" / "keys")
    (stick / "rokubox.toml").write_text(text)
    (stick / "keys" / "suzuki.password").write_text("short")
    (stick / "keys" / "root.password").write_text("long enough")
    (stick / "keys" / "ssh_authorized_keys").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert provision(stick) == 2
    for problem in (
        "keys/suzuki.password: a password has 8 to 127 characters",
        "rokubox.toml: share.user[1].name: 'root' is a user of the system itself",
        "keys/ssh_authorized_keys: a private key",
    ):
        assert problem in result(stick)
    assert "short" not in result(stick)


def test_a_key_that_nothing_names_is_a_mistake(stick: Path) -> None:
    (stick / "keys" / "ssh_authorized_keys").write_text("ssh-ed25519 AAAA me\n")
    assert provision(stick) == 2
    assert "keys/ssh_authorized_keys: nothing in rokubox.toml names " in result(stick)


def test_what_other_systems_leave_on_a_stick_is_no_key(stick: Path) -> None:
    for name in ("._box.key", ".DS_Store", "Thumbs.db"):
        (stick / "keys" / name).write_text("")
    assert provision(stick) == 0
    assert len(list((stick.parent / "box" / "keys").iterdir())) == 3


@pytest.fixture
def wanted(stick: Path) -> Wanted:
    """A box that came with a configuration, and has no other."""
    box, shipped = stick.parent / "box", stick.parent / "shipped.toml"
    shipped.write_text("# as shipped\n")
    (box / "rokubox.toml").write_text("# as shipped\n")
    return Wanted(medium=stick, into=box, archive=ARCHIVE, once=shipped)


def test_once_and_what_comes_later_is_told_so(wanted: Wanted, stick: Path) -> None:
    assert taking.take(wanted).outcome is Outcome.ACCEPTED
    assert taking.take(wanted).outcome is Outcome.SAME
    (stick / "rokubox.toml").write_text(SETTINGS)
    told = taking.take(wanted)
    assert (told.outcome, told.answered) == (Outcome.CONFIGURED, True)
    assert "factory state" in result(stick)
    assert "工場出荷状態" in result(stick)
    assert (wanted.into / "rokubox.toml").read_text() != SETTINGS


def test_a_medium_that_was_not_mounted_is_not_an_empty_one(wanted: Wanted, stick: Path) -> None:
    told = taking.take(Wanted(medium=stick, into=wanted.into, archive=ARCHIVE, mounted=True))
    assert told.outcome is Outcome.UNREADABLE
    assert not (stick / medium.RESULT).exists()


def test_a_box_that_cannot_store_it_says_so(wanted: Wanted) -> None:
    (wanted.into / "keys").write_text("a file in place of the folder")
    told = taking.take(wanted)
    assert told.outcome is Outcome.FAILED
    assert told.problems


def test_the_status_page_is_told(wanted: Wanted, stick: Path, tmp_path: Path) -> None:
    (stick / "rokubox.toml").write_text("[site]\nbad = 1\n")
    run = tmp_path / "run"
    run.mkdir()
    arguments = ["--into", str(wanted.into), "--archive", ARCHIVE, "--once", str(wanted.once), "--told", str(run)]
    assert cli.main(["provision", str(stick), *arguments]) == 2
    told = observed.read(run, outcome.NAME, Told)
    assert told is not None
    assert (told.outcome, told.answered) == (Outcome.REFUSED, True)
    assert told.problems == (
        "rokubox.toml: site.bad: unknown key; known here: customer, site, serial, time_zone, changed_by, change_reason",
    )
    (stick / "rokubox.toml").unlink()
    (stick / "rokubox-result.txt").unlink()
    (stick / "rokubox-result.txt").mkdir()  # as a CD takes none
    assert cli.main(["provision", str(stick), *arguments]) == 2
    told = observed.read(run, outcome.NAME, Told)
    assert told is not None
    assert not told.answered
