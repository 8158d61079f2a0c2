"""A short `make test-crash`, and that its proof notices what it is there to notice."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from appliance.assembly import snapshot
from appliance.assembly.state import AssemblyState
from capture import journal
from capture.events import EventKind
from capture.journal import Event
from capture.journalstore import JournalStore
from tests.crash import rounds, soak
from tests.crash.calls import Plan
from tests.crash.chronicle import Chronicle, Restart
from tests.crash.proof import SNAPSHOT, prove
from tests.crash.recorder import Role, wait_until
from tests.crash.soak import Use
from tests.crash.span import why_not
from tests.crash.watch import Watcher

PLAN = Plan(lines=10, seed=18, shortest_s=4, longest_s=8)
CALL = PLAN.call(3, 1)


def test_kills_take_nothing(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    story = rounds.killed(tmp_path, PLAN, kills=6, until_forgotten=False)
    assert story.problems == [], (tmp_path / "killed.log").read_text()


def test_a_supervisor_can_be_killed_at_any_instant(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    story = rounds.instants(tmp_path, PLAN)
    assert story.problems == [], (tmp_path / "instants.log").read_text()


@dataclass
class Stored:
    """The archive of a recorder that has recorded `CALL` as it should, to be changed."""

    audio: Any = field(default_factory=lambda: np.stack([CALL.audio(0), CALL.audio(1)], axis=1))
    streams: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"ssrc": f"0x{ssrc:08x}", "first_sample": 0, "samples": CALL.slots * 160, "fill": [], "duplicates": 7}
            | {"packets": CALL.slots, "lost": 0, "capture_lost": 0, "too_late": 0}
            for ssrc in CALL.ssrcs
        ]
    )
    record: dict[str, Any] = field(
        default_factory=lambda: (
            {"outcome": "recorded", "reasons": [], "sip": {"call_ids": [CALL.call_id]}}
            | {"parts": [{"name": "p01.zip"}]}
        )
    )
    copies: int = 1
    """Call records of it."""

    def lose(self, cause: str) -> None:
        """Slots 10 and 11 are missing on both sides."""
        self.audio[1600:1920] = 0
        for stream in self.streams:
            stream |= {"fill": [[1600, 320, cause]], "packets": CALL.slots - 2, "capture_lost": 2}

    def write(self, archive: Path) -> Path:
        """Make the archive."""
        for folder in ("calls", "recordings", "spool", "run", "quarantine"):
            (archive / folder).mkdir(parents=True)
        for number in range(self.copies):
            (archive / "calls" / f"{number}.json").write_text(json.dumps(self.record))
        wav = io.BytesIO()
        soundfile.write(wav, self.audio, 8000, format="WAV", subtype="PCM_16")
        described = {
            "started_at": "1970-01-01T00:00:01.000000000+00:00",
            "channels": [{"streams": [each]} for each in self.streams],
        }
        with zipfile.ZipFile(archive / "recordings" / "p01.zip", "w") as bundle:
            bundle.writestr("audio.wav", wav.getvalue())
            bundle.writestr("call.json", json.dumps(described))
        (archive / "spool" / SNAPSHOT).write_bytes(bytes(8) + snapshot.dump(AssemblyState()))
        return archive


def test_a_perfect_archive_is_proven(tmp_path: Path) -> None:
    proof = prove(Stored().write(tmp_path), [CALL])
    assert (proof.problems, proof.calls, proof.packets, proof.twice) == ([], 1, CALL.packets, 14)
    assert proof.samples == 2 * 160 * CALL.slots


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda stored: stored.audio.__setitem__((500, 1), stored.audio[500, 1] ^ 1), ["1 samples differ"]),
        (lambda stored: stored.streams[0].update(ssrc="0x00000001"), ["0x00000001"]),
        (lambda stored: stored.lose("capture_loss"), ["missing is [(0.2, 0.24), (0.2, 0.24)]", "recorded []"]),
        (lambda stored: stored.streams[0].update(too_late=1), ["packets, lost, capture_lost, too_late are"]),
        (lambda stored: stored.record.update(outcome="partly", reasons=["network_loss"]), ["partly ['network_loss']"]),
        (lambda stored: stored.record.update(parts=[]), ["0 parts", "in no call record"]),
        (lambda stored: stored.record.update(parts=[{"name": "p02.zip"}]), ["is not there", "in no call record"]),
        (lambda stored: stored.record["sip"].update(call_ids=["another"]), ["0 call records", "1 call records of ano"]),
        (lambda stored: setattr(stored, "copies", 2), ["2 call records"]),
    ],
)
def test_whatever_is_wrong_is_told(change: Callable[[Stored], None], told: list[str], tmp_path: Path) -> None:
    stored = Stored()
    change(stored)
    problems = prove(stored.write(tmp_path), [CALL]).problems
    assert all(any(part in problem for problem in problems) for part in told), problems


def test_in_an_outage_only_the_recorder_is_to_blame(tmp_path: Path) -> None:
    stored = Stored(record={**Stored().record, "outcome": "partly", "reasons": ["capture_loss"]})
    whole = prove(stored.write(tmp_path / "whole"), [CALL], outage=True)
    assert len(whole.problems) == 2  # nothing is missing, and yet it says so
    stored.lose("capture_loss")
    assert prove(stored.write(tmp_path / "outage"), [CALL], outage=True).problems == []
    stored.lose("loss")
    assert len(prove(stored.write(tmp_path / "network"), [CALL], outage=True).problems) == 2


def test_what_the_journal_has_lost_is_named(tmp_path: Path) -> None:
    stored = Stored(record={**Stored().record, "outcome": "partly", "reasons": ["capture_loss", "journal_damaged"]})
    stored.lose("capture_loss")
    assert prove(stored.write(tmp_path / "lost"), [CALL], outage=True, damaged=True).problems == []
    assert len(prove(stored.write(tmp_path / "kept"), [CALL], outage=True).problems) == 1


@pytest.mark.parametrize(
    ("low_ms", "high_ms", "cause", "reasons", "problems"),
    [
        (1100, 1300, "capture_loss", ["capture_loss"], 0),
        (1100, 1300, "loss", ["network_loss"], 3),
        (1500, 1900, "capture_loss", ["capture_loss"], 1),
        (1100, 1300, "capture_loss", ["capture_loss", "bye_not_seen"], 1),
    ],
    ids=["while the ring was full", "put down to the network", "at another time", "for more than one reason"],
)
def test_only_what_the_kernel_had_no_room_for_may_be_missing(
    low_ms: int, high_ms: int, cause: str, reasons: list[str], problems: int, tmp_path: Path
) -> None:
    stored = Stored(record={**Stored().record, "outcome": "partly", "reasons": reasons})
    stored.lose(cause)
    dropped = [(low_ms * 1_000_000, high_ms * 1_000_000)]
    assert len(prove(stored.write(tmp_path), [CALL], dropped=dropped).problems) == problems


def test_a_chronicle_explains(tmp_path: Path) -> None:
    def event(at_s: float, kind: str, **detail: int) -> Event:
        return Event(ts_ns=round(at_s * 1e9), kind=kind, detail={"at_ns": round(at_s * 1e9), **detail})

    def counters(at_s: float, drops: int) -> Event:
        return event(at_s, EventKind.COUNTERS, drops=drops, freezes=int(drops > 0))

    told = [
        event(1, EventKind.START, continued=0, waiting=0, room=8),
        *(event(2, EventKind.TICK), counters(2, 0)),
        event(5, EventKind.START, continued=1, waiting=3, room=8),  # killed before it had read
        event(7, EventKind.START, continued=1, waiting=5, room=8),
        *(event(7.5, EventKind.TICK), counters(7.5, 4)),
        *(event(8.5, EventKind.TICK), counters(8.5, 0)),
    ]
    with Chronicle(tmp_path) as chronicle, JournalStore(tmp_path / "journal") as store:
        for each in told:
            store.append(journal.serialize_events([each]))
    assert chronicle.dropped == [(2_000_000_000, 7_500_000_000)]
    assert chronicle.restarts == [Restart(unread_s=5.5, continued=True, waiting=5, room=8)]
    assert chronicle.summary() == (
        "capture began again 1 times: the ring was unread for 5.5 s (median), 5.5 s (longest),"
        " 5 of 8 blocks full at most; 4 packets dropped, 1 freezes"
    )


def test_left_overs_are_told(tmp_path: Path) -> None:
    archive = Stored().write(tmp_path)
    for name in ("spool/.part.tmp-1-0", "run/capture.pid", "quarantine/0.rkj"):
        (archive / name).touch()
    assert sorted(prove(archive, [CALL]).problems) == [
        "quarantine: 0.rkj is left",
        "run: capture.pid is left",
        "spool: .part.tmp-1-0 is left",
    ]


def test_the_watcher_sees_what_is_not_whole_and_what_changes(tmp_path: Path) -> None:
    archive = Stored().write(tmp_path)
    whole = archive / "recordings" / "p01.zip"
    (archive / "recordings" / "p02.zip").write_bytes(whole.read_bytes()[:-100])
    with Watcher(archive) as watcher:
        wait_until(lambda: len(watcher.seen) == 3, "not seen")
        whole.write_bytes(whole.read_bytes())
    assert sorted(watcher.problems) == [
        "0.json: no whole record",
        "p01.zip: changed after it was there",
        "p02.zip: File is not a zip file",
    ]


def test_growth_is_told() -> None:
    def used(pss_mib: float, files: int, pid: int = 1) -> dict[Role, Use]:
        return {role: Use(pid=pid, pss_bytes=round(pss_mib * 2**20), files=files) for role in Role}

    assert soak.growth([used(100 + 50 * (n < 10), 20) for n in range(40)]) == []
    told = soak.growth([used(100 + 2 * n, 20 + n) for n in range(40)])
    assert told[:2] == ["capture: memory grew from 149.0 to 169.0 MiB", "capture: open files grew from 44.5 to 54.5"]
    restarted = [f"{role}: was restarted" for role in Role]
    assert soak.use_of(0) == soak.NO_PROCESS
    assert soak.growth([*(used(100, 20) for _ in range(9)), used(100, 20, pid=2)]) == restarted
