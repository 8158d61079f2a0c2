import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.infodigits import digits_of
from capture.sip import SipMessage, parse
from tests.capture.sip_dialogs import Dialog


def info(body: bytes, kind: str) -> SipMessage:
    dialog = Dialog()
    dialog.request("INFO", body=body, kind=kind)
    return parse(dialog.packets[0][3])


@pytest.mark.parametrize(
    ("body", "kind", "digits"),
    [
        (b"Signal=5\r\nDuration=160\r\n", "application/dtmf-relay", "5"),
        (b"Signal= #\nDuration= 250\n", "application/dtmf-relay", "#"),
        (b"signal=a", "application/dtmf-relay", "A"),
        (b"Signal=10\r\nDuration=160", "application/dtmf-relay", "*"),
        (b"Signal=16\r\n", "application/dtmf-relay", ""),
        (b"7", "application/dtmf", "7"),
        (b"11\r\n", "application/dtmf", "#"),
        (b"Duration=160\r\n", "application/dtmf-relay", ""),
        (b"5", "text/plain", ""),
        (b"", "application/dtmf", ""),
    ],
)
def test_digits(body: bytes, kind: str, digits: str):
    assert digits_of(info(body, kind)) == digits


@given(st.binary(max_size=200))
def test_any_body_gives_at_most_one_digit(body: bytes):
    assert len(digits_of(info(body, "application/dtmf-relay"))) <= 1
