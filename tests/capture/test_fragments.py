"""IP reassembly: any order and duplication gives the same payload; attacks are counted, bounded, and change nothing."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.fragments import ECHO_NS, MAX_PAYLOAD_BYTES, TIMEOUT_NS, FragmentReassembler

KEY = b"192.0.2.1>192.0.2.2 udp 4711"
Fragment = tuple[int, bool, bytes]
bounded = settings(max_examples=150, deadline=None)


def payload_of(size: int, seed: int = 0) -> bytes:
    return bytes((position * 7 + (position >> 8) + seed) & 0xFF for position in range(size))


@st.composite
def fragmented(draw: st.DrawFn) -> tuple[bytes, list[Fragment]]:
    """A payload and its fragments, cut at random multiples of eight, in order."""
    payload = payload_of(draw(st.integers(17, 4000)))
    borders = draw(st.sets(st.integers(1, (len(payload) - 1) // 8), min_size=1, max_size=12))
    edges = [0, *sorted(8 * border for border in borders), len(payload)]
    return payload, [(start, stop < len(payload), payload[start:stop]) for start, stop in pairwise(edges)]


@bounded
@given(fragmented(), st.data())
def test_any_order_with_copies_gives_the_payload_once(case: tuple[bytes, list[Fragment]], data: st.DataObject) -> None:
    payload, fragments = case
    copies = data.draw(st.lists(st.sampled_from(fragments), max_size=8))
    shown = data.draw(st.permutations(fragments + copies))
    reassembler = FragmentReassembler()
    results = [reassembler.add(1000 + place, KEY, *fragment) for place, fragment in enumerate(shown)]
    assert [result for result in results if result is not None] == [payload]
    assert reassembler.reassembled == 1
    assert reassembler.repeated == len(copies)
    assert (reassembler.overlapped, reassembler.malformed, reassembler.partial, reassembler.held_bytes) == (0, 0, {}, 0)


@bounded
@given(fragmented(), fragmented(), st.data())
def test_datagrams_mixed_in_any_order_stay_apart(
    one: tuple[bytes, list[Fragment]], two: tuple[bytes, list[Fragment]], data: st.DataObject
) -> None:
    shown = data.draw(st.permutations([(b"1", part) for part in one[1]] + [(b"2", part) for part in two[1]]))
    reassembler = FragmentReassembler()
    whole = {key: result for key, part in shown if (result := reassembler.add(0, key, *part)) is not None}
    assert whole == {b"1": one[0], b"2": two[0]}


@bounded
@given(
    st.lists(
        st.tuples(
            st.integers(-8, MAX_PAYLOAD_BYTES // 8 + 2).map(lambda unit: unit * 8),
            st.booleans(),
            st.integers(0, 40).map(lambda size: payload_of(size, size)),
        ),
        max_size=40,
    )
)
def test_hostile_fragments_never_raise_and_the_first_byte_wins(fragments: list[Fragment]) -> None:
    reassembler = FragmentReassembler()
    for fragment in fragments:
        reassembler.add(0, KEY, *fragment)
        for datagram in reassembler.partial.values():
            content = datagram.content
            edges = list(zip(content.starts, content.pieces, strict=True))
            assert all(a + len(piece) <= b for (a, piece), (b, _) in pairwise(edges))
            assert content.held_bytes == sum(len(piece) for _, piece in edges)
        assert reassembler.held_bytes == sum(d.content.cost_bytes for d in reassembler.partial.values())


@bounded
@given(fragmented(), st.data())
def test_state_survives_serialisation_at_any_point(case: tuple[bytes, list[Fragment]], data: st.DataObject) -> None:
    shown = data.draw(st.permutations(case[1] * 2))
    cut = data.draw(st.integers(0, len(shown)))
    straight, resumed = FragmentReassembler(), FragmentReassembler()
    expected = [straight.add(place, KEY, *fragment) for place, fragment in enumerate(shown)]
    results = [resumed.add(place, KEY, *fragment) for place, fragment in enumerate(shown[:cut])]
    resumed = msgspec.msgpack.decode(msgspec.msgpack.encode(resumed), type=FragmentReassembler)
    results += [resumed.add(place + cut, KEY, *fragment) for place, fragment in enumerate(shown[cut:])]
    assert results == expected
    assert resumed == straight


def test_teardrop_second_fragment_inside_the_first_is_counted_and_harmless() -> None:
    reassembler = FragmentReassembler()
    assert reassembler.add(0, KEY, 0, True, b"A" * 40) is None
    assert reassembler.add(0, KEY, 24, False, b"B" * 4) is None  # ends before what is already there
    assert reassembler.malformed == 1
    assert reassembler.add(0, KEY, 8, True, b"C" * 16) is None
    assert reassembler.overlapped == 1
    assert reassembler.add(0, KEY, 40, False, b"D" * 3) == b"A" * 40 + b"DDD"


def test_overlap_that_reaches_beyond_fills_only_the_hole() -> None:
    reassembler = FragmentReassembler()
    reassembler.add(0, KEY, 8, True, b"B" * 8)
    reassembler.add(0, KEY, 24, False, b"D" * 8)
    assert reassembler.add(0, KEY, 0, True, b"x" * 32) == b"x" * 8 + b"B" * 8 + b"x" * 8 + b"D" * 8
    assert reassembler.overlapped == 1


@pytest.mark.parametrize(
    ("offset", "more", "size"),
    [(0, True, 0), (8, False, 0), (4, True, 8), (8, True, 7), (-8, True, 8), (65_528, False, 8), (65_536, True, 8)],
)
def test_fragments_nobody_can_mean_are_malformed(offset: int, more: bool, size: int) -> None:
    reassembler = FragmentReassembler()
    assert reassembler.add(0, KEY, offset, more, bytes(size)) is None
    assert (reassembler.malformed, reassembler.partial) == (1, {})


def test_conflicting_ends_keep_the_first() -> None:
    reassembler = FragmentReassembler()
    reassembler.add(0, KEY, 16, False, b"end")
    reassembler.add(0, KEY, 24, False, b"later end")
    reassembler.add(0, KEY, 16, True, b"x" * 16)
    assert reassembler.malformed == 2
    assert reassembler.add(0, KEY, 0, True, b"s" * 16) == b"s" * 16 + b"end"


def test_an_atomic_fragment_is_whole_and_apart_from_others() -> None:
    reassembler = FragmentReassembler()
    reassembler.add(0, KEY, 0, True, b"a" * 8)
    assert reassembler.add(0, KEY, 0, False, b"whole") == b"whole"
    assert reassembler.add(0, KEY, 8, False, b"b") == b"a" * 8 + b"b"


def test_identification_is_reused_after_the_echo_time_and_after_the_timeout() -> None:
    reassembler = FragmentReassembler()
    reassembler.add(0, KEY, 0, True, b"a" * 8)
    assert reassembler.add(0, KEY, 8, False, b"b") == b"a" * 8 + b"b"
    assert reassembler.add(ECHO_NS, KEY, 8, False, b"b") is None
    assert reassembler.repeated == 1
    later = ECHO_NS + 1
    reassembler.add(later, KEY, 0, True, b"c" * 8)
    reassembler.add(later + TIMEOUT_NS + 1, KEY, 8, False, b"d")
    assert (reassembler.expired, reassembler.reassembled) == (1, 1)
    assert reassembler.add(later + TIMEOUT_NS + 2, KEY, 0, True, b"e" * 8) == b"e" * 8 + b"d"


def test_an_identification_that_comes_again_at_once_is_another_datagram() -> None:
    """One switch sends all that it mirrors: 65,536 packets are less than a second."""
    reassembler = FragmentReassembler()
    for number, byte in enumerate((b"a", b"b", b"a")):
        reassembler.add(number, KEY, 0, True, byte * 8)
        assert reassembler.add(number, KEY, 8, False, byte) == byte * 9
    assert reassembler.add(3, KEY, 8, False, b"a") is None
    assert (reassembler.repeated, reassembler.reassembled) == (1, 3)


def test_what_is_left_of_an_earlier_datagram_is_not_mixed_with_a_new_one() -> None:
    """Its second fragment was lost; long after it the identification comes again."""
    reassembler = FragmentReassembler()
    reassembler.add(0, KEY, 0, True, b"a" * 8)
    reassembler.add(ECHO_NS, KEY, 0, True, b"x" * 8)
    assert (reassembler.overlapped, reassembler.expired) == (1, 0)
    reassembler.add(ECHO_NS + 1, KEY, 0, True, b"a" * 8)  # says nothing else: a copy
    assert (reassembler.repeated, reassembler.expired) == (1, 0)
    reassembler.add(ECHO_NS + 1, KEY, 0, True, b"b" * 8)
    assert (reassembler.overlapped, reassembler.expired) == (1, 1)
    assert reassembler.add(ECHO_NS + 1, KEY, 8, False, b"b") == b"b" * 9


def test_a_step_of_time_backwards_does_not_revive_what_is_too_old() -> None:
    reassembler = FragmentReassembler()
    reassembler.add(10 * TIMEOUT_NS, b"future", 0, True, b"f" * 8)
    reassembler.add(0, KEY, 0, True, b"old" + bytes(5))
    assert reassembler.add(TIMEOUT_NS + 1, KEY, 8, False, b"new") is None
    assert reassembler.expired == 1


def test_floods_are_bounded_in_number_and_in_memory() -> None:
    reassembler = FragmentReassembler(max_datagrams=100, max_bytes=64 * 1024, max_finished_bytes=64 * 1024)
    for number in range(1000):
        reassembler.add(number, number.to_bytes(4, "big"), 0, True, bytes(1480))
        assert reassembler.held_bytes <= 64 * 1024
    assert len(reassembler.partial) <= 64 * 1024 // 1480
    assert reassembler.overflowed == 1000 - len(reassembler.partial)
    for number in range(5000):  # eight bytes each: the overhead is what must be bounded
        reassembler.add(2000, KEY, 8 * number, True, bytes(8))
    assert reassembler.held_bytes <= 64 * 1024
    for number in range(1000):
        key = b"done" + number.to_bytes(4, "big")
        reassembler.add(3000, key, 0, True, bytes(8))
        assert reassembler.add(3000, key, 8, False, b"x") is not None
    assert len(reassembler.finished) == 100
    for number in range(100):
        key = b"long" + number.to_bytes(4, "big")
        reassembler.add(3000, key, 0, True, bytes(1480))
        assert reassembler.add(3000, key, 1480, False, b"x") is not None
        assert reassembler.finished_bytes == sum(len(each.payload) for each in reassembler.finished.values())
        assert reassembler.finished_bytes <= 64 * 1024
