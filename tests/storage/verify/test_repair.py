"""After a broken ledger another log goes on: accepted, and told."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from storage.archive import Archive
from storage.errors import LedgerBrokenError, LedgerError
from storage.index.query import Query
from storage.index.reader import IndexReader
from storage.ledger import predecessor
from storage.ledger.entries import NextLog
from storage.ledger.settings import Attribution
from storage.register import RegisterSettings
from storage.repair import Repair, Repairer
from storage.retention import clockfile
from storage.retention.clockguard import ClockState, Mark
from storage.verify.defects import exit_code
from storage.writer import ArchiveWriter
from tests.storage.fatal import in_a_process_killed_at
from tests.storage.ledger.books import DAY_NS, MortalDisk, opened, settings
from tests.storage.samples import START_NS
from tests.storage.verify.archives import Made, call_id, kinds, reread, verified

BY = Attribution(who="suzuki", why="disk failure, looked at")
NOW_NS = START_NS + 3 * DAY_NS


def break_line(root: Path, number: int, change: bytes = b"!") -> None:
    path = root / "ledger/entries.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = change + lines[number]
    path.write_bytes(b"".join(lines))
    for name in ("hashes", "names"):
        (root / "ledger" / name).unlink(missing_ok=True)


def repaired(root: Path, disk: MortalDisk | None = None) -> Repair:
    return Repairer(Archive(root), settings(root), disk or MortalDisk(0)).repair(BY, NOW_NS)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def line_of(root: Path, kind: str) -> int:
    """The last line of a kind."""
    lines = (root / "ledger/entries.jsonl").read_bytes().splitlines()
    return max(number for number, line in enumerate(lines) if b'{"kind":"%s"' % kind.encode() in line)


@pytest.mark.parametrize("kind", ["part", "call", "late", "log", "seal", "key"])
def test_a_damaged_line(made: Made, kind: str) -> None:
    """Nothing is lost: what the line spoke of is entered again, from the file."""
    key = (made.root / "ledger/device.key").read_bytes()
    number = line_of(made.root, kind)
    break_line(made.root, number)
    with pytest.raises(LedgerBrokenError):
        opened(made.root)
    before = files(made.root / "ledger")
    done = repaired(made.root)
    assert (done.damaged, done.entered) == (1, 1 if kind in ("part", "call", "late") else 0)
    report = verified(made.root)
    assert report.defects == []
    assert (report.parts, report.calls, report.late) == (3, 3, 1)
    assert any("goes on after a broken one (suzuki" in notice and BY.why in notice for notice in report.notices)
    kept = files(made.root / "quarantine" / done.kept_as)
    assert kept["entries.jsonl"] == before["entries.jsonl"]
    assert kept["checkpoint"] == before["checkpoint"]
    assert (made.root / "ledger/device.key").read_bytes() == key
    with opened(made.root, NOW_NS) as ledger:
        first = next(ledger.lines()).entry
        assert isinstance(first, NextLog)
        assert (first.who, first.why, first.origin) == (BY.who, BY.why, "rokubox/RB-0001.2")
        assert first.previous_checkpoint.encode() == before["checkpoint"]
        assert ledger.is_erased(call_id(3))


def test_who_holds_a_checkpoint_of_the_broken_log_holds_it_against_that(made: Made) -> None:
    break_line(made.root, 13)
    repaired(made.root)
    early, *_, late = made.checkpoints
    assert verified(made.root, reread(early)).defects == []  # what it speaks of is whole
    report = verified(made.root, reread(late))
    assert kinds(report) == {"ledger"}
    assert "altered, or forked" in report.defects[0].what


def test_repaired_twice(made: Made) -> None:
    for _ in range(2):
        break_line(made.root, 3)
        repaired(made.root)
    report = verified(made.root, reread(made.checkpoints[0]))
    assert {defect.kind.value for defect in report.defects} <= {"ledger"}
    assert report.origin == "rokubox/RB-0001.3"
    assert sum("goes on after a broken one" in notice for notice in report.notices) == 2
    assert verified(made.root).defects == []
    _, second = sorted((made.root / "quarantine").iterdir())
    content = (second / "entries.jsonl").read_bytes()
    (second / "entries.jsonl").write_bytes(content.replace(b'"rule":"90 days"', b'"rule":"91 days"'))
    assert "ledger" in kinds(verified(made.root))  # between the two repairs, too


@pytest.mark.parametrize("what", ["line changed", "line left out", "old log changed"])
def test_what_was_taken_over_is_held_against_the_broken_log(made: Made, what: str) -> None:
    """Whoever has the key could repair with lines of his own: they are not those of the log in quarantine."""
    break_line(made.root, 13)
    whole = tuple(predecessor.readable(made.root / "ledger"))
    assert len(whole) == 18
    if what != "old log changed":
        path = made.root / "ledger/entries.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        kept = list(lines)
        number = line_of(made.root, "call")
        kept[number : number + 1] = (
            [] if what == "line left out" else [kept[number].replace(b'"day":"2026-01-03"', b'"day":"2026-01-05"')]
        )
        path.write_bytes(b"".join(kept))
        done = repaired(made.root)
        (made.root / "quarantine" / done.kept_as / "entries.jsonl").write_bytes(b"".join(lines))
    else:
        done = repaired(made.root)
        path = made.root / "quarantine" / done.kept_as / "entries.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"rule":"90 days"', b'"rule":"91 days"'))
    report = verified(made.root)
    assert "ledger" in kinds(report)
    assert any("could be read of the one before" in defect.what for defect in report.defects)


def test_a_copy_without_the_broken_log_is_accepted_and_told(made: Made) -> None:
    break_line(made.root, 13)
    repaired(made.root)
    shutil.rmtree(made.root / "quarantine")
    report = verified(made.root)
    assert report.defects == []
    assert any("which is not here" in notice for notice in report.notices)
    assert exit_code(verified(made.root, reread(made.checkpoints[0])).defects)


def test_lines_and_checkpoints_all_lost(made: Made) -> None:
    for name in ("entries.jsonl", "hashes", "names", "checkpoint"):
        (made.root / "ledger" / name).write_bytes(b"")
    with pytest.raises(LedgerBrokenError):
        opened(made.root)
    done = repaired(made.root)
    assert (done.lines, done.entered) == (0, 7)
    assert verified(made.root).defects == []


def test_a_sound_ledger_is_not_touched(made: Made) -> None:
    before = files(made.root / "ledger")
    with pytest.raises(LedgerError, match="not broken"):
        repaired(made.root)
    assert files(made.root / "ledger") == before


def test_marks_of_time_and_index_count_anew(made: Made) -> None:
    archive = Archive(made.root)
    books = RegisterSettings(ledger=settings(made.root), now_ns=lambda: NOW_NS)
    with ArchiveWriter(archive, books=books):
        pass
    clock = ClockState(elapsed_ns=90 * DAY_NS, marks=(Mark(elapsed_ns=DAY_NS, entries=40),))
    clockfile.write(archive.retention, clock, MortalDisk(0))
    break_line(made.root, 13)
    repaired(made.root)
    assert clockfile.read(archive.retention) == ClockState(elapsed_ns=90 * DAY_NS)
    with ArchiveWriter(archive, books=books):
        pass
    with IndexReader(archive.index) as index:
        assert {hit.call_id for hit in index.search(Query()).hits} == {call_id(one) for one in (1, 2, 4)}
    assert verified(made.root).defects == []


def test_killed_at_every_step(made: Made, tmp_path: Path) -> None:
    """Until it is finished nothing is signed; asked again, it is finished, in the name of who began it."""
    break_line(made.root, line_of(made.root, "call"))
    broken = (made.root / "ledger/entries.jsonl").read_bytes()
    deaths = 0
    for step in range(1, 200):
        root = tmp_path / f"killed-{step}"
        shutil.copytree(made.root, root)
        if not in_a_process_killed_at(step, partial(repaired, root)):
            break
        deaths += 1
        try:
            with opened(root):
                pass
        except LedgerBrokenError:
            Repairer(Archive(root), settings(root), MortalDisk(0)).repair(BY, NOW_NS + DAY_NS)
        assert verified(root).defects == [], step
        (kept,) = (root / "quarantine").iterdir()
        assert (kept / "entries.jsonl").read_bytes() == broken
        shutil.rmtree(root)
    assert deaths > 20
