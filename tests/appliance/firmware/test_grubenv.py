"""GRUB's environment block beside GRUB's own tool, and what is written in its place."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.firmware import bootfile, grubenv
from appliance.firmware.grubenv import SECTOR_BYTES, SIZE_BYTES, EnvironmentBlockError

VARIABLES = {"ORDER": "B A", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "2", "TRIAL": "B"}
needs_grub = pytest.mark.skipif(shutil.which("grub-editenv") is None, reason="grub-common is not installed")


@needs_grub
def test_grub_reads_what_we_write(tmp_path: Path) -> None:
    file = tmp_path / "grubenv"
    bootfile.write(file, VARIABLES)
    told = subprocess.run(["grub-editenv", file, "list"], check=True, capture_output=True, text=True).stdout
    assert told.splitlines() == [f"{name}={value}" for name, value in VARIABLES.items()]


@needs_grub
def test_we_read_what_grub_writes(tmp_path: Path) -> None:
    file = tmp_path / "grubenv"
    subprocess.run(["grub-editenv", file, "create"], check=True)
    subprocess.run(["grub-editenv", file, "set", *(f"{name}={value}" for name, value in VARIABLES.items())], check=True)
    assert bootfile.read(file) == VARIABLES


def test_a_change_is_one_of_the_first_sector_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "grubenv"
    bootfile.write(file, VARIABLES)
    before, inode = file.read_bytes(), file.stat().st_ino
    bootfile.write(file, {**VARIABLES, "B_TRY": "0", "TRIAL": ""})
    after = file.read_bytes()
    assert len(before) == len(after) == SIZE_BYTES
    assert before[:SECTOR_BYTES] != after[:SECTOR_BYTES]
    assert before[SECTOR_BYTES:] == after[SECTOR_BYTES:] == b"#" * (SIZE_BYTES - SECTOR_BYTES)
    assert file.stat().st_ino == inode


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text("AB 01\\=", max_size=8), max_size=8))
def test_parsing_gives_what_was_written(variables: dict[str, str]) -> None:
    variables = {name: value for name, value in variables.items() if name.replace("_", "").isalnum()}
    assert grubenv.parse(grubenv.serialize(variables)) == variables


@pytest.mark.parametrize("block", [b"", b"#" * SIZE_BYTES, b"# GRUB Environment Block\n", bytes(SIZE_BYTES)])
def test_what_is_no_block_is_refused(block: bytes) -> None:
    with pytest.raises(EnvironmentBlockError, match="not an environment block of GRUB"):
        grubenv.parse(block)


def test_what_does_not_fit_into_a_sector_is_refused() -> None:
    with pytest.raises(EnvironmentBlockError, match="more than a sector can hold"):
        grubenv.serialize({"ORDER": "A" * SECTOR_BYTES})
