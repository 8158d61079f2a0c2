"""Erasure, step by step, so that it goes on to the same end wherever it was killed.

| step | what is done                                    | killed behind it                                        |
|------|-------------------------------------------------|---------------------------------------------------------|
| 1    | the intent is written, durably                  | the next start goes on with 2                           |
| 2    | the ledger says so, signed                      | ... with 3: what the ledger calls erased is taken away  |
| 3    | each call's parts go, then its record           | ... with the rest of them                               |
| 4    | the folders are synced                          | ... with 5                                              |
| 5    | the intent is removed                           | done                                                    |

The ledger comes before the files: a recording that is missing without a line about it would be taken for stolen, one
that is there although erased is found and taken away. The intent holds file names, and so numbers, for as long as the
erasure takes.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from storage.archive import Archive, read_record
from storage.disk import DRAFT_PATTERN, Directories, Disk, replace_file
from storage.errors import ArchiveError, DiskFullError, from_os_error
from storage.layout import day_folder
from storage.ledger.entries import Erasure
from storage.ledger.ledger import Ledger

INTENT_NAME = "erasing.json"
BALLAST_NAME = "ballast"
BALLAST_BYTES = 1 << 20
"""Given back when there is no room even to say what is to be erased."""
FILES_AT_ONCE = 20
"""Removed between two steps of the iterator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """A call that is to be erased."""

    call_id: str
    """The call's id."""
    files: tuple[str, ...]
    """Its media in quarantine, records of its late packets, its parts and sidecars, then its record; paths in the
    archive."""
    parts: int
    """How many parts those are."""
    bytes: int
    """Room that all its files take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An erasure that has begun."""

    entry: Erasure
    """What the ledger says of it."""
    victims: tuple[Victim, ...]
    """The calls, those that `entry` names."""


def victim(archive: Archive, call_id: str, day: str) -> Victim | None:
    """What the archive holds of a call whose record lies in the folder of this local day; None without a record.

    Raises DamagedRecordError when the record cannot be read.
    """
    record_path = archive.records / day_folder(day) / f"{call_id}.json"
    if not os.path.lexists(record_path):
        return None
    record = read_record(record_path)
    parts = [archive.part_path(part.name) for part in record.parts]
    sidecars = [part.with_suffix(".json") for part in parts if part.suffix == ".wav"]
    set_aside = sorted(archive.quarantine.glob(f"{call_id}-*"))
    there = [file for file in (*set_aside, *parts, *sidecars, record_path) if os.path.lexists(file)]
    return Victim(
        call_id=call_id,
        files=tuple(str(file.relative_to(archive.root)) for file in there),
        parts=len(parts),
        bytes=sum(file.lstat().st_size for file in there),
    )


def with_late(archive: Archive, ledger: Ledger, one: Victim) -> Victim:
    """A call that is to be erased, with the records of its late packets.

    To be asked when nothing is written any more before the erasure stands in the ledger: such records may come at any
    time.
    """
    known = (archive.late_file(late.day, late.call_id, late.ssrc, late.first_ns) for late in ledger.late(one.call_id))
    there = [file for file in known if os.path.lexists(file)]
    return replace(
        one,
        files=(*(str(file.relative_to(archive.root)) for file in there), *one.files),
        bytes=one.bytes + sum(file.lstat().st_size for file in there),
    )


class Eraser:
    """Erases in one archive, one erasure at a time. For the archive's writer alone."""

    def __init__(self, archive: Archive, ledger: Ledger, disk: Disk) -> None:
        self._archive = archive
        self._ledger = ledger
        self._disk = disk
        self._directories = Directories(disk)
        self._intent = archive.retention / INTENT_NAME
        self.entry_number = -1
        """Number of the ledger entry about the last erasure."""

    def pending(self) -> Intent | None:
        """The erasure that was begun and not finished.

        Raises ArchiveError when its file cannot be read: nothing more must be erased until a person has looked.
        """
        try:
            return msgspec.json.decode(self._intent.read_bytes(), type=Intent)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            raise ArchiveError(f"retention/{INTENT_NAME} cannot be read: an erasure is not finished") from error

    def erase(self, intent: Intent, now_ns: int) -> Iterator[None]:
        """Erase what the intent names, a step for each time the iterator is asked; the first ends with the ledger's
        line, from which on nothing of the calls is written again.

        Raises DiskFullError or ArchiveError when the disk fails; once the intent is written the erasure is then
        finished by `resume`.
        """
        assert self.pending() is None, "an erasure is in progress"
        self._write_intent(intent)
        yield from self._carry_out(intent, now_ns)

    def resume(self, now_ns: int) -> Iterator[None]:
        """Finish what was begun, if anything was, and clear what a killed process left."""
        for draft in self._archive.retention.glob(DRAFT_PATTERN):
            self._remove(draft)
        intent = self.pending()
        if intent is not None:
            yield from self._carry_out(intent, now_ns)

    def _carry_out(self, intent: Intent, now_ns: int) -> Iterator[None]:
        if not all(self._ledger.is_erased(victim.call_id) for victim in intent.victims):
            self.entry_number = self._ledger.size
            self._ledger.append((intent.entry,))
        self.with_room(lambda: self._ledger.commit(now_ns))
        yield
        files = [self._archive.root / file for victim in intent.victims for file in victim.files]
        for number, file in enumerate(files, 1):
            if file.parent == self._archive.quarantine:
                self._empty(file)
            else:
                self._remove(file)
            if number % FILES_AT_ONCE == 0:
                yield
        self._directories.sync()
        yield
        self._remove(self._intent)
        self._directories.sync()
        self.keep_ballast()

    def _remove(self, path: Path) -> None:
        try:
            self._disk.remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise from_os_error(error, "erase a file of the archive") from error
        self._directories.note(path.parent)

    def _empty(self, path: Path) -> None:
        """Leave nothing in a file of the quarantine: that it is there says that the call is not to be tried again."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                self._disk.truncate(descriptor, 0)
                self._disk.fsync(descriptor)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise from_os_error(error, "erase what was set aside") from error

    def _write_intent(self, intent: Intent) -> None:
        self._directories.make(self._archive.retention)
        content = msgspec.json.encode(intent)
        self.with_room(lambda: self._replace(self._intent, content))
        self._directories.sync()

    def with_room(self, write: Callable[[], object]) -> None:
        """Write what has to be written so that room can be made; on a full disk into what was set aside for that."""
        try:
            write()
        except DiskFullError:
            self._remove(self._archive.retention / BALLAST_NAME)
            write()

    def keep_ballast(self) -> None:
        """Set room aside for the day when there is none. Without room now, nothing is done."""
        self._directories.make(self._archive.retention)
        path = self._archive.retention / BALLAST_NAME
        if not path.exists():
            try:
                self._replace(path, os.urandom(BALLAST_BYTES))  # a file system that compresses must not see through it
            except (DiskFullError, ArchiveError):
                return

    def _replace(self, path: Path, content: bytes) -> None:
        draft = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        try:
            replace_file(self._disk, draft, path, content)
        except OSError as error:
            raise from_os_error(error, "note an erasure") from error
        self._directories.note(path.parent)
