"""A found call with what its parts say and sound like."""

from pathlib import Path

from appliance.show.finding import FoundCall
from appliance.show.view import CallView, ShownPart, head_of, head_of_parts
from dsp.envelope import Envelope
from storage import partreader
from storage.call_record import PartEntry
from storage.errors import DamagedPartError, DamagedRecordError
from storage.timestamps import NS_PER_S, instant_ns
from storage.vocabulary import SAMPLE_RATE_HZ

BLOCK_FRAMES = 1 << 20
"""Read at once."""


def gather(found: FoundCall, columns: int) -> CallView:
    """Everything that is shown of a call; `columns` is the width of the outlines, 0 when none is wanted.

    Raises:
        DamagedPartError: a call without a record has no part that can be read.
    """
    read = {int(path.stem.rpartition("_p")[2]): path for path in found.parts}
    shown = [_read(number, path) for number, path in read.items()]
    if found.record is not None:
        there = {part.number: part for part in shown}
        shown = [_as_recorded(entry, there.get(entry.number)) for entry in found.record.parts]
        head = head_of(found.record)
    else:
        records = [part.record for part in shown if part.record is not None]
        if not records:
            raise DamagedPartError(f"call {found.call_id[:10]}: {shown[0].problem}")
        head = head_of_parts(records)
    samples = max((part.first + part.samples for part in shown), default=0) or _length(head.started_at, head.ended_at)
    return CallView(
        head=head,
        record=found.record,
        parts=tuple(shown),
        outlines=_outlines(shown, read, samples, columns) if columns and shown else None,
        samples=samples,
        legal_holds=found.legal_holds,
        followers=found.followers,
    )


def _read(number: int, path: Path) -> ShownPart:
    try:
        record = partreader.read_record(path)
    except (DamagedPartError, DamagedRecordError) as error:
        return ShownPart(number=number, first=0, samples=0, record=None, problem=str(error))
    return ShownPart(number=number, first=record.first_sample, samples=record.samples, record=record)


def _as_recorded(entry: PartEntry, part: ShownPart | None) -> ShownPart:
    """A part of a call that has ended: the call's record knows where one lies that is missing or cannot be read."""
    if part is not None and part.record is not None:
        return part
    problem = part.problem if part else ""
    return ShownPart(number=entry.number, first=entry.first_sample, samples=entry.samples, record=None, problem=problem)


def _length(started_at: str, ended_at: str | None) -> int:
    """Samples from start to end, where there is no recording to measure."""
    if ended_at is None:
        return 0
    return max(instant_ns(ended_at) - instant_ns(started_at), 0) * SAMPLE_RATE_HZ // NS_PER_S


def _outlines(shown: list[ShownPart], paths: dict[int, Path], samples: int, columns: int) -> tuple[Envelope, Envelope]:
    outlines = Envelope(samples, columns), Envelope(samples, columns)
    for at, part in enumerate(shown):
        if part.record is None:
            continue
        try:
            _listen(paths[part.number], part.first, outlines)
        except DamagedPartError as error:
            shown[at] = ShownPart(
                number=part.number, first=part.first, samples=part.samples, record=None, problem=str(error)
            )
    return outlines


def _listen(path: Path, first: int, outlines: tuple[Envelope, Envelope]) -> None:
    done = 0
    while len(block := partreader.read_samples(path, done, BLOCK_FRAMES)):
        for channel, outline in enumerate(outlines):
            outline.add(first + done, block[:, channel])
        done += len(block)
