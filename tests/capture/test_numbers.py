import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.numbers import canonical


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0312345678", "0312345678"),
        ("03-1234-5678", "0312345678"),
        ("(03) 1234.5678", "0312345678"),
        ("+81312345678", "0312345678"),
        ("+81-3-1234-5678", "0312345678"),
        ("+81 (0)3 1234 5678", "0312345678"),
        ("+810312345678", "0312345678"),
        ("tel:+81-3-1234-5678;phone-context=+81", "0312345678"),
        ("sip:+81312345678;npdi@carrier.example;user=phone", "0312345678"),
        ("SIPS:0312345678@pbx.example", "0312345678"),
        ("+1 202-555-0100", "+12025550100"),
        ("0033142685300", "0033142685300"),
        ("184-03-1234-5678", "1840312345678"),
        ("*21#", "*21#"),
        ("", ""),
        ("Anonymous", "anonymous"),
        ("john.doe", "john.doe"),
        ("03\u20101234\u20135678", "0312345678"),
    ],
)
def test_canonical(written: str, expected: str):
    assert canonical(written) == expected


@given(st.text(max_size=60))
def test_canonical_is_stable(text: str):
    assert canonical(canonical(text)) == canonical(text)
