"""One run of the scrub: the whole ledger, and the local dates that are due."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storage.disk import Directories, Disk
from storage.verify import scrub
from storage.verify.defects import Defect
from storage.verify.scrub import ScrubState, SlowReader
from storage.verify.verification import Request, Verification

LEDGER = "ledger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubRun:
    """What a run did."""

    state: ScrubState
    """Where the scrub is after it."""
    days: tuple[int, ...]
    """The local dates that were read."""
    read_bytes: int
    """How much that was, without the ledger."""
    defects: tuple[Defect, ...]
    """What is wrong with what was read."""


def run(
    archive: Path,
    *,
    period_ns: int,
    now_ns: Callable[[], int],
    reader: SlowReader,
    told: Callable[[Defect], None],
    public_keys: tuple[bytes, ...] = (),
) -> ScrubRun:
    """Read what is due; `told` hears of each defect. Where it is, is kept after each local date.

    Raises ArchiveError when there is no archive with a ledger, or it cannot be read.
    """
    disk, defects, read = Disk(), [], []
    folder = archive / "run"
    with Verification(Request(archive=archive, public_keys=public_keys), read=reader.read) as verification:
        verification.check_ledger()
        state = scrub.begin(scrub.read_state(folder), now_ns(), period_ns)
        Directories(disk).make(folder)

        def took(state: ScrubState, place: str, found: list[Defect]) -> ScrubState:
            for defect in found:
                told(defect)
            defects.extend(found)
            state = scrub.after(state, place, found, now_ns())
            scrub.write_state(folder, state, disk)
            return state

        state = took(state, LEDGER, verification.report.defects)
        days = verification.days()
        for day in scrub.due(state, days, now_ns(), period_ns):
            state = took(state, str(day), verification.day_defects(day))
            read.append(day)
    state = scrub.end(state, [day for day, _ in days], now_ns())
    scrub.write_state(folder, state, disk)
    return ScrubRun(state=state, days=tuple(read), read_bytes=reader.read_bytes, defects=tuple(defects))
