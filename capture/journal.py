"""The journal's blocks: what the wire showed, in the one form that assembly reads. Little-endian, self-contained,
checked by CRC32C.

| kind       | directory                        | data                                                     |
|------------|----------------------------------|----------------------------------------------------------|
| MEDIA      | `EXTENT` a flow and packet size  | rows `(capture time ns <i8, UDP payload)`, a flow together |
| SIGNALLING | `FRAME` a frame                  | whole frames, verbatim                                   |
| EVENT      | none                             | a JSON array of `Event`                                  |
| RAW        | one `ORIGIN`                     | a ring block that the parser could not handle, verbatim  |

A block is header, directory, data. The header's checksum covers header and directory; the directory (or the header,
where the data is one piece) holds the checksums of the data, so that one flow can be read and checked without the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec
import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from capture.errors import JournalError
from capture.flows import FLOW
from capture.records import GUARD_BYTES, RecordBatch

MAGIC = b"RKBJ"
VERSION = 1
MAX_BLOCK_BYTES = 1 << 30
MAX_SPAN_NS = 5_000_000_000
"""A block never covers more capture time than this, so that gaps are seen alike however the blocks fall."""

HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("version", "<u2"),
        ("kind", "<u2"),
        ("bytes", "<u8"),
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
        ("entries", "<u4"),
        ("data_crc", "<u4"),
        ("reserved", "<u4"),
        ("crc", "<u4"),
    ]
)
EXTENT = np.dtype(
    [
        ("flow", FLOW),
        ("address", "<u8"),
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
        ("rows", "<u4"),
        ("captured", "<u2"),
        ("wire", "<u2"),
        ("crc", "<u4"),
        ("reserved", "<u4"),
    ]
)
"""Packets of one flow and one size. `address` counts from the block's start in the file, from the journal's start in
memory."""
FRAME = np.dtype(
    [
        ("ts_ns", "<i8"),
        ("start", "<u4"),
        ("captured", "<u4"),
        ("wire", "<u4"),
        ("interface", "<u2"),
        ("link_type", "<u2"),
    ]
)
ORIGIN = np.dtype([("interface", "<u4")])
"""Where a raw block came from."""
ROW_PREFIX_BYTES = 8
"""Bytes of capture time before the payload in a media row."""

Bytes = npt.NDArray[np.uint8]


class BlockKind(IntEnum):
    """What a block holds."""

    MEDIA = 1
    SIGNALLING = 2
    EVENT = 3
    RAW = 4


_ENTRY_BYTES = {
    int(BlockKind.MEDIA): EXTENT.itemsize,
    int(BlockKind.SIGNALLING): FRAME.itemsize,
    int(BlockKind.EVENT): 0,
    int(BlockKind.RAW): ORIGIN.itemsize,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to the recorder, on the packets' time line."""

    ts_ns: int
    """When, capture time."""
    kind: str
    """`start`, `end_of_input`, `interface`, ..."""
    detail: dict[str, str | int]
    """Named facts; no numbers of callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaBlock:
    """RTP packets by flow."""

    first_ns: int
    last_ns: int
    extents: npt.NDArray[np.void]
    """`EXTENT` records, shape `(n,)`, with addresses in the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignallingBlock:
    """Whole frames: SIP, RTCP, fragments, and what tells of encryption."""

    first_ns: int
    last_ns: int
    frames: RecordBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBlock:
    """Events, in order."""

    first_ns: int
    last_ns: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawBlock:
    """A ring block that the parser could not handle, to be tried again."""

    first_ns: int
    last_ns: int
    interface: int
    """Number of the interface whose ring it is."""
    data: Bytes
    """The ring block as the kernel filled it, shape `(n,)`."""


Block = MediaBlock | SignallingBlock | EventBlock | RawBlock


def serialize_media(first_ns: int, last_ns: int, extents: npt.NDArray[np.void], rows: Sequence[Bytes]) -> list[Bytes]:
    """Lay out a media block.

    Args:
        first_ns, last_ns: the capture time it covers.
        extents: `EXTENT` records without addresses and checksums, in the order of the data; both are filled in.
        rows: the rows, shape `(n, 8 + captured)` each, one array a packet size, contiguous.

    Returns:
        The pieces to write one after the other.
    """
    sizes = extents["rows"].astype(np.int64) * (extents["captured"].astype(np.int64) + ROW_PREFIX_BYTES)
    ends = np.cumsum(sizes)
    start = HEADER.itemsize + extents.nbytes
    extents["address"] = start + ends - sizes
    checksums: list[int] = []
    done = 0
    bounds = ends.tolist()
    for piece in rows:
        data = piece.reshape(-1).data
        offset = 0
        while offset < len(data):
            until = bounds[len(checksums)] - done
            checksums.append(crc32c(data[offset:until]))
            offset = until
        done += len(data)
    extents["crc"] = checksums
    directory = extents.view(np.uint8)
    header = _header(BlockKind.MEDIA, first_ns, last_ns, len(extents), directory, done, 0)
    return [header, directory, *(piece.reshape(-1) for piece in rows)]


def serialize_signalling(batch: RecordBatch) -> list[Bytes]:
    """Lay out a signalling block holding the batch's frames (at least one), verbatim and close together."""
    starts = np.cumsum(batch.captured) - batch.captured
    data = np.concatenate(
        [batch.buffer[s : s + n] for s, n in zip(batch.start.tolist(), batch.captured.tolist(), strict=True)]
    )
    directory = np.zeros(len(batch), FRAME)
    directory["ts_ns"], directory["start"] = batch.ts_ns, starts
    directory["captured"], directory["wire"] = batch.captured, batch.wire
    directory["interface"], directory["link_type"] = batch.interface, batch.link_type
    raw = directory.view(np.uint8)
    first_ns, last_ns = int(batch.ts_ns.min()), int(batch.ts_ns.max())
    header = _header(BlockKind.SIGNALLING, first_ns, last_ns, len(batch), raw, len(data), crc32c(data.data))
    return [header, raw, data]


def serialize_events(events: Sequence[Event]) -> list[Bytes]:
    """Lay out an event block (at least one event)."""
    data = np.frombuffer(msgspec.json.encode(events), np.uint8)
    empty = np.zeros(0, np.uint8)
    times = [event.ts_ns for event in events]
    header = _header(BlockKind.EVENT, min(times), max(times), len(events), empty, len(data), crc32c(data.data))
    return [header, empty, data]


def serialize_raw(first_ns: int, last_ns: int, interface: int, data: Bytes) -> list[Bytes]:
    """Lay out a raw block: a ring block's bytes, shape `(n,)`, contiguous, and the capture time it covers."""
    directory = np.array([(interface,)], ORIGIN).view(np.uint8)
    header = _header(BlockKind.RAW, first_ns, last_ns, 1, directory, len(data), crc32c(data.data))
    return [header, directory, data]


def _header(
    kind: BlockKind, first_ns: int, last_ns: int, entries: int, directory: Bytes, data_bytes: int, data_crc: int
) -> Bytes:
    header = np.zeros(1, HEADER)
    total = HEADER.itemsize + len(directory) + data_bytes
    header[0] = (MAGIC, VERSION, kind, total, first_ns, last_ns, entries, data_crc, 0, 0)
    header["crc"] = _header_crc(header, directory)
    return header.view(np.uint8)


def _header_crc(header: npt.NDArray[np.void], directory: Bytes) -> int:
    crc: int = crc32c(directory.data, crc32c(header.view(np.uint8)[:-4].tobytes()))
    return crc


def parse_header(raw: bytes) -> npt.NDArray[np.void]:
    """Read a block's header: an array of one `HEADER`.

    Raises:
        JournalError: not a header of this version, or sizes that cannot be. The checksum is looked at by `parse`.
    """
    if len(raw) < HEADER.itemsize:
        raise JournalError("block header is cut short")
    header = np.frombuffer(raw[: HEADER.itemsize], HEADER)
    head = header[0]
    if head["magic"] != MAGIC or head["version"] != VERSION:
        raise JournalError("not a journal block of this version")
    if head["kind"] not in _ENTRY_BYTES:
        raise JournalError("unknown kind of block")
    if not HEADER.itemsize + directory_bytes(header) <= int(head["bytes"]) <= MAX_BLOCK_BYTES:
        raise JournalError("block size out of range")
    return header


def directory_bytes(header: npt.NDArray[np.void]) -> int:
    """Size of the directory that follows the header."""
    return int(header[0]["entries"]) * _ENTRY_BYTES[int(header[0]["kind"])]


def checksum_fits(header: npt.NDArray[np.void], directory: Bytes) -> bool:
    """Tell whether header and directory are as they were written; says nothing of the data."""
    return len(directory) == directory_bytes(header) and _header_crc(header, directory) == int(header[0]["crc"])


def parse(raw: Bytes, address: int) -> Block:
    """Read a block; of a media block header and directory are enough.

    Args:
        raw: its bytes, shape `(n,)`.
        address: where it begins in the journal.

    Raises:
        JournalError: torn or altered.
    """
    header = parse_header(raw[: HEADER.itemsize].tobytes())
    head = header[0]
    size = directory_bytes(header)
    directory = raw[HEADER.itemsize : HEADER.itemsize + size]
    if not checksum_fits(header, directory):
        raise JournalError("block directory fails its checksum")
    first_ns, last_ns = int(head["first_ns"]), int(head["last_ns"])
    if head["kind"] == BlockKind.MEDIA:
        extents = _extents(directory.view(EXTENT), int(head["bytes"]))
        extents["address"] += np.uint64(address)
        return MediaBlock(first_ns=first_ns, last_ns=last_ns, extents=extents)
    data = raw[HEADER.itemsize + size : int(head["bytes"])]
    if crc32c(data.data) != head["data_crc"]:
        raise JournalError("block data fails its checksum")
    if head["kind"] == BlockKind.EVENT:
        try:
            events = msgspec.json.decode(data.tobytes(), type=tuple[Event, ...])
        except msgspec.MsgspecError:
            raise JournalError("events do not read") from None
        return EventBlock(first_ns=first_ns, last_ns=last_ns, events=events)
    if head["kind"] == BlockKind.RAW:
        return RawBlock(first_ns=first_ns, last_ns=last_ns, interface=_interface(directory), data=data)
    return SignallingBlock(first_ns=first_ns, last_ns=last_ns, frames=_frames(directory.view(FRAME), data))


def _extents(directory: npt.NDArray[np.void], block_bytes: int) -> npt.NDArray[np.void]:
    """Copy a media directory whose data lie in the block."""
    low = HEADER.itemsize + directory.nbytes
    sizes = directory["rows"].astype(np.uint64) * (
        directory["captured"].astype(np.uint64) + np.uint64(ROW_PREFIX_BYTES)
    )
    start = directory["address"]
    if (start < low).any() or (start > block_bytes).any() or (start + sizes > block_bytes).any():
        raise JournalError("extent outside its block")
    return directory.copy()


def _interface(directory: Bytes) -> int:
    if len(directory) != ORIGIN.itemsize:
        raise JournalError("raw block of no one interface")
    return int(directory.view(ORIGIN)[0]["interface"])


def _frames(directory: npt.NDArray[np.void], data: Bytes) -> RecordBatch:
    if (directory["start"].astype(np.int64) + directory["captured"] > len(data)).any():
        raise JournalError("frame outside its block")
    return RecordBatch(
        buffer=np.concatenate((data, np.zeros(GUARD_BYTES, np.uint8))),
        start=directory["start"].astype(np.int64),
        captured=directory["captured"].astype(np.int64),
        wire=directory["wire"].astype(np.int64),
        ts_ns=directory["ts_ns"].astype(np.int64),
        interface=directory["interface"].copy(),
        link_type=directory["link_type"].copy(),
    )
