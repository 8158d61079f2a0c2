"""Numbers as they are searched, against how they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.index import numbers
from storage.index.numbers import searchable, searchable_prefix


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0312345678", "0312345678"),
        ("+81312345678", "0312345678"),
        ("+81-3-1234-5678", "0312345678"),
        ("+81-(0)3-1234-5678", "0312345678"),
        ("03 (1234) 5678", "0312345678"),
        ("０３－１２３４－５６７８", "0312345678"),
        ("010-81-3-1234-5678", "0312345678"),
        ("sip:+81312345678;npdi@example.com;user=phone", "0312345678"),
        ("tel:+81-3-1234-5678", "0312345678"),
        ('"山田" <sip:0312345678@192.0.2.1>;reason=unconditional', "0312345678"),
        ("09012345678", "09012345678"),
        ("+819012345678", "09012345678"),
        ("0120444444", "0120444444"),
        ("1840312345678", "0312345678"),
        ("184-03-1234-5678", "0312345678"),
        ("184+81312345678", "0312345678"),
        ("1861840312345678", "0312345678"),
        ("13110312345678", "0312345678"),
        ("18435550101", "35550101"),
        ("184", "184"),
        ("1842", "1842"),
        ("110", "110"),
        ("1416", "1416"),
        ("17701234567", "17701234567"),
        ("0081312345678", "0081312345678"),
        ("00144123", "00144123"),
        ("+442071838750", "+442071838750"),
        ("010442071838750", "+442071838750"),
        ("2001", "2001"),
        ("35550101", "35550101"),
        ("*21*03", "*21*03"),
        ("anonymous", "anonymous"),
        ("sip:Alice@example.com", "alice"),
        ("softphone12345678", "softphone12345678"),
        ("", ""),
        ("+", "+"),
        ("\udcff\x000", "\udcff\x000"),
    ],
)
def test_one_form_for_all_ways_to_write_a_number(written: str, expected: str) -> None:
    assert searchable(written) == expected


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        ("03", "03"),
        ("03-12", "0312"),
        ("+81", "0"),
        ("+81-3", "03"),
        ("+81 (0)3", "03"),
        ("010", "010"),
        ("010813", "03"),
        ("01044", "+44"),
        ("18403", "03"),
        ("00", "00"),
        ("11", "11"),
        ("Ali", "ali"),
    ],
)
def test_the_beginning_of_a_number(beginning: str, expected: str) -> None:
    assert searchable_prefix(beginning) == expected


@given(st.text())
def test_any_text_has_a_form_and_the_form_is_its_own(text: str) -> None:
    form = searchable(text)
    assert searchable(form) == form or not form.isascii()
    searchable_prefix(text)


@given(st.from_regex("0[1-9][0-9]{7,10}", fullmatch=True))
def test_the_short_way_leads_to_the_same_form(number: str) -> None:
    for written in (number, f"+81{number[1:]}"):
        assert searchable(written) == numbers._searchable(written)


NATIONAL = st.from_regex("0[1-9][0-9]{8}", fullmatch=True) | st.from_regex("0[789]0[1-9][0-9]{7}", fullmatch=True)


@given(NATIONAL.filter(lambda number: not number.startswith("010")), st.integers(3, 9))
def test_both_forms_are_equal_and_begin_alike(national: str, digits: int) -> None:
    international = "+81" + national[1:]
    assert searchable(international) == searchable(national) == national
    assert searchable(national).startswith(searchable_prefix(international[:digits]))
    assert searchable(f"184{national}") == national
