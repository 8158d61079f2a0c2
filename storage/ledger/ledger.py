"""The ledger of one archive, for its one writer. How it is meant to be called:

    with Ledger(settings, now_ns) as ledger:              # holding the archive's lock; makes or recovers everything
        if ledger.is_erased(call_id): ...                 # assembly does not write again what was erased
        writer.write_part(...); writer.sync()             # the part is renamed and its directory fsynced first
        ledger.append([Part(...), Call(...)])             # in memory; what stands there already is left out
        ledger.commit(now_ns)                             # once a second, or at the end of an import: one fsync for
                                                          # all, then a signed checkpoint
        for line in ledger.lines(first): ...              # then the index takes what is new, then the snapshot

An erasure is committed before its files are removed. When `commit` fails nothing is lost: what waits goes on waiting,
and the next `commit` writes it. Who was killed makes the same calls again. LedgerBrokenError means that nothing may be
signed until a person has looked; recordings can be made all the same, their lines follow later.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from storage.disk import Directories, Disk
from storage.errors import ConflictError, DeviceKeyError, LedgerBrokenError
from storage.layout import ID_DIGITS
from storage.ledger import checkpoint as checkpoints
from storage.ledger import entries, merkle, names
from storage.ledger.checkpoint import Checkpoint
from storage.ledger.checkpointfiles import CheckpointFiles
from storage.ledger.entries import (
    FILED,
    Call,
    Configuration,
    Delivery,
    Entry,
    Erasure,
    Filed,
    Hold,
    Inbox,
    Key,
    Late,
    Log,
    NextLog,
    Part,
    Seal,
    Subject,
)
from storage.ledger.keyfiles import KeyFiles
from storage.ledger.ledgerfile import LedgerFile, Line
from storage.ledger.predecessor import REPAIRING, Predecessor
from storage.ledger.proof import Proof
from storage.ledger.settings import Attribution, LedgerSettings
from storage.timestamps import rfc3339

_NOT_IN_ORIGIN = re.compile(r"[^0-9A-Za-z._-]")
_HELP = "`rokubox verify` tells more, `rokubox ledger --help` what to do"
_DAY_CHARACTERS = len("2026-01-02")


class Ledger:
    """An open ledger. A context, which closes the files; what was not committed is forgotten then."""

    def __init__(
        self,
        settings: LedgerSettings,
        now_ns: int,
        *,
        disk: Disk | None = None,
        successor: Attribution | None = None,
        after: Predecessor | None = None,
    ) -> None:
        """Open or make the ledger in `settings`, and sign what a killed process had written.

        `successor`: when there is no device key although the ledger has one (the box was replaced), take in a new one
        on behalf of this person. `after`: begin a log that goes on after a broken one.

        Raises LedgerBrokenError when the lines are not those of the checkpoint, DeviceKeyError when the key is not
        the one that the ledger names, DiskFullError or ArchiveError when the disk fails.
        """
        if after is None and (settings.directory / REPAIRING).exists():
            raise LedgerBrokenError(f"a repair of the ledger was begun and not finished; {_HELP}")
        self.zone = settings.zone
        """The site's time zone."""
        disk = disk or Disk()
        directories = Directories(disk)
        self._checkpoints = CheckpointFiles(settings, disk, directories)
        self._keys = KeyFiles(settings.key, disk, directories)
        self._unsealed = hashlib.sha256()
        self._unsealed_lines = 0
        self._signed_day = ""
        self._published: Checkpoint | None = None
        self._newest: Checkpoint | None = None
        try:
            self._newest = self._checkpoints.read()
            self._file = LedgerFile(settings.directory, self._newest, disk)
        except LedgerBrokenError as error:
            raise self._broken(error) from error
        try:
            if self.size:
                self._take_up(now_ns, successor)
            else:
                self._begin(settings.serial, now_ns, after)
            if self._checkpoints.trouble:
                self._checkpoints.store(self.checkpoint)
            self.commit(now_ns)
        except LedgerBrokenError as error:
            self._file.close()
            raise self._broken(error) from error
        except BaseException:
            self._file.close()
            raise

    def _broken(self, error: LedgerBrokenError) -> LedgerBrokenError:
        trouble = self._checkpoints.trouble
        copy = (
            f" (its checkpoint is {trouble}, looked at was the copy on the share)" if trouble and self._newest else ""
        )
        return LedgerBrokenError(f"{error}{copy}; {_HELP}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def size(self) -> int:
        """Entries, those that wait included."""
        return self._file.size

    @property
    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint."""
        assert self._newest is not None  # opening signs one
        return self._newest

    @property
    def alarm(self) -> str:
        """What people should know about how the ledger was found; empty when all was well."""
        trouble = self._checkpoints.trouble
        return f"the ledger's checkpoint was {trouble}; its copy on the share took its place" if trouble else ""

    @property
    def torn_bytes(self) -> int:
        """What opening cut off at the end, left there by a power cut."""
        return self._file.torn_bytes

    def append(self, new: Iterable[Entry]) -> int:
        """Add entries, to be written by the next `commit`, and say how many; a file that stands is left out.

        Raises ConflictError when a file stands with other hashes, LedgerError when an entry is not valid; the entries
        before it are added.
        """
        before = self.size
        for entry in new:
            if not isinstance(entry, FILED) or not self._stands(entry):
                self._add(entry, entries.serialize(entry))
        return self.size - before

    def has_part(self, call_id: str, part: int) -> bool:
        """Whether the part is in the ledger, and was not erased since."""
        return isinstance(self._last_word(Subject(call_id=call_id, part=part)), Part)

    def has_call(self, call_id: str) -> bool:
        """Whether the call's record is in the ledger, and was not erased since."""
        return isinstance(self._last_word(Subject(call_id=call_id)), Call)

    def is_erased(self, call_id: str, part: int = 0) -> bool:
        """Whether the last that the ledger says of the part (0: the whole call) is that it was erased."""
        return isinstance(self._last_word(Subject(call_id=call_id, part=part)), Erasure)

    def erasure(self, call_id: str) -> Line | None:
        """The line by which the whole call was erased; None when it was not, or came again since."""
        found: Line | None = None
        for line in self._file.named({names.key(call_id)}):
            match line.entry:
                case Erasure() as entry if call_id in entry.call_ids:
                    found = line
                case Call() as entry if entry.call_id == call_id:
                    found = None
                case _:
                    pass
        return found

    def late(self, call_id: str) -> list[Late]:
        """The records of late packets of a call that are in the ledger, and were not erased since."""
        found: list[Late] = []
        for line in self._file.named({names.key(call_id), names.key(call_id, names.LATE)}):
            if isinstance(line.entry, Late) and line.entry.call_id == call_id:
                found.append(line.entry)
            elif isinstance(line.entry, Erasure) and call_id in line.entry.call_ids:
                found.clear()
        return found

    def deliveries(self, call_id: str) -> Iterator[Delivery]:
        """Receipts of the call's parts, and where delivery was given up, oldest first."""
        for line in self._file.named({names.key(call_id, names.DELIVERY)}):
            if isinstance(line.entry, Delivery):
                yield line.entry

    def inbox(self, call_id: str) -> Iterator[Inbox]:
        """That the call was delivered to us, each time."""
        for line in self._file.named({names.key(call_id, names.INBOX)}):
            if isinstance(line.entry, Inbox) and line.entry.call_id == call_id:
                yield line.entry

    def lines(self, first: int = 0) -> Iterator[Line]:
        """The lines from number `first` on, oldest first. Raises LedgerBrokenError at one that is none."""
        return self._file.lines(first)

    def commit(self, now_ns: int) -> Checkpoint:
        """Bring what waits to the disk and sign a checkpoint over it; the newest one when nothing waits.

        Raises DiskFullError or ArchiveError when the disk fails; the next call tries again.
        """
        at = rfc3339(now_ns, self.zone)
        if self._unsealed_lines:
            seal = Seal(entries=self._unsealed_lines, sha256=self._unsealed.hexdigest(), at=at)
            self._add(seal, entries.serialize(seal))
        if self._newest is None or self._newest.size < self.size:
            self._file.flush()
            self._sign(at[:_DAY_CHARACTERS])
        if self._keys.changing:
            self._keys.adopt()
        if self._published is not self._newest:
            self._checkpoints.publish(self.checkpoint, self._keys.public_key)
            self._published = self._newest
        return self.checkpoint

    def prove(self, call_id: str, part: int) -> Proof | None:
        """The proof that the part is in the log of the newest checkpoint; None when it is not."""
        for line in self._file.named({names.key(call_id, part)}):
            entry, signed = line.entry, line.number < self.checkpoint.size
            if signed and isinstance(entry, Part) and (entry.call_id, entry.part) == (call_id, part):
                return self.prove_entry(line.number)
        return None

    def prove_entry(self, number: int) -> Proof:
        """The proof that entry `number`, which the newest checkpoint covers, is in its log."""
        size = self.checkpoint.size
        assert number < size, "not committed"
        path = merkle.inclusion_proof(number, size, self._file.read_hash)
        return Proof(index=number, path=tuple(path), checkpoint=self.checkpoint)

    def holds(self) -> Iterator[Hold]:
        """Every entry about a legal hold, oldest first."""
        for line in self._file.named({names.HOLD}):
            if isinstance(line.entry, Hold):
                yield line.entry

    def configuration(self) -> Configuration | None:
        """The last entry about the configuration in force."""
        last: Configuration | None = None
        for line in self._file.named({names.CONFIGURATION}):
            last = line.entry if isinstance(line.entry, Configuration) else last
        return last

    def speaks_of(self, subject: Subject) -> bool:
        """Whether anything is said of a file, be it that it was erased."""
        return self._last_word(subject) is not None

    def prove_consistency(self, older: Checkpoint) -> list[bytes]:
        """The proof that the newest checkpoint's log begins with that of `older` (RFC 6962 section 2.1.2)."""
        return merkle.consistency_proof(older.size, self.checkpoint.size, self._file.read_hash)

    def rotate(self, by: Attribution, now_ns: int) -> int:
        """Replace the device key: the new key signs the last checkpoint of the old one, and both sign the next.

        Returns the number of the entry about it. Killed in between, the next start has either key, and a ledger that
        names it.
        """
        self.commit(now_ns)
        number = self.size
        self._change_key(by, now_ns)
        self.commit(now_ns)
        return number

    def _take_up(self, now_ns: int, successor: Attribution | None) -> None:
        """Find the log's name and its key; count what no seal covers yet."""
        signed = self._newest.size if self._newest else 0
        for line in self._file.lines(max(signed - 1, 0)):
            if line.number >= signed:
                self._count_unsealed(line.entry, line.stored)
            elif isinstance(line.entry, Seal):
                self._signed_day = line.entry.at[:_DAY_CHARACTERS]
        first = next(self._file.lines()).entry
        if not isinstance(first, Log | NextLog) or (self._newest and self._newest.origin != first.origin):
            raise LedgerBrokenError("the ledger does not begin with the log that its checkpoint names")
        self.origin = first.origin
        """Name of the log, and of its keys."""
        changes = [line.entry for line in self._file.named({names.KEY_CHANGE})]
        named = [first.public_key, *(change.public_key for change in changes if isinstance(change, Key))]
        public_keys = [base64.b64decode(key) for key in named]
        if self._newest is not None and not any(self._newest.is_signed_by(key) for key in public_keys):
            raise LedgerBrokenError("the ledger's checkpoint is not signed by any of its keys")
        if not self._keys.take_up(public_keys[-1], self._newest):
            if successor is None or self._newest is None:
                raise DeviceKeyError(
                    "the ledger has a device key, but none is here: say who takes in a new one, and why"
                )
            self._change_key(successor, now_ns)

    def _begin(self, serial: str, now_ns: int, after: Predecessor | None) -> None:
        self._keys.begin()
        digest = hashlib.sha256(self._keys.public_key).hexdigest()[:8]
        self.origin = f"rokubox/{_NOT_IN_ORIGIN.sub('', serial)[:64] or digest}"
        key, at = _base64(self._keys.public_key), rfc3339(now_ns, self.zone)
        if after is None:
            self.take_over(Log(origin=self.origin, public_key=key, at=at))
            return
        self.origin = after.next_origin(self.origin)
        first = NextLog(
            origin=self.origin,
            public_key=key,
            previous_origin=after.origin,
            previous_checkpoint=after.checkpoint,
            kept_as=after.kept_as,
            who=after.by.who,
            why=after.by.why,
            at=at,
        )
        self.take_over(first)

    def take_over(self, entry: Entry) -> None:
        """Add an entry as it is, whatever stands already: from a log before this one."""
        self._add(entry, entries.serialize(entry))

    def _change_key(self, by: Attribution, now_ns: int) -> None:
        last, new = self.checkpoint, self._keys.change()
        change = Key(
            public_key=_base64(new.public_key),
            previous_checkpoint=checkpoints.serialize(last).decode(),
            signature=_base64(new.sign(last.note.text.encode())),
            who=by.who,
            why=by.why,
            at=rfc3339(now_ns, self.zone),
        )
        self._add(change, entries.serialize(change))

    def _sign(self, day: str) -> None:
        signed = checkpoints.sign(self.origin, self.size, self._file.root(), self._keys.signers)
        if self._newest is not None and self._signed_day not in ("", day):
            self._checkpoints.keep(self._newest, self._signed_day)
        if self._keys.changing:
            # The old key answers for the new one here, and nowhere else.
            self._checkpoints.keep(signed, f"key-{signed.size}")
        self._checkpoints.store(signed)
        self._newest, self._signed_day = signed, day

    def _add(self, entry: Entry, stored: bytes) -> None:
        self._file.append(entry, stored)
        self._count_unsealed(entry, stored)

    def _count_unsealed(self, entry: Entry, stored: bytes) -> None:
        if isinstance(entry, Seal):
            self._unsealed, self._unsealed_lines = hashlib.sha256(), 0
        else:
            self._unsealed.update(stored + b"\n")
            self._unsealed_lines += 1

    def _stands(self, entry: Filed) -> bool:
        """Whether exactly this is in the ledger. Raises ConflictError when something else is."""
        found = self._last_word(entries.subject(entry))
        if not isinstance(found, FILED):
            return False
        if _hashes(found) != _hashes(entry):
            raise ConflictError(f"call {entry.call_id[:ID_DIGITS]} is in the ledger with other content")
        return True

    def _last_word(self, subject: Subject) -> Filed | Erasure | None:
        """The last entry about a file."""
        found: Filed | Erasure | None = None
        own = names.key(subject.call_id, names.LATE if subject.late else subject.part)
        for line in self._file.named({names.key(subject.call_id), own}):
            match line.entry:
                case Part() | Call() | Late() as entry if entries.subject(entry) == subject:
                    found = entry
                case Erasure() as entry if entries.is_erased_by(entry, subject):
                    found = entry
                case _:
                    pass
        return found


def _hashes(entry: Filed) -> tuple[str, ...]:
    return (entry.call_json_sha256, entry.wav_sha256) if isinstance(entry, Part) else (entry.record_sha256,)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
