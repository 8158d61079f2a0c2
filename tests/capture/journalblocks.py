"""Journal blocks of every kind, told apart by number, and what a reader finds in them."""

import random
from pathlib import Path

import numpy as np
from crc32c import crc32c

from capture import journal, journalscan
from capture.journal import EXTENT, Block, BlockKind, Bytes, Event, EventBlock, MediaBlock, RawBlock, SignallingBlock
from capture.journalreader import JournalReader
from capture.journalstore import JournalStore
from tests.capture.batches import batch_of

KINDS = list(BlockKind)


def content(number: int, size: int) -> bytes:
    """What block `number` holds: no two are alike."""
    return random.Random(number).randbytes(size)


def pieces(number: int, size: int = 40, kind: BlockKind | None = None) -> list[Bytes]:
    """Block `number`, whose capture time is its number."""
    data = np.frombuffer(content(number, size), np.uint8)
    match KINDS[number % len(KINDS)] if kind is None else kind:
        case BlockKind.MEDIA:
            half = size // 2
            extents = np.zeros(2, EXTENT)
            extents["rows"] = 1
            extents["captured"] = half, size - half
            times = np.zeros(8, np.uint8)
            rows = [np.concatenate((times, part)).reshape(1, -1) for part in (data[:half], data[half:])]
            return journal.serialize_media(number, number, extents, rows)
        case BlockKind.SIGNALLING:
            return journal.serialize_signalling(batch_of([data.tobytes()], times=[number]))
        case BlockKind.EVENT:
            return journal.serialize_events([Event(ts_ns=number, kind="test", detail={"data": data.tobytes().hex()})])
        case BlockKind.RAW:
            return journal.serialize_raw(number, number, number % 7, data)


def octets(number: int, size: int = 40, kind: BlockKind | None = None) -> bytes:
    """The same as one piece."""
    return b"".join(piece.tobytes() for piece in pieces(number, size, kind))


def read_back(reader: JournalReader, block: Block) -> tuple[int, bytes]:
    """The number of a block that was read, and what it holds, its checksums looked at."""
    return block.first_ns, _data(reader, block)


def _data(reader: JournalReader, block: Block) -> bytes:
    match block:
        case MediaBlock():
            return b"".join(_row(reader, extent)[8:] for extent in block.extents)
        case SignallingBlock():
            (start,), (size,) = block.frames.start.tolist(), block.frames.captured.tolist()
            return block.frames.buffer[start : start + size].tobytes()
        case EventBlock():
            return bytes.fromhex(str(block.events[0].detail["data"]))
        case RawBlock():
            assert block.interface == block.first_ns % 7
            return block.data.tobytes()


def _row(reader: JournalReader, extent: np.void) -> bytes:
    row = bytearray(8 + int(extent["captured"]))
    reader.read_into(int(extent["address"]), memoryview(row))
    assert crc32c(bytes(row)) == extent["crc"]
    return bytes(row)


def drain(reader: JournalReader) -> list[tuple[int, bytes]]:
    """All that can be read now."""
    found = []
    while (entry := reader.next()) is not None:
        found.append(read_back(reader, entry[1]))
    return found


def expected(numbers: list[int] | range, size: int = 40) -> list[tuple[int, bytes]]:
    """What `drain` gives for these blocks."""
    return [(number, content(number, size)) for number in numbers]


def put(directory: Path, number: int, data: bytes) -> Path:
    """A journal file with this content."""
    path = journalscan.path_of(directory, number)
    path.write_bytes(data)
    return path


def journal_of(directory: Path, numbers: range, *, file_bytes: int, size: int = 40) -> list[int]:
    """A journal written and closed; the blocks' addresses."""
    with JournalStore(directory, file_bytes=file_bytes) as store:
        return [store.append(pieces(number, size)) for number in numbers]
