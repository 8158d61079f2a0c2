"""What people and rules change in an archive: erasures, holds, the key, the confirmed clock. One for all.

The archive's owner has it: `rokubox-assemble` while it runs (asked through `archivesocket`), else the command itself.
A request is carried out in steps, so that the daemon can do its work in between; the steps are a generator whose value
is the answer.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from appliance.custody.archiverequests import (
    Account,
    Accounted,
    Answer,
    ConfirmClock,
    Done,
    Erase,
    Erased,
    Export,
    Hold,
    LedgerLine,
    Receipt,
    Refused,
    Request,
    RotateKey,
    TakeIn,
    TakeIndex,
    Trial,
)
from storage.archive import Archive
from storage.disk import Disk
from storage.errors import ConflictError, DamagedRecordError, StorageError
from storage.ledger import proof
from storage.ledger.entries import DeliveredPart, Delivery, Entry, Erasure, Inbox
from storage.ledger.entries import Export as ExportEntry
from storage.ledger.entries import Hold as HoldEntry
from storage.ledger.entries import Trial as TrialEntry
from storage.ledger.ledger import Ledger
from storage.ledger.settings import Attribution
from storage.retention import clockfile, clockguard, erasure, holds
from storage.retention.clockguard import ClockState, Sighting
from storage.retention.erasure import Eraser, Intent, Victim
from storage.timestamps import rfc3339

LOOK_AT_CLOCK_NS = 3600 * 1_000_000_000
"""How often the time is written down; what passes in between counts only when the next time comes."""

Steps = Generator[None, None, Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an archivist needs of the process around it."""

    zone: ZoneInfo
    """The site's time zone."""
    disk: Disk = field(default_factory=Disk)
    """The system calls; tests give some that fail."""
    pending: Callable[[str], bool] = field(default=lambda _call_id: False)
    """Whether an upload still needs a call."""
    settle: Callable[[], object] = field(default=lambda: None)
    """Brings into the ledger what was recorded and is not in it yet: an erasure stands behind what it erases."""
    take_in: Callable[[TakeIn], object] | None = None
    """Writes a call that the carrier has delivered; None where that is not done."""
    take_index: Callable[[], Iterator[None]]
    """Puts the index that was made anew in the place of the one in use, in steps."""
    changed: Callable[[], object] = field(default=lambda: None)
    """Told when calls are gone, so that index, snapshot and journal follow."""


class Archivist:
    """Changes one archive. For its owner alone, and one request at a time."""

    def __init__(self, archive: Archive, ledger: Ledger, surroundings: Surroundings) -> None:
        self._archive = archive
        self._ledger = ledger
        self._around = surroundings
        self._holds = holds.in_force(ledger.holds())
        self._eraser = Eraser(archive, ledger, surroundings.disk)
        self._clock = clockfile.read(archive.retention)

    @property
    def clock(self) -> ClockState:
        """What is known of real time."""
        return self._clock

    def begin(self, now_ns: int) -> None:
        """Finish what an earlier owner began. Raises StorageError."""
        left = self._eraser.pending() is not None
        for _ in self._eraser.resume(now_ns):
            pass
        if left:
            self._around.changed()
        self._eraser.keep_ballast()

    def look_at_clock(self, seen: Sighting) -> None:
        """Write the time down when that is due. Raises DiskFullError or ArchiveError."""
        last, state = self._clock.last, self._clock
        is_news = seen.synchronised and state.ahead_ns is None and not clockguard.is_confirmed(state)
        is_old = last is None or last.boot_id != seen.boot_id or seen.boot_ns - last.boot_ns >= LOOK_AT_CLOCK_NS
        if is_old or is_news:
            self._keep_clock(clockguard.observe(self._clock, seen, self._ledger.size))

    def carry_out(self, request: Request, seen: Sighting) -> Steps:
        """Do what is asked, in steps; the answer says what became of it, whatever that is."""
        try:
            match request:
                case Erase():
                    return (yield from self._erase(request, seen.wall_ns))
                case Account():
                    return (yield from self._account(request))
                case Hold():
                    return self._hold(request, seen.wall_ns)
                case Export():
                    return self._note_export(request, seen.wall_ns)
                case Trial():
                    return self._note_trial(request, seen.wall_ns)
                case Receipt():
                    return self._note_delivery(request, seen.wall_ns)
                case TakeIn():
                    return self._take_in(request, seen.wall_ns)
                case RotateKey():
                    return self._rotate(request, seen.wall_ns)
                case ConfirmClock():
                    by = f"{request.who}: {request.why}"
                    self._keep_clock(clockguard.confirm(self._clock, seen, self._ledger.size, by))
                    return Done(entry=None)
                case TakeIndex():
                    yield from self._around.take_index()
                    return Done(entry=None)
        except StorageError as error:
            return Refused(problem=str(error))

    def _erase(self, request: Erase, now_ns: int) -> Steps:
        yield from self._eraser.resume(now_ns)
        self._eraser.with_room(self._around.settle)
        victims: list[Victim] = []
        left: dict[str, str] = {}
        for call_id, day in dict(request.calls).items():
            found = self._look_up(call_id, day)
            if isinstance(found, Victim):
                victims.append(found)
            elif found:
                left[call_id] = found
            yield
        self._eraser.with_room(self._around.settle)
        victims = [erasure.with_late(self._archive, self._ledger, one) for one in victims]
        if not victims:
            return Erased(entry=None, erased=(), parts=0, bytes=0, left=left)
        parts, size = (sum(counts) for counts in zip(*((one.parts, one.bytes) for one in victims), strict=True))
        entry = Erasure(
            call_ids=tuple(one.call_id for one in victims),
            rule=request.rule,
            who=request.who,
            why=request.why,
            counts={"calls": len(victims), "parts": parts, "bytes": size},
            at=rfc3339(now_ns, self._around.zone),
        )
        yield from self._eraser.erase(Intent(entry=entry, victims=tuple(victims)), now_ns)
        self._around.changed()
        line = self._proven(self._eraser.entry_number)
        return Erased(entry=line, erased=entry.call_ids, parts=parts, bytes=size, left=left)

    def _account(self, request: Account) -> Steps:
        numbers: set[int] = set()
        left: dict[str, str] = {}
        for call_id, day in dict(request.calls).items():
            line = self._ledger.erasure(call_id)
            if line is None:
                if found := self._look_up(call_id, day):
                    left[call_id] = found if isinstance(found, str) else "interrupted"
            elif line.number >= request.first and isinstance(line.entry, Erasure) and line.entry.why == request.why:
                numbers.add(line.number)
            yield
        return Accounted(entries=tuple(map(self._proven, sorted(numbers))), left=left)

    def _look_up(self, call_id: str, day: str) -> Victim | str:
        """The call's files, or why it is left; empty when nothing of it is there."""
        if call_id in self._holds:
            return "held"
        if self._around.pending(call_id):
            return "pending"
        try:
            found = erasure.victim(self._archive, call_id, day)
        except DamagedRecordError:
            return "damaged"
        if found is not None:
            return found
        return "" if self._ledger.is_erased(call_id) else "open"

    def _hold(self, request: Hold, now_ns: int) -> Answer:
        concerned = tuple(
            call_id
            for call_id in dict.fromkeys(request.calls)
            if (request.name in self._holds.names(call_id)) is request.released
            and (request.released or not self._ledger.is_erased(call_id))
        )
        if not concerned:
            return Done(entry=None)
        entry = HoldEntry(
            call_ids=concerned,
            hold="released" if request.released else "set",
            name=request.name,
            who=request.who,
            why=request.why,
            at=rfc3339(now_ns, self._around.zone),
        )
        number = self._ledger.size
        self._ledger.append((entry,))
        # In force from here on, even if the disk does not take the line yet: it goes on waiting.
        self._holds.apply(entry)
        self._ledger.commit(now_ns)
        self._around.changed()
        return Done(entry=self._proven(number), calls=len(concerned))

    def _note_export(self, request: Export, now_ns: int) -> Answer:
        # First what was recorded: it is to be proved.
        self._around.settle()
        entry = ExportEntry(
            call_ids=request.calls,
            options=request.options,
            who=request.who,
            why=request.why,
            at=rfc3339(now_ns, self._around.zone),
        )
        return self._entered(entry, now_ns, calls=len(request.calls))

    def _note_trial(self, request: Trial, now_ns: int) -> Answer:
        self._around.settle()
        entry = TrialEntry(
            call_ids=request.calls,
            outcome=request.outcome,
            checks=request.checks,
            who=request.who,
            why=request.why,
            at=rfc3339(now_ns, self._around.zone),
        )
        return self._entered(entry, now_ns, calls=len(request.calls))

    def _note_delivery(self, request: Receipt, now_ns: int) -> Answer:
        parts = tuple(part for part in request.parts if not self._is_noted(part, request))
        if not parts:
            return Done(entry=None)
        entry = Delivery(
            target=request.target,
            address=request.address,
            outcome=request.outcome,
            proof=request.proof,
            parts=parts,
            who=request.who,
            why=request.why,
            at=rfc3339(now_ns, self._around.zone),
        )
        return self._entered(entry, now_ns, calls=len({part.call_id for part in parts}))

    def _is_noted(self, part: DeliveredPart, request: Receipt) -> bool:
        """Whether that is the last thing that the ledger says of this part and this target: who asks may have been
        killed before it heard the answer."""
        said = ""
        for entry in self._ledger.deliveries(part.call_id):
            named = ((one.call_id, one.part) for one in entry.parts)
            if (entry.target, entry.address) == (request.target, request.address) and part[:2] in named:
                said = entry.outcome
        return said == request.outcome

    def _take_in(self, request: TakeIn, now_ns: int) -> Answer:
        if self._around.take_in is None:
            return Refused(problem="deliveries are taken in by rokubox-assemble alone")
        try:
            self._around.take_in(request)
        except ConflictError as error:
            return Refused(problem=str(error), input=True)
        self._around.settle()
        files = tuple(file.zip_sha256 for file in request.files)
        if any(entry.files == files for entry in self._ledger.inbox(request.call_id)):
            return Done(entry=None)  # who asks was killed before it heard the answer
        entry = Inbox(
            call_id=request.call_id,
            files=files,
            joined=request.joined,
            who=request.who,
            why=request.why,
            at=rfc3339(now_ns, self._around.zone),
        )
        return self._entered(entry, now_ns, calls=1)

    def _rotate(self, request: RotateKey, now_ns: int) -> Answer:
        self._around.settle()
        number = self._ledger.rotate(Attribution(who=request.who, why=request.why), now_ns)
        return Done(entry=self._proven(number))

    def _entered(self, entry: Entry, now_ns: int, *, calls: int) -> Done:
        """Enter it at once; the answer holds its line and the proof."""
        number = self._ledger.size
        self._ledger.append((entry,))
        self._ledger.commit(now_ns)
        return Done(entry=self._proven(number), calls=calls)

    def _proven(self, number: int) -> LedgerLine:
        stored = next(self._ledger.lines(number)).stored
        return LedgerLine(line=stored.decode(), proof=proof.serialize(self._ledger.prove_entry(number)).decode())

    def _keep_clock(self, state: ClockState) -> None:
        clockfile.write(self._archive.retention, state, self._around.disk)
        self._clock = state
