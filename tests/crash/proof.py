"""Holds an archive against the calls that were sent: each function returns what is wrong, in words."""

import io
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from appliance.assembly import snapshot
from appliance.condition import observed
from appliance.condition import record as condition
from appliance.diagnosis.wire import levels, wirefile
from storage.ledger import checkpointfiles
from storage.timestamps import instant_ns
from tests.crash.calls import Call
from tests.traffic.bulk import SLOT_SAMPLES
from tests.traffic.media import RATE_HZ

SIGNED = {checkpointfiles.SHARED, checkpointfiles.SHARED_KEY}
"""What the ledger shows beside the recordings, and writes anew as it grows."""
SNAPSHOT = "assembly.snapshot"
_OBSERVED = {condition.NAME, observed.DISK, observed.RETENTION, wirefile.NAME, levels.NAME}
"""What is told in `run/` to other processes, which may ask when nobody records."""
_POSITION_BYTES = 8
_SAMPLE_NS = 125_000
_ROUNDED_NS = 200_000_000
"""What is missing is known by the packets around it, the drops by readings of a counter."""
Spans = list[tuple[int, int]]
NONE: Spans = []


@dataclass(slots=True, kw_only=True)
class Proof:
    """What a comparison has found."""

    problems: list[str] = field(default_factory=list)
    calls: int = 0
    """Calls that were compared."""
    samples: int = 0
    """Samples that were compared and are right."""
    packets: int = 0
    """RTP packets that are in a recording."""
    twice: int = 0
    """Packets that were read twice, before a kill and after it, and are in the recording once."""
    missing_s: list[float] = field(default_factory=list)
    """How much of each side is missing and put down to the recorder."""

    def take(
        self,
        archive: Path,
        record: dict[str, Any],
        call: Call,
        *,
        outage: bool = False,
        damaged: bool = False,
        dropped: Spans = NONE,
    ) -> None:
        """Compare one call.

        Args:
            archive: where it is.
            record: its call record.
            call: as it was sent.
            outage: it must be incomplete, and nobody but the recorder to blame.
            damaged: likewise, because the journal has lost what assembly had read.
            dropped: when the kernel found the ring full. What is missing then, and is put down to the recorder, may be.
        """
        self.calls += 1
        if len(record["parts"]) != 1:
            self._tell(call, f"{len(record['parts'])} parts, {record['outcome']} {record['reasons']}")
            return
        try:
            described, audio = _read(archive, record["parts"][0]["name"])
        except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
            self._tell(call, f"its recording is not there, or not whole: {error}")
            return
        missing: Spans = []
        for side, channel in enumerate(described["channels"]):
            if len(channel["streams"]) != 1:
                self._tell(call, f"{len(channel['streams'])} streams on side {side}")
                continue
            missing += self._compare(call, side, channel["streams"][0], audio[:, side])
        begin_ns = instant_ns(described["started_at"])
        times = [(begin_ns + at * _SAMPLE_NS, begin_ns + end * _SAMPLE_NS) for at, end in missing]
        allowed = outage or all(_is_within(span, dropped) for span in times)
        if not allowed or (outage and not missing):
            self._tell(call, f"missing is {[((low - begin_ns) / 1e9, (high - begin_ns) / 1e9) for low, high in times]}")
        reasons = ["capture_loss"] * bool(missing) + ["journal_damaged"] * damaged
        expected = ("partly", reasons) if reasons else ("recorded", [])
        if (found := (record["outcome"], record["reasons"])) != expected:
            figures = [(side["network_lost_samples"], side["longest_gap_ms"]) for side in record.get("sides", ())]
            self._tell(call, f"{found[0]} {found[1]}, expected was {expected[0]} {expected[1]}; sides' loss: {figures}")

    def _compare(self, call: Call, side: int, stream: dict[str, Any], audio: Any) -> Spans:
        """Hold a side against what was sent, and return what is missing of it, samples of the part."""
        whole = call.audio(side)
        first = stream["first_sample"]
        heard = audio[first : first + stream["samples"]]
        if len(heard) != len(whole) or stream["ssrc"] != f"0x{call.ssrcs[side]:08x}":
            self._tell(call, f"side {side}: {len(heard)} samples of {stream['ssrc']}, {len(whole)} expected")
            return []
        missing = np.zeros(len(whole), dtype=bool)
        for at, length, _cause in stream["fill"]:
            missing[at - first : at - first + length] = True
        wrong = np.flatnonzero(heard != np.where(missing, 0, whole))
        if len(wrong):
            self._tell(call, f"side {side}: {len(wrong)} samples differ, the first is {wrong[0]}")
        causes = {cause for _, _, cause in stream["fill"]}
        if causes - {"capture_loss"}:
            self._tell(call, f"side {side}: {int(missing.sum())} samples missing, put down to {sorted(causes)}")
        lost = int(missing.sum()) // SLOT_SAMPLES
        counted = tuple(stream[name] for name in ("packets", "lost", "capture_lost", "too_late"))
        if counted != (call.slots - lost, 0, lost, 0):
            self._tell(call, f"side {side}: packets, lost, capture_lost, too_late are {counted}, of {call.slots} sent")
        self.samples += len(whole) - len(wrong)
        self.packets += stream["packets"]
        self.twice += stream["duplicates"]
        self.missing_s.append(int(missing.sum()) / RATE_HZ)
        return [(at, at + length) for at, length, _cause in stream["fill"]]

    def _tell(self, call: Call, what: str) -> None:
        self.problems.append(f"call {call.call_id}: {what}")


def _is_within(span: tuple[int, int], spans: Spans) -> bool:
    return any(low - _ROUNDED_NS <= span[0] and span[1] <= high + _ROUNDED_NS for low, high in spans)


def prove(
    archive: Path, calls: Sequence[Call], *, outage: bool = False, damaged: bool = False, dropped: Spans = NONE
) -> Proof:
    """Compare the whole archive: every call once and complete, and nothing else; exceptions as for `Proof.take`."""
    proof = Proof()
    records: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in call_records(archive):
        for call_id in record["sip"]["call_ids"] if record["sip"] else ("unsignalled",):
            records[call_id].append(record)
    for call in calls:
        found = records.pop(call.call_id, [])
        if len(found) != 1:
            proof.problems.append(f"call {call.call_id}: {len(found)} call records")
        for record in found[:1]:
            proof.take(archive, record, call, outage=outage, damaged=damaged, dropped=dropped)
    proof.problems += [f"{len(found)} call records of {call_id}" for call_id, found in records.items()]
    recordings = Counter(
        path.name for path in (archive / "recordings").rglob("*") if path.is_file() and path.name not in SIGNED
    )
    named = Counter(entry["name"] for record in call_records(archive) for entry in record["parts"])
    proof.problems += [f"{name}: in no call record" for name in recordings - named]
    proof.problems += left_overs(archive)
    return proof


def call_records(archive: Path) -> Iterator[dict[str, Any]]:
    """All of them."""
    for path in sorted((archive / "calls").rglob("*.json")):
        yield json.loads(path.read_bytes())


def left_overs(archive: Path) -> Iterator[str]:
    """What is left where nothing should be, once a recorder that had nothing more to do has ended."""
    of_assembly = {SNAPSHOT, "assembly.inhand", "assembly.trace", "assembly.tried"}
    known_files: dict[str, set[str]] = {
        "spool": of_assembly,
        "quarantine": set(),
        "run": {"journal.needed", "archive.lock", *_OBSERVED},
    }
    for folder, known in known_files.items():
        yield from (f"{folder}: {path.name} is left" for path in (archive / folder).iterdir() if path.name not in known)
    state = snapshot.load((archive / "spool" / SNAPSHOT).read_bytes()[_POSITION_BYTES:])
    if state.works:
        yield f"{len(state.works)} calls or media are still open"
    if free := [run for run in state.runs.by_number.values() if run.free_spans()]:
        yield f"{len(free)} streams belong to no call"
    if state.counters.too_late or state.counters.unread_blocks:
        yield f"{state.counters.too_late} packets too late, {state.counters.unread_blocks} blocks unread"


def _read(archive: Path, name: str) -> tuple[dict[str, Any], Any]:
    (path,) = (archive / "recordings").rglob(name)
    with zipfile.ZipFile(path) as bundle:
        audio, _ = soundfile.read(io.BytesIO(bundle.read("audio.wav")), dtype="int16", always_2d=True)
        return json.loads(bundle.read("call.json")), audio
