"""A serial number for a box whose configuration names none."""

from pathlib import Path

import pytest

from appliance import config
from appliance.boxsettings import identity, serial

OWN = serial.chosen("", "0123456789abcdef0123456789abcdef\n")


@pytest.mark.parametrize(
    ("told", "number"),
    [("5CG1234XYZ", "5CG1234XYZ"), ("525400123456", "525400123456"), ("unknown", OWN), ("", OWN), ("abc", OWN)],
)
def test_the_makers_counts_where_there_is_one(told: str, number: str) -> None:
    assert serial.chosen(told, "0123456789abcdef0123456789abcdef\n") == number


def test_a_box_has_its_own() -> None:
    assert OWN.startswith("RB-")
    assert len(OWN) == 11
    assert serial.chosen("", "another") != OWN
    assert serial.parse(f"{OWN}\n") == OWN
    assert serial.parse("no number\n") == ""


def test_it_is_given_once(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    identity.give_serial(tmp_path, "5CG1234XYZ", machine)
    identity.give_serial(tmp_path, "ANOTHER-1", machine)
    assert (tmp_path / "serial").read_text() == "5CG1234XYZ\n"
    (tmp_path / "serial").write_text("")  # as a disk leaves it that lost it
    identity.give_serial(tmp_path, "ANOTHER-1", machine)
    assert (tmp_path / "serial").read_text() == "ANOTHER-1\n"


def test_it_counts_where_the_configuration_names_none(tmp_path: Path) -> None:
    file = tmp_path / "rokubox.toml"
    file.write_text('[site]\ncustomer = "a"\nsite = "b"\n[mqtt]\nhost = "broker.example.jp"\n')
    box = tmp_path / "box"
    box.mkdir()
    (box / "serial").write_text("5CG1234XYZ\n")
    assert config.read(file, box=box).site.serial == "5CG1234XYZ"
    (tmp_path / "serial").write_text("5CG1234XYZ\n")
    assert config.read(file).site.serial == "5CG1234XYZ"
    file.write_text('[site]\nserial = "RB-1"\n')
    assert config.read(file).site.serial == "RB-1"
