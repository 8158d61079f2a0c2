"""What a technician brings: taken as a whole or not at all, and answered on the medium."""

import os
from pathlib import Path

import pytest

from appliance import cli
from appliance.provisioning import medium

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


def test_everything_is_put_in_place(stick: Path) -> None:
    assert provision(stick) == 0
    box = stick.parent / "box"
    assert (box / "rokubox.toml").read_bytes() == (stick / "rokubox.toml").read_bytes()
    assert {key.name: key.read_text() for key in (box / "keys").iterdir()} == {
        name: name for name in ("noc-ca.pem", "box.key", "box.pem")
    }
    assert all(file.stat().st_mode & 0o777 == 0o640 for file in box.rglob("*") if file.is_file())
    assert result(stick).startswith("rokubox: accepted\n受け付けました。\n")
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


@pytest.mark.parametrize(("text", "problem"), [(None, "No such file"), ("[site]\nbad = 1\n", "site.bad")])
def test_a_configuration_that_is_none(stick: Path, text: str | None, problem: str) -> None:
    (stick / "rokubox.toml").unlink()
    if text is not None:
        (stick / "rokubox.toml").write_text(text)
    assert provision(stick) == 2
    assert problem in result(stick)
    assert str(stick) not in result(stick)
