"""Recognition of media no signalling announces: RFC 3550 A.1, plausibility of G.711, independence of block borders."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.probation import Probation, Recognition, is_rtp_stream

Packet = tuple[int, int, int, int]
"""Sequence number, timestamp, payload type, payload length."""


def feed(probation: Probation, packets: list[Packet]) -> None:
    columns = np.array(packets, np.int64).reshape(-1, 4)
    probation.feed(
        (columns[:, 0] & 0xFFFF).astype(np.uint16), (columns[:, 1] & 0xFFFF_FFFF).astype(np.uint32),
        columns[:, 2].astype(np.uint8), columns[:, 3],
    )  # fmt: skip


def verdict(packets: list[Packet]) -> Recognition:
    probation = Probation()
    feed(probation, packets)
    return probation.verdict


def voice(
    count: int, *, payload_type: int = 0, size: int = 160, advance: int = 160, first: int = 65_530
) -> list[Packet]:
    return [(first + n, 0xFFFF_FF00 + n * advance, payload_type, size) for n in range(count)]


CASES = {
    "one packet": (voice(1), Recognition.UNKNOWN),
    "two in sequence": (voice(2), Recognition.G711),
    "PCMA of 30 ms": (voice(9, payload_type=8, size=240, advance=240), Recognition.G711),
    "doubled by the mirror": ([p for p in voice(5) for _ in range(2)], Recognition.G711),
    "every second packet lost": (voice(20)[::2], Recognition.UNKNOWN),
    "one pair among losses": (voice(3) + voice(30)[10::4], Recognition.G711),
    "reordered pairs": ([p for n in range(0, 20, 2) for p in reversed(voice(20)[n : n + 2])], Recognition.UNKNOWN),
    "some reordering": ([voice(9)[n] for n in (0, 1, 3, 2, 4, 5, 6, 7, 8)], Recognition.G711),
    "payload type 0, sizes do not fit": (voice(9, size=33), Recognition.UNKNOWN),
    "G.729": (voice(9, payload_type=18, size=20), Recognition.OTHER),
    "time runs backwards": (voice(9, payload_type=96, advance=-90_000), Recognition.UNKNOWN),
    "counter of another protocol": ([(n * 7919, n, 5, 40) for n in range(40)], Recognition.UNKNOWN),
    "digits inside the voice": (
        voice(9) + [(65_539 + n, 0xFFFF_FF00 + 1440, 101, 4) for n in range(6)],
        Recognition.G711,
    ),
    "nothing": ([], Recognition.UNKNOWN),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_verdicts(case: tuple[list[Packet], Recognition]) -> None:
    assert verdict(case[0]) is case[1]


def test_one_shot() -> None:
    seq, rtp_time = np.arange(4, dtype=np.uint16), 160 * np.arange(4, dtype=np.uint32)
    payload_type, payload_bytes = np.zeros(4, np.uint8), np.full(4, 160, np.int64)
    assert is_rtp_stream(seq, rtp_time, payload_type, payload_bytes)
    assert not is_rtp_stream(seq[:1], rtp_time[:1], payload_type[:1], payload_bytes[:1])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(65_520, 65_560), st.integers(0, 65_535)), st.integers(0, 5000),
            st.sampled_from([0, 8, 13, 101]), st.sampled_from([1, 4, 160]),
        ),
        max_size=30,
    ),
    st.sets(st.integers(0, 30)),
)  # fmt: skip
def test_state_does_not_depend_on_block_borders_or_serialisation(packets: list[Packet], cuts: set[int]) -> None:
    whole, parts = Probation(), Probation()
    feed(whole, packets)
    edges = [0, *sorted(cut for cut in cuts if cut < len(packets)), len(packets)]
    for start, stop in pairwise(edges):
        feed(parts, packets[start:stop])
        parts = msgspec.msgpack.decode(msgspec.msgpack.encode(parts), type=Probation)
    assert parts == whole
