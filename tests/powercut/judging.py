"""Holds a recovered archive against what was said until the cut, and against what was finished by then."""

import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tests.crash.calls import SECOND_NS, Call
from tests.crash.proof import call_records
from tests.powercut.calls import Progress, Sent
from tests.traffic.bulk import SLOT_NS, SLOT_SAMPLES
from tests.traffic.media import RATE_HZ

LIMIT_S = 1.0
"""Speech that a cut may cost a call, besides the block in flight."""
LATE_S = 0.4
"""Emulated, a port may take packets later than any network brings them. What is missing then seems to be missing before
the power went, and a side to begin or end when it did not: to say "network" is let pass then, and told."""
MARKS = frozenset({"capture_loss", "bye_not_seen", "journal_damaged"})
"""Reasons that say that something may be missing, and that it is the recorder's doing."""
Mask = npt.NDArray[np.bool_]
Again = Mapping[str, tuple[Mask, Mask]]
"""What of a call was shown after the cut, by its Call-ID: which packets of each side, shape `(slots,)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a call had shown to the recorder."""

    sent: Sent
    slots: tuple[Mask, Mask]
    """Of each side, which of its packets were sent; shape `(slots,)`."""
    since_s: float
    """How long before the cut it began."""
    is_over: bool
    """Its end was shown."""
    ended_s: float
    """How long before the cut that was, or is."""
    late_s: float
    """How late the emulated port took a packet of it at most."""


def shown(sent: Sequence[Sent], cut_ns: int, progress: Progress, again: Again | None = None) -> list[Shown]:
    """What was shown until the cut; `again`: what of a call was shown later, by its Call-ID, and its end."""
    found: list[Shown] = []
    for one in sent:
        if one.start_ns >= cut_ns:
            continue
        later = (again or {}).get(one.call.call_id)
        masks = [np.arange(one.call.slots) < one.slots(side, cut_ns) for side in (0, 1)]
        if later is not None:
            masks = [mask | more for mask, more in zip(masks, later, strict=True)]
        found.append(
            Shown(
                sent=one,
                slots=(masks[0], masks[1]),
                since_s=(cut_ns - one.start_ns) / SECOND_NS,
                is_over=later is not None or one.is_over(cut_ns),
                late_s=progress.late_s(one.start_ns, min(cut_ns, one.start_ns + one.call.length_ns)),
                ended_s=(cut_ns - one.start_ns - one.call.length_ns) / SECOND_NS,
            )
        )
    return found


@dataclass(slots=True, kw_only=True)
class Judgement:
    """What a comparison has found."""

    problems: list[str] = field(default_factory=list)
    calls: int = 0
    """Calls that were compared."""
    late: int = 0
    """Of these, those that the emulated port took late."""
    samples: int = 0
    """Samples that are as they were sent."""
    missing_s: list[float] = field(default_factory=list)
    """How much of each call is missing that was shown, on the side that lost more."""
    absent: list[str] = field(default_factory=list)
    """Calls without a record: erased, if all is well."""
    known: dict[str, str] = field(default_factory=dict)
    """Call-IDs by the calls' ids in the archive."""
    erased: list[str] = field(default_factory=list)
    """Ids that the ledger calls erased."""


def judge(archive: Path, calls: Sequence[Shown], before: Mapping[str, int], allowed_s: float) -> Judgement:
    """Compare everything.

    Args:
        archive: after its recovery.
        calls: what was shown.
        before: recordings and records that could be seen before the recovery.
        allowed_s: speech of a call that may be missing.
    """
    found = Judgement(erased=list(erased(archive)))
    records: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in call_records(archive):
        for call_id in record["sip"]["call_ids"] if record["sip"] else ("unsignalled",):
            records[call_id].append(record)
            found.known[record["call_id"]] = call_id
    parts = {path.name: path for path in (archive / "recordings").rglob("*.zip")}
    for one in calls:
        call_id = one.sent.call.call_id
        mine = records.pop(call_id, [])
        if len(mine) == 1:
            _Comparison(found, one, mine[0], parts, allowed_s).compare()
        elif mine:
            found.problems.append(f"call {call_id}: {len(mine)} records")
        elif one.since_s > allowed_s:
            found.absent.append(call_id)
    found.problems += [f"{len(mine)} records of {call_id}, which was not shown" for call_id, mine in records.items()]
    ids = {call_id[:10] for call_id in found.erased}
    for name in before:
        if not (archive / name).exists() and not any(each in name for each in ids):
            found.problems.append(f"{name} could be seen before the recovery, and is gone")
    return found


def erased(archive: Path) -> Iterator[str]:
    """Ids of the calls that the ledger calls erased."""
    for line in (archive / "ledger" / "entries.jsonl").read_bytes().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "erasure":
            yield from entry["call_ids"]


class _Comparison:
    """One call's record and parts against what was shown of it."""

    def __init__(
        self, found: Judgement, one: Shown, record: dict[str, Any], parts: Mapping[str, Path], allowed_s: float
    ) -> None:
        self._allowed_s = allowed_s
        self._is_late = one.late_s > LATE_S
        self._found = found
        self._shown = one
        self._call: Call = one.sent.call
        self._record = record
        self._parts = parts

    def compare(self) -> None:
        self._found.calls += 1
        self._found.late += self._is_late
        read = [self._read(entry) for entry in self._record["parts"]]
        missing = [self._side(side, [part for part in read if part is not None]) for side in (0, 1)]
        missing_s = max(missing)
        self._found.missing_s.append(missing_s)
        if missing_s > self._allowed_s:
            self._tell(f"{missing_s:.2f} s are missing")
        self._judge_outcome(missing_s)

    def _read(self, entry: dict[str, Any]) -> tuple[int, dict[str, Any], Any] | None:
        """A part's first sample, what is said of it, and its audio."""
        try:
            with zipfile.ZipFile(self._parts[entry["name"]]) as bundle:
                audio, _ = soundfile.read(io.BytesIO(bundle.read("audio.wav")), dtype="int16", always_2d=True)
                return entry["first_sample"], json.loads(bundle.read("call.json")), audio
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            self._tell(f"part {entry['number']} is not there, or not whole: {error!r}")
            return None

    def _side(self, side: int, parts: list[tuple[int, dict[str, Any], Any]]) -> float:
        """Hold a side against what was sent; return how much is missing that was shown, in seconds."""
        spans = []
        for at, described, audio in parts:
            for stream in described["channels"][side]["streams"]:
                if stream["ssrc"] != f"0x{self._call.ssrcs[side]:08x}":
                    self._tell(f"side {side}: a stream {stream['ssrc']}")
                elif stream["samples"]:
                    spans.append((at + stream["first_sample"], stream, audio[:, side]))
        # A side begins with its first packet: that one is never behind a gap.
        base = min((at for at, _, _ in spans), default=0)
        # What nobody knows the end of is filled beyond it.
        sent = self._call.slots * SLOT_SAMPLES
        length = max([sent, *(at - base + stream["samples"] for at, stream, _ in spans)])
        shown = np.zeros(length, bool)
        shown[:sent] = np.repeat(self._shown.slots[side], SLOT_SAMPLES)
        heard, is_there, is_filled = np.zeros(length, np.int16), np.zeros(length, bool), np.zeros(length, bool)
        for at, stream, audio in spans:
            first, low, count = stream["first_sample"], at - base, stream["samples"]
            heard[low : low + count] = audio[first : first + count]
            is_there[low : low + count] = True
            for gap, samples, cause in stream["fill"]:
                at_gap = slice(low + gap - first, low + gap - first + samples)
                is_filled[at_gap] = True
                # Behind what was sent there is nothing that could have been lost.
                if cause != "capture_loss" and not self._is_late and shown[at_gap].any():
                    self._tell(f"side {side}: {samples} samples put down to {cause}")
        is_there &= ~is_filled
        self._compare_samples(side, heard, is_there, is_filled)
        if (is_there & ~shown).any():
            self._tell(f"side {side}: {int((is_there & ~shown).sum())} samples that were not sent yet")
        return int((shown & ~is_there).sum()) / RATE_HZ

    def _compare_samples(self, side: int, heard: npt.NDArray[np.int16], is_there: Mask, is_filled: Mask) -> None:
        whole = np.zeros(len(heard), np.int16)
        whole[: self._call.slots * SLOT_SAMPLES] = self._call.audio(side)
        wrong = (is_there & (heard != whole)) | (is_filled & (heard != 0))
        if wrong.any():
            self._tell(f"side {side}: {int(wrong.sum())} samples differ, the first is {int(np.argmax(wrong))}")
        self._found.samples += int((is_there & ~wrong).sum())

    def _judge_outcome(self, missing_s: float) -> None:
        outcome, reasons = self._record["outcome"], set(self._record["reasons"])
        # So little had been said that all of it may be missing, of one side or of both.
        is_short = max(int(slots.sum()) for slots in self._shown.slots) * SLOT_NS / SECOND_NS <= self._allowed_s
        if outcome == "recorded":
            # A packet that was on its way is missing behind the end, and a slot is no speech.
            if missing_s > SLOT_NS / SECOND_NS or not self._shown.is_over:
                self._tell(f"{missing_s:.2f} s are missing, and it is called recorded")
        elif outcome == "partly":
            allowed = MARKS | ({"network_loss"} if self._is_late else set()) | ({"one_way"} if is_short else set())
            if reasons - allowed:
                self._tell(f"partly {sorted(reasons)}")
            if (
                self._shown.is_over
                and self._shown.ended_s > self._allowed_s
                and not (self._is_late and reasons == {"network_loss"})
            ):
                self._tell(f"partly {sorted(reasons)}, and it was over {self._shown.ended_s:.1f} s before")
        elif not is_short:
            self._tell(f"{outcome} {sorted(reasons)}")

    def _tell(self, what: str) -> None:
        self._found.problems.append(f"call {self._call.call_id}: {what}")
