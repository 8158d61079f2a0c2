"""Compound RTCP: every field, each contradiction by its message, and nothing but `RtcpError` on any bytes."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.errors import RtcpError
from capture.rtcp import Goodbye, ReceiverReport, ReportBlock, SenderReport, parse

BLOCK = struct.pack("!IIIIII", 0x0DCDE9EE, 25 << 24 | 0xFFFFFE, 0x0001_1AF5, 17, 0x5E1B_8A3C, 65_536)
SENDER = struct.pack("!BBHIQIII", 0x81, 200, 12, 0x00294823, 0xDE76_1B5E_8A3C_0000, 160_000, 1000, 160_000) + BLOCK
RECEIVER = struct.pack("!BBHI", 0x81, 201, 7, 0x547970C2) + BLOCK
DESCRIPTION = struct.pack("!BBHI", 0x81, 202, 3, 0x00294823) + b"\x01\x02ab\x00\x00\x00\x00"
GOODBYE = struct.pack("!BBHII", 0x82, 203, 2, 0x00294823, 0x547970C2)

REPORT_BLOCK = ReportBlock(
    ssrc=0x0DCDE9EE,
    fraction_lost=25,
    cumulative_lost=-2,
    highest_sequence=0x0001_1AF5,
    jitter=17,
    last_sr=0x5E1B_8A3C,
    delay_since_last_sr=65_536,
)
SENDER_REPORT = SenderReport(
    ssrc=0x00294823,
    ntp=0xDE76_1B5E_8A3C_0000,
    rtp_time=160_000,
    packets=1000,
    octets=160_000,
    blocks=(REPORT_BLOCK,),
)
RECEIVER_REPORT = ReceiverReport(ssrc=0x547970C2, blocks=(REPORT_BLOCK,))


@pytest.mark.parametrize(
    ("datagram", "reports"),
    [
        (SENDER + DESCRIPTION, [SENDER_REPORT]),
        (RECEIVER + DESCRIPTION + GOODBYE, [RECEIVER_REPORT, Goodbye(ssrcs=(0x00294823, 0x547970C2))]),
        (DESCRIPTION, []),
        (b"\x80\xc9\x00\x01" + RECEIVER[4:8], [ReceiverReport(ssrc=0x547970C2, blocks=())]),
        (b"\x80\xcb\x00\x00", [Goodbye(ssrcs=())]),
        (b"\x81\xcb\x00\x03" + bytes(4) + b"\x06reason\x00", [Goodbye(ssrcs=(0,))]),
        (RECEIVER[:2] + b"\x00\x08" + RECEIVER[4:] + b"prof", [RECEIVER_REPORT]),
        (
            SENDER + b"\xa0\xc9\x00\x02" + RECEIVER[4:8] + b"\0\0\0\x04",
            [SENDER_REPORT, ReceiverReport(ssrc=0x547970C2, blocks=())],
        ),
    ],
)
def test_compounds(datagram: bytes, reports: list[object]) -> None:
    assert parse(datagram) == reports


@pytest.mark.parametrize(
    ("datagram", "message"),
    [
        (b"", "an empty datagram"),
        (b"\x80\xc8\x00", "3 bytes after the last packet of the compound"),
        (SENDER + b"\0\0", "2 bytes after the last packet of the compound"),
        (b"\x41" + SENDER[1:], "version 1 at byte 0"),
        (SENDER[:-4], "packet at byte 0 is 52 bytes long, 48 are there"),
        (b"\x82" + SENDER[1:], "2 report blocks in 24 bytes"),
        (b"\x80\xc8\x00\x02" + bytes(8), "0 report blocks in 0 bytes"),
        (b"\x80\xc9\x00\x00", "0 report blocks in 0 bytes"),
        (b"\x9f\xcb\x00\x01" + bytes(4), "31 sources in 4 bytes of a goodbye"),
        (b"\xa0\xc9\x00\x01\0\0\0\x04" + GOODBYE, "padding of 4 bytes in the packet at byte 0"),
        (b"\xa0\xc9\x00\x01\0\0\0\0", "padding of 0 bytes in the packet at byte 0"),
        (b"\xa0\xc9\x00\x01\0\0\0\x08", "padding of 8 bytes in the packet at byte 0"),
        (b"\xa0\xc9\x00\x02\0\0\0\0\0\0\0\x03", "padding of 3 bytes in the packet at byte 0"),
        (b"\xa0\xca\x00\x00", "padding of 0 bytes in the packet at byte 0"),
    ],
)
def test_contradictions(datagram: bytes, message: str) -> None:
    with pytest.raises(RtcpError) as error:
        parse(datagram)
    assert str(error.value) == message


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([SENDER, RECEIVER, DESCRIPTION, GOODBYE]), min_size=1, max_size=4).map(b"".join),
    ),
    st.lists(st.tuples(st.integers(0, 199), st.integers(0, 255)), max_size=4),
)
def test_any_bytes_give_reports_or_the_one_error(datagram: bytes, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(datagram)
    for place, value in changes:
        damaged[place : place + 1] = bytes([value]) if place < len(damaged) else b""
    with suppress(RtcpError):
        assert isinstance(parse(bytes(damaged)), list)
