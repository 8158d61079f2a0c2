import time
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.layout import day_folder, file_safe, part_stem
from storage.vocabulary import Direction, PartName
from tests.storage.samples import CALL_ID, START_NS, STEM, TOKYO, at


def stem(**changes):
    named: dict[str, Any] = {
        "start_ns": START_NS,
        "zone": TOKYO,
        "direction": Direction.OUT,
        "caller": "0312345678",
        "callee": "0698765432",
        "call_id": CALL_ID,
        "part": 1,
    }
    return part_stem(**(named | changes))


def test_the_name_of_a_part():
    assert stem() == STEM
    assert stem(zone=ZoneInfo("UTC"), part=123, direction=Direction.UNK).startswith("20260101T180405+0000_unk_")
    assert stem(part=123).endswith("_p123")


def test_the_zone_of_the_process_does_not_matter(monkeypatch):
    try:
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        assert stem() == STEM
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("number", "safe"),
    [
        ("0312345678", "0312345678"),
        ("+81-3.1234", "+81-3.1234"),
        ("", "anonymous"),
        ("匿名", "anonymous"),
        ("../../etc/passwd", "....etcpasswd"),
        ("a_b c", "abc"),
        ("9" * 40, "9" * 32),
        ("0\n1\x00", "01"),
    ],
)
def test_numbers_in_file_names(number, safe):
    assert file_safe(number) == safe


@given(
    st.text(max_size=80),
    st.text(max_size=80),
    st.integers(0, 2**64),
    st.sampled_from(Direction),
    st.integers(1, 10**6),
)
@settings(max_examples=100, deadline=None)
def test_any_number_gives_a_valid_name(caller, callee, start_ns, direction, part):
    name = stem(caller=caller, callee=callee, start_ns=start_ns, direction=direction, part=part) + ".zip"
    assert msgspec.convert(name, PartName) == name


def test_the_folder_is_the_local_date():
    assert day_folder(STEM) == day_folder(at(0)) == PurePath("2026/01/02")
