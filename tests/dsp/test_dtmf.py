import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.dtmf import DIGITS, DtmfEvent, events, parse_events

Packets = list[tuple[int, str]]

CISCO_GATEWAY: Packets = [
    (494249194, "01030050"),
    (494249194, "010301e0"),
    (494249194, "01030370"),
    (494249194, "01030500"),
    (494249194, "01830500"),
    (494249194, "01830500"),
    (494249194, "01830500"),
    (494253194, "02030050"),
    (494253194, "020301e0"),
    (494253194, "02030370"),
    (494253194, "02830370"),
    (494253194, "02830370"),
    (494253194, "02830370"),
    (494254234, "02030050"),
    (494254234, "020301e0"),
    (494254234, "02830320"),
    (494254234, "02830320"),
    (494254234, "02830320"),
]
"""As sent by a gateway: 1, 2 and, 130 ms after it began, 2 again."""


def pressed(digit: str, start: int, duration: int, complete: bool = True) -> DtmfEvent:
    return DtmfEvent(digit=digit, start_rtp=start, duration_samples=duration, complete=complete)


def payload(code: int, duration: int, end: bool = False, volume: int = 10) -> str:
    return bytes([code, end << 7 | volume, duration >> 8, duration & 0xFF]).hex()


def arrays(packets: Packets) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    rows = b"".join(bytes.fromhex(row) for _, row in packets)
    return np.array([time for time, _ in packets], np.int64), np.frombuffer(rows, np.uint8).reshape(-1, 4)


def test_fields() -> None:
    parsed = parse_events(
        np.frombuffer(bytes.fromhex("0183050001000000 8b3fffffaabbccdd 100a0050aabbccdd"), np.uint8).reshape(3, 8)
    )
    assert parsed.tolist() == [(1, True, 3, 1280), (139, False, 63, 65535), (16, False, 10, 80)]


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 4, 1), (0, 0)])
def test_rows_too_short_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rows of at least 4 bytes"):
        parse_events(np.zeros(shape, np.uint8))


def test_real_key_presses() -> None:
    assert events(*arrays(CISCO_GATEWAY)) == [
        pressed("1", 494249194, 1280),
        pressed("2", 494253194, 880),
        pressed("2", 494254234, 800),
    ]


@given(order=st.permutations(CISCO_GATEWAY), again=st.lists(st.sampled_from(CISCO_GATEWAY), max_size=5))
@settings(max_examples=60, deadline=None)
def test_order_and_duplicates_do_not_matter(order: Packets, again: Packets) -> None:
    assert events(*arrays(order + again)) == events(*arrays(CISCO_GATEWAY))


def test_one_end_packet_is_enough() -> None:
    assert events(*arrays([(800, payload(11, 640, end=True))])) == [pressed("#", 800, 640)]


def test_all_end_packets_lost() -> None:
    packets = [(0, payload(5, 160)), (0, payload(5, 320)), (4000, payload(5, 160)), (4000, payload(5, 400, end=True))]
    assert events(*arrays(packets)) == [pressed("5", 0, 320, complete=False), pressed("5", 4000, 400)]


def test_all_digits() -> None:
    packets = [(code * 2000, payload(code, 800, end=True)) for code in range(256)]
    found = events(*arrays(packets))
    assert [event.digit for event in found] == [*"0123456789*#ABCD", "flash"]
    assert len(DIGITS) == 17


def test_two_codes_at_one_time_are_two_events() -> None:
    packets = [(0, payload(1, 800, end=True)), (0, payload(2, 400))]
    assert events(*arrays(packets)) == [pressed("1", 0, 800), pressed("2", 0, 400, complete=False)]


@pytest.mark.parametrize("segment", [0xFFFF, 65440, 64800, 0x3FFF])
def test_a_long_event_goes_on_in_segments(segment: int) -> None:
    packets = [
        (100, payload(7, 160)),
        (100, payload(7, segment)),
        (100 + segment, payload(7, 160)),
        (100 + segment, payload(7, segment)),
        (100 + 2 * segment, payload(7, 5000, end=True)),
    ]
    assert events(*arrays(packets)) == [pressed("7", 100, 2 * segment + 5000)]


def test_a_long_event_that_lost_the_last_reports_of_its_segments() -> None:
    packets = [
        (100, payload(7, 160)),
        (100 + 0xFFFF, payload(7, 160)),
        (100 + 2 * 0xFFFF, payload(7, 5000)),
    ]
    assert events(*arrays(packets)) == [pressed("7", 100, 2 * 0xFFFF + 5000, complete=False)]


def test_a_press_after_an_ended_one_is_another_however_close() -> None:
    packets = [(0, payload(7, 800, end=True)), (800, payload(7, 800, end=True))]
    assert events(*arrays(packets)) == [pressed("7", 0, 800), pressed("7", 800, 800)]


def test_no_packets() -> None:
    assert events(np.zeros(0, np.int64), np.zeros((0, 4), np.uint8)) == []


@given(
    packets=st.lists(st.tuples(st.integers(0, 2**40), st.binary(min_size=4, max_size=4).map(bytes.hex)), max_size=60)
)
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_bounded_events(packets: Packets) -> None:
    found = events(*arrays(packets))
    assert len(found) <= len(packets)
    assert [event.start_rtp for event in found] == sorted(event.start_rtp for event in found)
    assert all(event.duration_samples >= 0 for event in found)
