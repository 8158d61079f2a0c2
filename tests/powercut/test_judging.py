"""The proof of power cuts notices what it is there to notice."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.crash.calls import SECOND_NS
from tests.image.writelog import Entry, WriteLog
from tests.powercut import checkpoints, cuts
from tests.powercut.calls import Mixed, Progress, Sent
from tests.powercut.cuts import Cut
from tests.powercut.judging import Judgement, judge, shown

PLAN = Mixed(lines=3, seed=5, shortest_s=6, longest_s=6, long_lines=1, long_s=30)
SENT = Sent(call=PLAN.call(2, 0), start_ns=2 * SECOND_NS)
CALL = SENT.call
ALLOWED_S = 1.5
IN_TIME = Progress(planned_ns=np.array([3 * SECOND_NS]), arrived_ns=np.array([3 * SECOND_NS + 1]), begun_ns=1)
SEGMENT = 3 * 8000
"""Samples of a part."""
CUT_NS = CALL.media_ns(SENT.start_ns, 0) + 5 * SECOND_NS
"""Five seconds of speech had been sent then."""


@dataclass
class Stored:
    """The archive after a cut that has cost nothing."""

    samples: int = 5 * 8000
    """That were recorded of each side."""
    fill: list[list[Any]] = field(default_factory=list)
    """Of the first part."""
    outcome: str = "partly"
    reasons: list[str] = field(default_factory=lambda: ["bye_not_seen"])
    lost_part: int = 0
    """A part that is not there."""
    flipped: int = -1
    """A sample that is another one."""

    def write(self, archive: Path) -> Path:
        """Make it."""
        audio = np.stack([CALL.audio(side)[: self.samples] for side in (0, 1)], axis=1)
        for at, length, _ in self.fill:
            audio[at : at + length] = 0
        if self.flipped >= 0:
            audio[self.flipped, 1] ^= 1
        parts = []
        for folder in ("calls", "recordings", "ledger"):
            (archive / folder).mkdir(parents=True)
        for number, first in enumerate(range(0, self.samples, SEGMENT), 1):
            piece = audio[first : first + SEGMENT]
            parts.append({"name": f"x_p0{number}.zip", "number": number, "first_sample": first})
            if number == self.lost_part:
                continue
            streams = [
                {"ssrc": f"0x{ssrc:08x}", "first_sample": 0, "samples": len(piece), "fill": [] if first else self.fill}
                for ssrc in CALL.ssrcs
            ]
            wav = io.BytesIO()
            soundfile.write(wav, piece, 8000, format="WAV", subtype="PCM_16")
            with zipfile.ZipFile(archive / "recordings" / f"x_p0{number}.zip", "w") as bundle:
                bundle.writestr("audio.wav", wav.getvalue())
                bundle.writestr("call.json", json.dumps({"channels": [{"streams": [each]} for each in streams]}))
        record = {"call_id": "aa", "sip": {"call_ids": [CALL.call_id]}, "parts": parts}
        record |= {"outcome": self.outcome, "reasons": self.reasons}
        (archive / "calls" / "aa.json").write_text(json.dumps(record))
        (archive / "ledger" / "entries.jsonl").write_text('{"kind": "erasure", "call_ids": ["bb"]}\n')
        return archive


def judged(stored: Stored, archive: Path, cut_ns: int = CUT_NS) -> Judgement:
    """What is found of it."""
    before = {"recordings/x_p01.zip": 1, "calls/bb.json": 1}
    return judge(stored.write(archive), shown([SENT], cut_ns, IN_TIME), before, ALLOWED_S)


def test_what_was_sent_is_all_there(tmp_path: Path) -> None:
    found = judged(Stored(), tmp_path)
    assert (found.problems, found.calls, found.samples) == ([], 1, 2 * 5 * 8000)
    assert (found.missing_s, found.absent, found.erased, found.known) == ([0.0], [], ["bb"], {"aa": CALL.call_id})


def test_a_second_may_be_missing_at_the_end_or_before_it(tmp_path: Path) -> None:
    tail = judged(Stored(samples=4 * 8000), tmp_path / "tail")
    assert (tail.problems, tail.missing_s) == ([], [1.0])
    hole = Stored(fill=[[16000, 1600, "capture_loss"]], reasons=["capture_loss", "bye_not_seen"])
    found = judged(hole, tmp_path / "hole")
    assert (found.problems, found.missing_s) == ([], [0.2])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda stored: setattr(stored, "samples", 3 * 8000), "2.00 s are missing"),
        (lambda stored: setattr(stored, "flipped", 30_000), "1 samples differ, the first is 30000"),
        (lambda stored: setattr(stored, "lost_part", 1), "part 1 is not there"),
        (lambda stored: setattr(stored, "lost_part", 1), "recordings/x_p01.zip could be seen before"),
        (lambda stored: setattr(stored, "fill", [[16000, 160, "loss"]]), "put down to loss"),
        (lambda stored: setattr(stored, "reasons", ["network_loss"]), "partly ['network_loss']"),
        (lambda stored: setattr(stored, "outcome", "recorded"), "called recorded"),
        (lambda stored: setattr(stored, "outcome", "not_recorded"), "not_recorded"),
        (lambda stored: setattr(stored, "samples", 6 * 8000), "not sent yet"),
    ],
)
def test_whatever_is_wrong_is_told(change: Callable[[Stored], None], told: str, tmp_path: Path) -> None:
    stored = Stored()
    change(stored)
    problems = judged(stored, tmp_path).problems
    assert any(told in problem for problem in problems), problems


def test_a_call_that_was_over_long_before_is_complete(tmp_path: Path) -> None:
    over_ns = SENT.start_ns + CALL.length_ns + round((ALLOWED_S + 0.1) * SECOND_NS)
    whole = Stored(samples=6 * 8000, outcome="recorded", reasons=[])
    assert judged(whole, tmp_path / "whole", over_ns).problems == []
    assert any("was over" in each for each in judged(Stored(samples=6 * 8000), tmp_path / "partly", over_ns).problems)


def test_what_the_emulated_port_took_late_is_no_networks_doing(tmp_path: Path) -> None:
    stored = Stored(reasons=["network_loss", "bye_not_seen"]).write(tmp_path)
    late = replace(IN_TIME, arrived_ns=IN_TIME.arrived_ns + 2 * SECOND_NS)
    found = judge(stored, shown([SENT], CUT_NS, late), {}, ALLOWED_S)
    assert (found.problems, found.late) == ([], 1)


def test_who_has_no_record_was_erased(tmp_path: Path) -> None:
    archive = Stored().write(tmp_path)
    other = Sent(call=PLAN.call(1, 0), start_ns=SECOND_NS)
    found = judge(archive, shown([SENT, other], CUT_NS, IN_TIME), {}, ALLOWED_S)
    assert found.absent == [other.call.call_id]

    def cut(found: Judgement) -> Cut:
        return Cut(point=1, at_s=1.0, unflushed=0, allowed_s=1.0, finished=0, signed=0, judgement=found)

    alone, elsewhere = cut(found), cut(replace(found, absent=[], known={"bb": "9-9@crash"}))
    cuts.settle([alone])
    assert alone.problems == []  # "bb" may have been that call
    cuts.settle([alone, elsewhere])
    assert alone.problems == [f"call {other.call.call_id}: no record, and not erased"]


def test_long_calls_and_what_was_sent_of_them() -> None:
    assert PLAN.call(0, 0).slots == 30 * 50
    assert CALL.slots == 6 * 50
    assert [SENT.slots(side, CUT_NS) for side in (0, 1)] == [250, 250]
    assert SENT.slots(1, CUT_NS + 1) == 250
    assert SENT.slots(0, CUT_NS + 1) == 251
    progress = Progress(planned_ns=np.array([10, 20, 30]), arrived_ns=np.array([1010, 1025, 1030]), begun_ns=1000)
    assert [progress.planned_at(now) for now in (1000, 1010, 1024, 1031)] == [0, 11, 11, 31]
    assert (progress.late_s(0, 20), progress.late_s(10, 100)) == (0.0, 5e-9)


def test_checkpoints_are_found_where_they_were_written(tmp_path: Path) -> None:
    def note(size: int) -> bytes:
        return f"rokubox/ab\n{size}\n{'A' * 43}=\n\n\u2014 rokubox/ab AAAA\n".encode()

    path = tmp_path / "log"
    path.write_bytes(b"".join(content.ljust(512, b"\0") for content in (b"", note(7), b"", note(9), b"", note(7))))
    entries = tuple(
        Entry(first_sector=at, sectors=1, is_flush=False, is_through=False, is_discard=False, at_bytes=at * 512)
        for at in (1, 3, 5)
    )
    log = WriteLog(path=path, sector_bytes=512, entries=entries)
    found = checkpoints.found(log, 0)
    assert [(one.entry, one.size, one.note) for one in found] == [(0, 7, note(7)), (1, 9, note(9))]
    assert checkpoints.newest(found, 0) is None
    assert [newest.size for point in (1, 2, 3) if (newest := checkpoints.newest(found, point))] == [7, 9, 9]
    heedless = cuts.deaf(replace(log, entries=tuple(replace(entry, is_flush=True) for entry in entries)), 1)
    assert [heedless.last_flush(point) for point in range(4)] == [0, 1, 1, 1]
