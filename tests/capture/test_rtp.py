"""RTP headers in bulk, against a plain parser of one packet; unwrapping of counters in any cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.rtp import RtpColumns, extend_sequence, extend_timestamp, parse

bounded = settings(max_examples=200, deadline=None)


def packet(
    *, sequence: int = 1, rtp_time: int = 160, ssrc: int = 7, payload_type: int = 0, marker: bool = False,
    csrcs: int = 0, extension: bytes | None = None, padding: int = 0, payload: bytes = bytes(160), version: int = 2,
) -> bytes:  # fmt: skip
    first = version << 6 | (padding > 0) << 5 | (extension is not None) << 4 | csrcs
    head = bytes([first, marker << 7 | payload_type]) + sequence.to_bytes(2, "big") + rtp_time.to_bytes(4, "big")
    head += ssrc.to_bytes(4, "big") + b"\xc5" * (4 * csrcs)
    if extension is not None:
        head += b"\xbe\xde" + (len(extension) // 4).to_bytes(2, "big") + extension
    return head + payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")


def matrix(packets: list[bytes], stride: int | None = None) -> np.ndarray:
    """The packets as rows; with `stride`, as a view into a wider buffer."""
    size = len(packets[0])
    wide = np.full((len(packets), stride or size), 0xA5, np.uint8)
    wide[:, :size] = np.frombuffer(b"".join(packets), np.uint8).reshape(len(packets), size)
    return wide[:, :size]


def one(row: bytes) -> tuple[int, int] | None:
    """RFC 3550 section 5.1 and appendix A.1, packet by packet: the payload's extent, None when it is not RTP."""
    if len(row) < 12 or row[0] >> 6 != 2 or 192 <= row[1] <= 223:
        return None
    start = 12 + 4 * (row[0] & 15)
    if row[0] & 0x10:
        if start + 4 > len(row):
            return None
        start += 4 + 4 * int.from_bytes(row[start + 2 : start + 4], "big")
    padding = row[-1] if row[0] & 0x20 else 0
    if row[0] & 0x20 and padding == 0:
        return None
    end = len(row) - padding
    return (start, end) if start <= end else None


def check(columns: RtpColumns, rows: list[bytes]) -> None:
    for place, row in enumerate(rows):
        extent = one(row)
        assert bool(columns.valid[place]) == (extent is not None)
        if extent is None:
            assert columns.payload_start[place] == columns.payload_end[place]
            continue
        assert (columns.payload_start[place], columns.payload_end[place]) == extent
        assert columns.seq[place] == int.from_bytes(row[2:4], "big")
        assert columns.rtp_time[place] == int.from_bytes(row[4:8], "big")
        assert columns.ssrc[place] == int.from_bytes(row[8:12], "big")
        assert (bool(columns.marker[place]), int(columns.payload_type[place])) == (row[1] > 127, row[1] & 127)


def test_plain_packets_and_their_types() -> None:
    rows = [packet(sequence=n, rtp_time=0xFFFF_FFFF - n, ssrc=0x8000_0000 + n, marker=n % 2 == 0) for n in range(5)]
    columns = parse(matrix(rows, stride=300))
    check(columns, rows)
    assert len(columns) == 5
    kinds = {name: getattr(columns, name).dtype.name for name in RtpColumns.__slots__}
    assert kinds == {
        "seq": "uint16", "rtp_time": "uint32", "ssrc": "uint32", "marker": "bool", "payload_type": "uint8",
        "payload_start": "int64", "payload_end": "int64", "valid": "bool",
    }  # fmt: skip


def test_every_special_header_among_plain_ones() -> None:
    size = 100
    rows = [
        packet(payload=bytes(size - 12)),
        packet(payload=bytes(size - 20), csrcs=2),
        packet(payload=bytes(size - 24), extension=bytes(8)),
        packet(payload=bytes(size - 16), padding=4),
        packet(payload=bytes(size - 72), csrcs=15),
        packet(payload=bytes(size - 36), csrcs=1, extension=bytes(4), padding=12),
        packet(payload=b"", extension=bytes(size - 16)),
        packet(payload=b"", padding=size - 12),
        packet(payload=bytes(size - 12), version=1),
        packet(payload=bytes(size - 12), payload_type=72, marker=True),
        packet(payload=bytes(size - 12), payload_type=72),
        b"\xa0" + bytes(size - 1),
        b"\xa0" + bytes(size - 2) + bytes([size - 11]),
        b"\x90" + bytes(13) + b"\xff\xff" + bytes(size - 16),
    ]
    columns = parse(matrix(rows))
    check(columns, rows)
    assert columns.valid.tolist() == [True] * 8 + [False, False, True, False, False, False]


@bounded
@given(st.integers(0, 40), st.data())
def test_any_rows_agree_with_the_plain_parser(size: int, data: st.DataObject) -> None:
    head = st.tuples(st.sampled_from([0x80, 0x80, 0x81, 0x8F, 0x90, 0xA0, 0xB1, 0x40]), st.integers(0, 255)).map(bytes)
    row = st.tuples(head, st.binary(min_size=size, max_size=size)).map(lambda pair: (pair[0] + pair[1])[:size])
    rows = data.draw(st.lists(row, min_size=1, max_size=12))
    check(parse(matrix(rows, stride=64)), rows)


@pytest.mark.parametrize("shape", [(0, 172), (0, 0), (3, 0), (3, 11)])
def test_no_rows_and_rows_too_short_are_not_valid(shape: tuple[int, int]) -> None:
    columns = parse(np.full(shape, 0x80, np.uint8))
    assert len(columns) == shape[0]
    assert not columns.valid.any()


def test_read_only_buffers_are_enough() -> None:
    rows = np.frombuffer(packet() * 3, np.uint8).reshape(3, -1)
    assert parse(rows).valid.all()


def test_sequence_wraps_forwards_and_backwards() -> None:
    seq = np.array([65534, 65535, 1, 0, 2, 65533], np.uint16)
    assert extend_sequence(seq, None).tolist() == [65534, 65535, 65537, 65536, 65538, 65533]
    assert extend_sequence(seq[2:], 65535 + (3 << 16)).tolist() == [(4 << 16) + n for n in (1, 0, 2, -3)]
    assert extend_sequence(np.array([65535], np.uint16), 0).tolist() == [-1]


def test_timestamp_wraps() -> None:
    rtp_time = np.array([0xFFFF_FFF0, 0x90, 0xFFFF_FFF0], np.uint32)
    assert extend_timestamp(rtp_time, None).tolist() == [0xFFFF_FFF0, 0x1_0000_0090, 0xFFFF_FFF0]


@bounded
@given(
    st.sampled_from([(np.uint16, extend_sequence), (np.uint32, extend_timestamp)]),
    st.data(),
    st.one_of(st.none(), st.integers(-(1 << 40), 1 << 40)),
)
def test_unwrapping_is_congruent_near_and_the_same_in_two_parts(kind, data: st.DataObject, base: int | None) -> None:
    dtype, extend = kind
    modulus = int(np.iinfo(dtype).max) + 1
    numbers = data.draw(st.lists(st.integers(0, modulus - 1), max_size=30))
    cut = data.draw(st.integers(0, len(numbers)))
    counter = np.array(numbers, dtype)
    whole = extend(counter, base)
    assert (whole % modulus).tolist() == numbers
    steps = np.diff(whole, prepend=[base] if base is not None and numbers else [])
    assert (np.abs(steps) <= modulus // 2).all()
    head = extend(counter[:cut], base)
    tail = extend(counter[cut:], int(head[-1]) if cut else base)
    assert np.concatenate((head, tail)).tolist() == whole.tolist()
