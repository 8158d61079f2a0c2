"""The list of packages: complete, in the form that others read, the same each time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st

from appliance.bom import cyclonedx, debian, python
from appliance.bom.component import Component

ROKUBOX = Path(sys.executable).with_name("rokubox")
MACHINE_READABLE = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: example

Files: *
Copyright: 2020 Somebody
License: GPL-2+

Files: debian/*
License: BSD-3-clause
 Redistribution and use ...

License: GPL-2+
 This program is free software
"""


def test_what_dpkg_tells(tmp_path: Path) -> None:
    (tmp_path / "libexample1").mkdir()
    (tmp_path / "libexample1" / "copyright").write_text(MACHINE_READABLE)
    told = (
        "ii \tlibexample1\t1:2.0~rc1+b2\tamd64\texample\n"
        "rc \tgone\t1\tamd64\tgone\niU \thalf\t1\tall\thalf\nii \tplain\t3\tall\tplain\n"
    )
    found = debian.parse(told, tmp_path)
    assert found == [
        Component(
            ecosystem="deb",
            name="libexample1",
            version="1:2.0~rc1+b2",
            licences=("BSD-3-clause", "GPL-2+"),
            source="example",
            architecture="amd64",
        ),
        Component(ecosystem="deb", name="plain", version="3", licences=(), architecture="all"),
    ]
    assert found[0].purl == "pkg:deb/debian/libexample1@1%3A2.0~rc1%2Bb2?arch=amd64"


@pytest.mark.parametrize("text", ["", "This is the old form.\nLicense: GPL\n", "\0\xff"])
def test_a_licence_is_not_guessed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "copyright"
    file.write_bytes(text.encode("latin-1"))
    assert debian.licences(file) == ()
    assert debian.licences(tmp_path / "none") == ()


def test_the_lock_is_in_the_list_with_licences() -> None:
    found = {each.name: each for each in python.installed()}
    assert {"numpy", "msgspec", "paho-mqtt", "rokubox", "systemd-python"} <= found.keys()
    pinned = Path("requirements.lock").read_text("utf-8")
    assert f"numpy=={found['numpy'].version} " in pinned
    assert found["scapy"].licences == ("GPL-2.0-only",)


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
COMPONENTS = st.builds(
    Component,
    ecosystem=st.sampled_from(["deb", "pypi"]),
    name=NAMES,
    version=NAMES,
    licences=st.lists(NAMES, max_size=3).map(tuple),
    source=st.one_of(st.just(""), NAMES),
    architecture=st.just(""),
)


@given(st.lists(COMPONENTS, max_size=5, unique_by=lambda each: each.purl))
def test_read_is_what_was_written(components: list[Component]) -> None:
    octets = cyclonedx.serialize(components, "1.0")
    assert cyclonedx.parse(octets) == sorted(components)
    assert cyclonedx.serialize(components[::-1], "1.0") == octets


def test_the_command_writes_what_the_schema_demands() -> None:
    done = subprocess.run([ROKUBOX, "bom", "--json", "--scan"], capture_output=True, text=True, check=True)
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(done.stdout) is None
    listed = {(each["name"], each["version"]) for each in json.loads(done.stdout)["components"]}
    command = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    installed = {tuple(line.split("\t")[1:]) for line in lines if line.startswith("ii")}
    assert installed <= listed


def test_the_table_names_every_package() -> None:
    done = subprocess.run([ROKUBOX, "bom", "--scan"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == f"{len(lines) - 2} packages"
    assert any(line.split()[:2] == ["Python", "numpy"] for line in lines)
