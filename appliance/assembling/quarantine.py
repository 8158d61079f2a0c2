"""What assembly cannot get past is set aside: a journal block after three deaths over it, a recording at once when it
fails, after three deaths over it when it takes the process with it.

| in hand   | an exception                       | the process dies over it, three times in a row              |
|-----------|------------------------------------|-------------------------------------------------------------|
| a call    | at once: `decode_failed`           | likewise; its media are kept                                |
| a block   | ends the process, counts as death  | the block is kept, and its time is capture loss             |

An exception within a block leaves the state half changed, so the process ends with it and the next one begins at the
snapshot. Deaths without a trace (`inhand`) may have struck at random: of those it takes `UNEXPLAINED_TRIES` in a row
over the same thing, with no other death in between. What is set aside is known by files: a replay leaves it out too.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance.assembling import quarantinedmedia, setaside
from appliance.assembling.inhand import Death, InHand
from appliance.assembling.setaside import BLOCK_DIGITS, CALL_DIGITS
from appliance.assembly.isolation import ID_DIGITS, Isolation, cause_of
from capture import journal
from capture.binding import BoundStream
from capture.errors import JournalError
from capture.journalreader import JournalReader
from capture.packets import ReadInto
from storage.errors import StorageError

TRIES = 3
UNEXPLAINED_TRIES = 10
MAX_BYTES = 1 << 30
"""Beyond, of what is set aside only the names are kept."""
_TRIED_NAME = "assembly.tried"


@dataclass(slots=True, kw_only=True)
class _Tried:
    """Deaths in a row over one thing."""

    subject: str = ""
    deaths: int = 0
    unexplained: int = 0


@dataclass(slots=True, kw_only=True)
class Quarantine(Isolation):
    """Knows what is set aside: blocks by address, calls by id. A context: what is in hand is noted within it."""

    directory: Path
    spool: Path
    """Where marks and counts are kept."""
    _blocks: set[int] = field(init=False, default_factory=set)
    _calls: set[str] = field(init=False, default_factory=set)
    _tried: _Tried = field(init=False, default_factory=_Tried)
    _in_hand: InHand = field(init=False)

    def __post_init__(self) -> None:
        self._in_hand = InHand(self.spool)

    def __enter__(self) -> "Quarantine":
        """Look what there is, and what the process before this one died over."""
        self.directory.mkdir(mode=0o750, exist_ok=True)
        for name in setaside.names(self.directory):
            if len(name) == BLOCK_DIGITS:
                self._blocks.add(int(name, 16))
            else:
                self._calls.add(name[:CALL_DIGITS])
        self._tried = self._read_tried()
        found = self._in_hand.found()
        if found is not None and found.death is not Death.AT_DISK:
            self._count(found.subject, unexplained=found.death is Death.UNEXPLAINED)
        self._in_hand.open()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._in_hand.close()

    def is_held_block(self, address: int, reader: JournalReader) -> bool:
        """Whether a block is set aside; one whose tries are used up is, now."""
        if address not in self._blocks and self._is_used_up(_block_subject(address)):
            self._keep_block(address, reader)
        return address in self._blocks

    @contextmanager
    def watching(self, address: int, reader: JournalReader) -> Iterator[None]:
        """Count what goes wrong with a block; a disk that fails is not the block's fault."""
        subject = _block_subject(address)
        try:
            with self._in_hand.holding(subject):
                yield
        except StorageError:
            raise
        except Exception:
            self._count(subject, unexplained=False)
            if self._is_used_up(subject):
                self._keep_block(address, reader)
            raise

    def is_held(self, call_id: str) -> bool:
        """Whether nothing of this recording is to be tried."""
        return call_id in self._calls or self._is_used_up(_call_subject(call_id))

    @contextmanager
    def in_hand(self, call_id: str) -> Iterator[None]:
        """Within the context a recording is being made: a death now is its doing."""
        with self._in_hand.holding(_call_subject(call_id)):
            yield

    def set_aside(self, call_id: str, error: Exception | None) -> None:
        """A recording is made no further; `error` is why, None when processes died over it."""
        self.tell(f"alarm: call {call_id[:ID_DIGITS]} is set aside in quarantine: {cause_of(error)}")
        self._calls.add(call_id)

    def keep(self, call_id: str, streams: Sequence[BoundStream], read_into: ReadInto) -> None:
        """Keep media of a recording that is set aside."""
        last_ns = max((run.last_ns for stream in streams for run in stream.runs), default=0)
        pieces = (piece.data for block in quarantinedmedia.blocks(streams, read_into) for piece in block if len(piece))
        self._keep(f"{call_id}-{last_ns}", pieces)

    def _keep_block(self, address: int, reader: JournalReader) -> None:
        self.tell(f"alarm: journal block {address:016x} is set aside in quarantine: {TRIES} processes died over it")
        self._blocks.add(address)
        self._keep(f"{address:016x}", _whole(address, reader))

    def _keep(self, name: str, pieces: Iterator[memoryview]) -> None:
        """Write a file under its name, whole or, where there is no room, empty."""
        draft = self.directory / f".{name}.tmp"
        room = MAX_BYTES - sum(size_of(path) for path in self.directory.glob("*.rkj"))
        try:
            with draft.open("wb") as file:
                for piece in pieces:
                    room -= len(piece)
                    if room < 0:
                        file.truncate(0)
                        self.tell(f"quarantine is full, {name[:BLOCK_DIGITS]} is not kept")
                        break
                    file.write(piece)
                file.flush()
                os.fdatasync(file.fileno())
            draft.rename(self.directory / f"{name}.rkj")
        except OSError as error:
            self.tell(f"{name[:BLOCK_DIGITS]} cannot be kept in quarantine: {error.strerror}")
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _count(self, subject: str, *, unexplained: bool) -> None:
        """Note one more death over a subject; those over another one are forgotten."""
        if self._tried.subject != subject:
            self._tried = _Tried(subject=subject)
        tried = self._tried
        tried.deaths += not unexplained
        tried.unexplained += unexplained
        draft = self._path.with_suffix(".tmp")
        with suppress(OSError):
            draft.write_text(json.dumps([subject, tried.deaths, tried.unexplained]), "ascii")
            draft.rename(self._path)

    def _is_used_up(self, subject: str) -> bool:
        tried = self._tried
        return tried.subject == subject and (tried.deaths >= TRIES or tried.unexplained >= UNEXPLAINED_TRIES)

    def _read_tried(self) -> _Tried:
        try:
            subject, deaths, unexplained = json.loads(self._path.read_text("ascii"))
            return _Tried(subject=str(subject), deaths=int(deaths), unexplained=int(unexplained))
        except (OSError, ValueError):
            return _Tried()

    @property
    def _path(self) -> Path:
        return self.spool / _TRIED_NAME


def size_of(path: Path) -> int:
    """How large a file is; 0 when it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _block_subject(address: int) -> str:
    return f"block {address:016x}"


def _call_subject(call_id: str) -> str:
    return f"call {call_id}"


def _whole(address: int, reader: JournalReader) -> Iterator[memoryview]:
    """Read a block as it lies in the journal; nothing when it cannot be read any more."""
    with suppress(JournalError):
        header = bytearray(journal.HEADER.itemsize)
        reader.read_into(address, memoryview(header))
        block = bytearray(int(journal.parse_header(bytes(header))[0]["bytes"]))
        reader.read_into(address, memoryview(block))
        yield memoryview(block)
