"""Reading a capture file (pcap or pcapng, either packed with gzip) in batches of records.

The format is told by its magic number, never by the file's name. Damage ends the reading and is stated in
`CaptureReader.damage`; every record before it is delivered.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from capture import blockchain, pcap, pcapng
from capture.bytesource import GZIP_MAGIC, ByteSource, GzipSource, PlainSource
from capture.errors import CaptureFileError
from capture.lanes import Bytes
from capture.records import GUARD_BYTES, RecordBatch
from capture.recordscan import MAX_RECORD_BYTES, Columns, Interface, Scanner

_LEAST_BATCH_BYTES = 4096
_FORMATS: tuple[tuple[Callable[[bytes], bool], int, Callable[[bytes], Scanner]], ...] = (
    (pcap.recognised, pcap.HEADER_BYTES, pcap.PcapScanner),
    (pcapng.recognised, blockchain.LEAST_SECTION_BYTES, pcapng.PcapngScanner),
)


class CaptureReader:
    """One capture file, read once, front to back. Raises `CaptureFileError` when it is no capture file at all."""

    damage: str | None
    """After reading: the offset and what is wrong there, or None."""
    size_bytes: int
    """Size of the file on disk."""
    records: int
    """Records delivered."""
    truncated_records: int
    """Those with fewer bytes captured than were on the wire."""

    def __init__(self, path: Path, *, batch_bytes: int = 16 << 20) -> None:
        self._path = path
        self._batch_bytes = min(max(batch_bytes, _LEAST_BATCH_BYTES), MAX_RECORD_BYTES)
        self._buffer: Bytes = np.zeros(self._batch_bytes + GUARD_BYTES, np.uint8)
        self._offset = self._position = self._end = self._dropped = 0
        self._exhausted = self._finished = False
        self.damage = None
        self.records = self.truncated_records = 0
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise CaptureFileError(f"{path}: {error.strerror}") from error
        try:
            self.size_bytes = os.fstat(self._file.fileno()).st_size
            self._source: ByteSource = PlainSource(self._file)
            self._scanner = self._open()
        except CaptureFileError:
            self.close()
            raise

    @property
    def position_bytes(self) -> int:
        """How far the file on disk was read; compressed bytes when it is packed."""
        return self._source.position_bytes

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        """The interfaces described so far; `RecordBatch.interface` is an index into them."""
        return tuple(self._scanner.interfaces)

    @property
    def skipped_blocks(self) -> int:
        """Blocks of unknown type and packet blocks of interfaces that the file does not describe."""
        return self._scanner.skipped_blocks

    @property
    def missing_time(self) -> int:
        """Records without a timestamp, which got that of the record before."""
        return self._scanner.missing_time

    def __iter__(self) -> Iterator[RecordBatch]:
        """Deliver the records; a batch is valid until the next one is asked for."""
        needs_bytes = 0
        while not self._finished:
            self._fill(max(self._batch_bytes, needs_bytes))
            parts: list[Columns] = []
            needs_bytes = self._scan_window(parts)
            if self._exhausted and not self._finished:
                self._finish(parts, needs_bytes)
            if parts:
                yield self._batch(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Scanner:
        self._fill(_LEAST_BATCH_BYTES)
        head = bytes(self._buffer[: self._end])
        if head[:2] == GZIP_MAGIC:
            self._source = GzipSource(self._source, head)
            self._end = 0
            self._exhausted = False
            self._fill(_LEAST_BATCH_BYTES)
            head = bytes(self._buffer[: self._end])
        for module_recognises, least_bytes, scanner in _FORMATS:
            if module_recognises(head):
                if len(head) < least_bytes:
                    raise CaptureFileError(f"{self._path}: {self._at(0)}: file ends inside its header")
                made = scanner(head)
                self._position = made.first_record
                return made
        what = "the file is empty" if not head else "not a pcap or pcapng file (no magic number of either)"
        raise CaptureFileError(f"{self._path}: {self._source.damage or f'{self._at(0)}: {what}'}")

    def _at(self, position: int) -> str:
        return f"{self._source.offset_name} {self._offset + position}"

    def _fill(self, goal_bytes: int) -> None:
        """Move the rest of the window to the buffer's front and read until it is `goal_bytes` long or the file ends."""
        rest = self._buffer[self._position : self._end]
        if goal_bytes + GUARD_BYTES > len(self._buffer):
            self._buffer = np.empty(goal_bytes + GUARD_BYTES, np.uint8)
        self._buffer[: len(rest)] = rest
        self._offset += self._position
        self._position, self._end = 0, len(rest)
        view = self._buffer.data
        while self._end < goal_bytes and not self._exhausted:
            size = self._source.readinto(view[self._end : goal_bytes])
            self._end += size
            self._exhausted = size == 0
        self._drop_behind()
        self._buffer[self._end : self._end + GUARD_BYTES] = 0

    def _drop_behind(self) -> None:
        """Give back the page cache behind us: a file read once must not push out what a recorder beside it needs."""
        done = self._source.position_bytes
        with contextlib.suppress(OSError):  # a pipe has none
            os.posix_fadvise(self._file.fileno(), self._dropped, done - self._dropped, os.POSIX_FADV_DONTNEED)
        self._dropped = done

    def _scan_window(self, parts: list[Columns]) -> int:
        """Collect the columns of all whole records in the window; returns how many bytes the next record needs."""
        window = self._buffer[: self._end + GUARD_BYTES]
        while True:
            scan = self._scanner.scan(window, self._position, self._end)
            self._position = scan.position
            if scan.columns is not None and len(scan.columns.start):
                parts.append(scan.columns)
            if scan.damage is not None:
                self.damage = f"{self._at(scan.position)}: {scan.damage}"
                self._finished = True
            if scan.needs_bytes or self._finished:
                return scan.needs_bytes

    def _finish(self, parts: list[Columns], needs_bytes: int) -> None:
        """Take what is there of a record that the file's end cuts."""
        self._finished = True
        self.damage = self._source.damage
        rest_bytes = self._end - self._position
        if rest_bytes == 0:
            return
        if self.damage is None:
            missing = f"({needs_bytes - rest_bytes} bytes missing)"
            self.damage = f"{self._at(self._position)}: file ends inside a record {missing}"
        window = self._buffer[: self._end + GUARD_BYTES]
        tail = self._scanner.tail(window, self._position, self._end)
        if tail is not None:
            parts.append(tail)

    def _batch(self, parts: list[Columns]) -> RecordBatch:
        columns = parts[0] if len(parts) == 1 else Columns(*map(np.concatenate, zip(*parts, strict=True)))
        self.records += len(columns.start)
        self.truncated_records += int((columns.captured < columns.wire).sum())
        return RecordBatch(buffer=self._buffer[: self._end + GUARD_BYTES], **columns._asdict())
