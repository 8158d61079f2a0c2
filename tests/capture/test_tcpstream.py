"""TCP reassembly: any order inside the window gives the same bytes; holes end on packet time; bounded."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.tcpstream import (
    HOLE_NS,
    MAX_HELD_BYTES,
    MAX_HELD_SEGMENTS,
    RST,
    SYN,
    WINDOW_BYTES,
    Chunk,
    TcpReassembler,
)

KEY = b"192.0.2.1:5060>192.0.2.2:5060"
ACK = 0x10
FIN = 0x01
MS = 1_000_000
bounded = settings(max_examples=150, deadline=None)


def content_of(size: int) -> bytes:
    return bytes((position * 11 + (position >> 8) * 3) & 0xFF for position in range(size))


def joined(chunks: list[Chunk]) -> bytes:
    return b"".join(chunk for chunk, _ in chunks)


def started(initial: int) -> TcpReassembler:
    reassembler = TcpReassembler()
    assert reassembler.segment(0, KEY, initial, SYN, b"") == []
    return reassembler


@st.composite
def segmented(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, bytes]]]:
    """A byte string and overlapping segments that cover it, at most `MAX_HELD_SEGMENTS`."""
    content = content_of(draw(st.integers(1, 3000)))
    edges = [0, *sorted(draw(st.sets(st.integers(1, len(content)), max_size=20))), len(content)]
    back = draw(st.integers(0, 50))
    return content, [(max(a - back, 0), content[max(a - back, 0) : b]) for a, b in pairwise(edges) if a < b]


initials = st.one_of(st.integers(0, 0xFFFF_FFFF), st.integers(0xFFFF_F800, 0xFFFF_FFFF))


@bounded
@given(segmented(), initials, st.data())
def test_any_order_with_copies_and_overlaps_gives_the_same_bytes(
    case: tuple[bytes, list[tuple[int, bytes]]], initial: int, data: st.DataObject
) -> None:
    content, segments = case
    shown = data.draw(st.permutations(segments + data.draw(st.lists(st.sampled_from(segments), max_size=6))))
    reassembler = started(initial)
    chunks: list[Chunk] = []
    for place, (start, part) in enumerate(shown):
        chunks += reassembler.segment(place * MS, KEY, (initial + 1 + start) & 0xFFFF_FFFF, ACK, part)
    assert joined(chunks) == content
    assert not any(gap for _, gap in chunks)
    assert (reassembler.gaps, reassembler.held_bytes, reassembler.waiting) == (0, 0, {})


def test_a_whole_window_of_64_kib_in_reverse() -> None:
    content = content_of(64 * 1024)
    initial = 0xFFFF_8000
    parts = [(start, content[start : start + 1460]) for start in range(0, len(content), 1460)]
    reassembler = started(initial)
    chunks: list[Chunk] = []
    for start, part in reversed(parts):
        chunks += reassembler.segment(5, KEY, (initial + 1 + start) & 0xFFFF_FFFF, ACK, part)
    assert joined(chunks) == content
    assert reassembler.gaps == 0


@st.composite
def hostile(draw: st.DrawFn) -> list[tuple[int, bytes, int, int, bytes]]:
    """Segments of two directions at odd sequence numbers, flags and times."""
    near = st.integers(0, 4000).map(lambda offset: (0xFFFF_FC00 + offset) & 0xFFFF_FFFF)
    far = st.integers(0, 0xFFFF_FFFF)
    flags = st.sampled_from([0, ACK, ACK, ACK, FIN, SYN, SYN | ACK, RST, RST | ACK, SYN | FIN | RST, 0xFF])
    steps = st.sampled_from([0, MS, 300 * MS, HOLE_NS, HOLE_NS + 1])
    segment = st.tuples(steps, st.sampled_from([b"a", b"b"]), st.one_of(near, near, far), flags, st.binary(max_size=60))
    now, shown = 0, []
    for step, key, sequence, flag, payload in draw(st.lists(segment, max_size=40)):
        now += step
        shown.append((now, key, sequence, flag, payload))
    return shown


@bounded
@given(hostile())
def test_hostile_segments_never_raise_and_the_account_holds(shown: list[tuple[int, bytes, int, int, bytes]]) -> None:
    reassembler = TcpReassembler()
    for segment in shown:
        out = reassembler.segment(*segment)
        assert all(chunk for chunk, _ in out)
        assert reassembler.held_bytes == sum(d.held.cost_bytes for d in reassembler.directions.values())
        assert set(reassembler.waiting) == {k for k, d in reassembler.directions.items() if d.held or d.stray}
        assert all(d.held.starts[0] > d.next_position for d in reassembler.directions.values() if d.held)
    reassembler.flush()
    assert (reassembler.held_bytes, reassembler.waiting) == (0, {})


@bounded
@given(hostile(), st.data())
def test_state_survives_serialisation_at_any_point(
    shown: list[tuple[int, bytes, int, int, bytes]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(shown)))
    straight, resumed = TcpReassembler(), TcpReassembler()
    expected = [straight.segment(*segment) for segment in shown]
    results = [resumed.segment(*segment) for segment in shown[:cut]]
    resumed = msgspec.msgpack.decode(msgspec.msgpack.encode(resumed), type=TcpReassembler)
    results += [resumed.segment(*segment) for segment in shown[cut:]]
    assert results == expected
    assert resumed == straight
    assert resumed.flush() == straight.flush()


@bounded
@given(hostile(), st.sets(st.integers(0, 40)))
def test_when_expire_is_called_does_not_change_the_bytes(
    shown: list[tuple[int, bytes, int, int, bytes]], calls: set[int]
) -> None:
    def run(expire_before: set[int]) -> tuple[dict[bytes, list[Chunk]], int]:
        reassembler = TcpReassembler()
        out: dict[bytes, list[Chunk]] = {b"a": [], b"b": []}
        for place, segment in enumerate(shown):
            if place in expire_before:
                for _, key, chunks in reassembler.expire(segment[0]):
                    out[key] += chunks
            out[segment[1]] += reassembler.segment(*segment)
        for key, chunks in reassembler.flush():
            out[key] += chunks
        return out, reassembler.gaps

    assert run(calls) == run(set())


def test_syn_with_payload_and_its_retransmission() -> None:
    reassembler = TcpReassembler()
    assert reassembler.segment(0, KEY, 0xFFFF_FFFF, SYN, b"hello") == [(b"hello", False)]
    assert reassembler.segment(0, KEY, 0xFFFF_FFFF, SYN, b"hello") == []
    assert reassembler.segment(0, KEY, 0xFFFF_FFFF, SYN, b"hello!") == [(b"!", False)]
    assert reassembler.segment(0, KEY, 6, ACK, b"?") == [(b"?", False)]


def test_keep_alive_probe_and_pure_acknowledgements_bring_nothing() -> None:
    reassembler = started(99)
    reassembler.segment(0, KEY, 100, ACK, b"abc")
    assert reassembler.segment(1, KEY, 102, ACK, b"\0") == []
    assert reassembler.segment(1, KEY, 102, ACK, b"") == []
    assert reassembler.segment(1, KEY, 103, ACK, b"d") == [(b"d", False)]
    assert reassembler.retransmitted == 1


def test_mid_stream_pick_up_has_a_gap_before_it_and_a_late_syn_changes_nothing() -> None:
    reassembler = TcpReassembler()
    assert reassembler.segment(0, KEY, 5000, ACK, b"") == []
    assert reassembler.directions == {}
    assert reassembler.segment(0, KEY, 5000, ACK, b"abc") == [(b"abc", True)]
    assert reassembler.segment(0, KEY, 4000, SYN, b"") == []
    assert reassembler.segment(0, KEY, 5003, ACK, b"def") == [(b"def", False)]
    assert reassembler.picked_up == 1


def test_keep_alive_as_the_first_thing_seen_is_not_content() -> None:
    reassembler = TcpReassembler()
    assert reassembler.segment(0, KEY, 4999, ACK, b"\0") == []
    assert reassembler.segment(0, KEY, 5000, ACK, b"abc") == [(b"abc", True)]


def test_a_hole_is_skipped_after_its_time_by_segment_or_by_expire() -> None:
    for by_segment in (True, False):
        reassembler = started(99)
        reassembler.segment(0, KEY, 100, ACK, b"ab")
        assert reassembler.segment(10, KEY, 105, ACK, b"fg") == []
        assert reassembler.next_deadline() == HOLE_NS + 10
        assert reassembler.expire(HOLE_NS + 10) == []
        if by_segment:
            assert reassembler.segment(HOLE_NS + 11, KEY, 107, ACK, b"h") == [(b"fg", True), (b"h", False)]
        else:
            assert reassembler.expire(HOLE_NS + 11) == [(HOLE_NS + 10, KEY, [(b"fg", True)])]
        assert (reassembler.gaps, reassembler.next_deadline()) == (1, None)
        assert reassembler.segment(HOLE_NS + 12, KEY, 102, ACK, b"cde") == []  # too late: not out of order


@pytest.mark.parametrize(("size", "held"), [(10, MAX_HELD_SEGMENTS), (8192, MAX_HELD_BYTES // (8192 + 96))])
def test_a_hole_is_skipped_when_too_much_waits_behind_it(size: int, held: int) -> None:
    reassembler = started(99)
    for number in range(held):
        assert reassembler.segment(0, KEY, 200 + number * size, ACK, bytes(size)) == []
    chunks = reassembler.segment(0, KEY, 200 + held * size, ACK, bytes(size))
    assert [gap for _, gap in chunks] == [True] + [False] * held
    assert len(joined(chunks)) == (held + 1) * size
    assert reassembler.gaps == 1


def test_memory_is_bounded_over_all_connections_and_the_oldest_is_forgotten() -> None:
    reassembler = TcpReassembler(max_connections=50, max_bytes=100_000)
    for number in range(500):
        key = number.to_bytes(2, "big")
        reassembler.segment(0, key, 0, SYN, b"")
        for part in range(5):
            reassembler.segment(0, key, 2000 + 2000 * part, ACK, bytes(1460))
            assert reassembler.held_bytes <= 100_000
    assert len(reassembler.directions) == 50
    assert len(reassembler.waiting) <= 50
    assert reassembler.evicted == 450


def test_reset_releases_what_is_held_and_a_blind_one_is_ignored() -> None:
    reassembler = started(99)
    reassembler.segment(0, KEY, 110, ACK, b"held")
    assert reassembler.segment(0, KEY, 110 + 2 * WINDOW_BYTES, RST, b"") == []
    assert reassembler.segment(0, KEY, 100, RST, b"why it was reset") == [(b"held", True)]
    assert reassembler.segment(0, b"unknown", 100, RST, b"") == []
    assert list(reassembler.directions) == [KEY]


def test_a_new_connection_on_the_same_ports_starts_anew_with_a_gap() -> None:
    reassembler = started(99)
    reassembler.segment(0, KEY, 100, ACK | FIN, b"old")
    reassembler.segment(0, KEY, 110, ACK, b"held")
    assert reassembler.segment(0, KEY, 0x7000_0000, SYN, b"") == [(b"held", True)]
    assert reassembler.segment(0, KEY, 0x7000_0001, ACK, b"new") == [(b"new", True)]
    assert reassembler.segment(0, KEY, 0x7000_0004, ACK, b"er") == [(b"er", False)]


def test_payload_that_overtook_the_syn_of_a_new_connection_is_kept() -> None:
    reassembler = started(99)
    assert reassembler.segment(0, KEY, 0x7000_0001, ACK, b"new") == []
    assert reassembler.segment(0, KEY, 0x7000_0000, SYN, b"") == [(b"new", True)]


def test_a_stray_segment_is_ignored_while_the_known_sequence_goes_on() -> None:
    reassembler = started(99)
    assert reassembler.segment(0, KEY, 0x4000_0000, ACK, b"forged") == []
    assert reassembler.segment(0, KEY, 100, ACK, b"real") == [(b"real", False)]
    assert reassembler.flush() == []


def test_a_new_sequence_is_believed_when_it_goes_on_or_nothing_else_comes() -> None:
    reassembler = started(99)
    reassembler.segment(0, KEY, 0x4000_0003, ACK, b"def")
    assert reassembler.segment(0, KEY, 0x4000_0003, ACK, b"def") == []  # its copy is no evidence
    assert reassembler.segment(0, KEY, 0x4000_0000, ACK, b"abc") == [(b"abc", True), (b"def", False)]
    reassembler.segment(5, KEY, 0x8000_0000, ACK, b"alone")
    assert reassembler.expire(HOLE_NS + 6) == [(HOLE_NS + 5, KEY, [(b"alone", True)])]
    assert reassembler.resynchronised == 2


def test_flush_gives_everything_held_with_its_gaps() -> None:
    reassembler = started(99)
    reassembler.segment(0, KEY, 102, ACK, b"c")
    reassembler.segment(0, KEY, 104, ACK, b"e")
    assert reassembler.flush() == [(KEY, [(b"c", True), (b"e", True)])]
