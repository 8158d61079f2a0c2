"""The books follow the files, whatever happens in between."""

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from storage.archive import Archive
from storage.disk import Disk
from storage.errors import DeviceKeyError, ErasedError, StorageError
from storage.index.query import Query
from storage.index.reader import Hit, IndexReader
from storage.ledger.entries import FILED, Call, Erasure, Hold, Late, Part
from storage.ledger.settings import LedgerSettings
from storage.register import RegisterSettings
from storage.timestamps import local_time
from storage.verify.verification import Request, verify
from storage.vocabulary import Form, Outcome
from storage.writer import ArchiveWriter
from tests.storage.samples import (
    CALL_ID,
    START_NS,
    STEM,
    TOKYO,
    at,
    call_record,
    late_record,
    linear,
    metadata,
    part_record,
    sound,
)

NOW_NS = START_NS + 60 * 10**9


def books(root: Path, **changes) -> RegisterSettings:
    archive = Archive(root)
    ledger = LedgerSettings(
        directory=archive.ledger,
        key=archive.ledger / "device.key",
        share=archive.recordings,
        serial="RB-1",
        zone=ZoneInfo("Asia/Tokyo"),
    )
    return RegisterSettings(ledger=ledger, now_ns=lambda: NOW_NS, **changes)


def writer(root: Path, disk: Disk | None = None, **changes) -> ArchiveWriter:
    return ArchiveWriter(Archive(root), disk, books=books(root, **changes))


def write(into: ArchiveWriter, frames: int = 1000) -> None:
    write_first_part(into, frames)
    into.write_call(call_record())
    into.write_late(late_record())


def write_first_part(into: ArchiveWriter, frames: int = 1000) -> None:
    into.write_part(
        call_id=CALL_ID,
        number=1,
        stem=STEM,
        started=local_time(START_NS, TOKYO),
        form=Form.ZIP,
        sound=sound(linear(frames)),
        metadata=metadata,
    )


def entered(root: Path) -> list[str]:
    with writer(root) as opened:
        assert opened.register is not None
        assert opened.register.ledger is not None
        return [line.entry.kind for line in opened.register.ledger.lines() if isinstance(line.entry, FILED)]


def test_what_is_written_is_entered_once(tmp_path):
    with writer(tmp_path) as opened:
        news = []
        for act in (lambda: write(opened), opened.sync, lambda: write(opened)):
            act()
            news.append(opened.has_news)
        assert news == [True, False, True]
    assert entered(tmp_path) == ["part", "call", "late"]
    assert list((tmp_path / "spool").iterdir()) == []


def test_entries_say_what_the_files_are(tmp_path):
    with writer(tmp_path) as opened:
        write(opened)
        opened.sync()
        assert opened.register is not None
        assert opened.register.ledger is not None
        lines = {line.entry.kind: line.entry for line in opened.register.ledger.lines()}
    part, call = lines["part"], lines["call"]
    assert isinstance(part, Part)
    assert isinstance(call, Call)
    assert (part.call_id, part.part, part.day, part.form) == (CALL_ID, 1, "2026-01-02", Form.ZIP)
    assert (call.call_id, call.day, call.at) == (CALL_ID, "2026-01-02", at(60.0))
    late = lines["late"]
    assert isinstance(late, Late)
    assert (late.call_id, late.ssrc, late.first_ns) == (CALL_ID, "0x0000beef", START_NS + 3 * 10**9)


def test_what_was_erased_does_not_come_back(tmp_path):
    with writer(tmp_path) as opened:
        write(opened)
        opened.sync()
        assert opened.register is not None
        assert opened.register.ledger is not None
        gone = Erasure(call_ids=(CALL_ID,), rule="r", who="w", why="y", counts={}, at=at(61.0))
        opened.register.ledger.append([gone])
        opened.sync()
        with pytest.raises(ErasedError, match=r"^call 0123456789 was erased and is not written again$"):
            write(opened)
        with pytest.raises(ErasedError, match=r"^call 0123456789 was erased and is not written again$"):
            opened.write_late(late_record())


STEPS = ["create", "write", "write_at", "fsync", "link", "remove", "rename", "truncate"]


class Killed(Disk):
    """Dies at one call, before or after it was made."""

    def __init__(self, step: str, when: str, count: int) -> None:
        self.step, self.when, self.left = step, when, count

    def __getattribute__(self, name: str):
        found = super().__getattribute__(name)
        if name in ("step", "when", "left") or name != self.step:
            return found

        def call(*arguments, **named):
            self.left -= 1
            if self.left == -1 and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = found(*arguments, **named)
            if self.left == -1:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_writer_killed_at_any_step_leaves_nothing_off_the_books(memory_path, step, when):
    """The next writer, with nothing to do of its own, enters all that has a name."""
    deaths = 0
    for count in range(60):
        root = memory_path / str(count)
        if not dies(partial(_written_by, writer(root, Killed(step, when, count)))):
            break
        deaths += 1
        there = [
            kind
            for kind, files in (("part", "recordings/*/*/*/*.zip"), ("call", "calls/*/*/*/*"), ("late", "late/*/*/*/*"))
            for _ in root.glob(files)
        ]
        assert entered(root) == there, f"killed {when} {step} number {count}"
        assert verify(Request(archive=root)).defects == []
        shutil.rmtree(root)
    assert 0 < deaths < 60


def _written_by(opening: ArchiveWriter) -> None:
    with opening as opened:
        write(opened)


def dies(act: Callable[[], None]) -> bool:
    """Run in a process of its own; whether it was killed."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


class Full(Disk):
    """Refuses one call after some."""

    def __init__(self, step: str) -> None:
        self.step, self.left = step, 1000

    def __getattribute__(self, name: str):
        found = super().__getattribute__(name)
        if name in ("step", "left") or name != self.step:
            return found

        def call(*arguments, **named):
            self.left -= 1
            if self.left == -1:
                raise OSError(28, os.strerror(28))
            return found(*arguments, **named)

        return call


@pytest.mark.parametrize("step", ["write_at", "fsync", "rename"])
def test_a_disk_that_fails_once_costs_no_entry(memory_path, step):
    for count in range(40):
        root = memory_path / str(count)
        failed = 0
        disk = Full(step)
        with writer(root, disk) as opened:
            disk.left = count
            for act in (lambda opened=opened: write(opened), opened.sync):
                try:
                    act()
                except StorageError:
                    failed += 1
                    act()
        assert entered(root) == ["part", "call", "late"]
        shutil.rmtree(root)
        if not failed:
            break
    assert count


def test_recording_goes_on_without_the_key_and_is_entered_later(tmp_path):
    with writer(tmp_path):
        pass
    key = tmp_path / "ledger" / "device.key"
    key.rename(tmp_path / "elsewhere")
    with pytest.raises(DeviceKeyError):
        writer(tmp_path).__enter__()
    for frames in (1000, 1000):
        with writer(tmp_path, go_on_without=True) as opened:
            assert opened.register is not None
            assert isinstance(opened.register.trouble, DeviceKeyError)
            write(opened, frames)
    (tmp_path / "elsewhere").rename(key)
    assert entered(tmp_path) == ["part", "call", "late"]


def found(root: Path, **wanted) -> list[Hit]:
    with IndexReader(Archive(root).index) as index:
        return list(index.search(Query(**wanted)).hits)


def test_the_index_follows_the_ledger(tmp_path):
    with writer(tmp_path) as opened:
        write(opened)
        opened.sync()
        assert opened.register is not None
        ledger = opened.register.ledger
        assert ledger is not None
        [hit] = found(tmp_path)
        assert (hit.call_id, hit.outcome, [part.number for part in hit.parts]) == (CALL_ID, Outcome.PARTLY, [1])
        ledger.append([Hold(call_ids=(CALL_ID,), hold="set", name="case 7", who="w", why="y", at=at(61.0))])
        opened.sync()
        assert [hit.legal_holds for hit in found(tmp_path)] == [("case 7",)]
        ledger.append([Hold(call_ids=(CALL_ID,), hold="released", name="case 7", who="w", why="y", at=at(62.0))])
        opened.sync()
        assert [hit.legal_holds for hit in found(tmp_path)] == [()]
        ledger.append([Erasure(call_ids=(CALL_ID,), rule="r", who="w", why="y", counts={}, at=at(63.0))])
        opened.sync()
        assert found(tmp_path) == []


def test_a_call_in_progress_is_in_the_index_with_its_parts(tmp_path):
    with writer(tmp_path) as opened:
        write_first_part(opened)
        opened.sync()
        [hit] = found(tmp_path)
        assert (hit.call_id, hit.outcome, [part.number for part in hit.parts]) == (CALL_ID, None, [1])
        size = next(tmp_path.glob("recordings/*/*/*/*.zip")).stat().st_size
        assert [(part.samples, part.size_bytes) for part in hit.parts] == [(part_record().samples, size)]
        opened.write_call(call_record())
    assert [hit.outcome for hit in found(tmp_path)] == [Outcome.PARTLY]


def test_an_index_that_is_lost_is_made_again_from_the_ledger(tmp_path):
    with writer(tmp_path) as opened:
        write(opened)
    for file in tmp_path.glob("index.sqlite*"):
        file.unlink()
    with writer(tmp_path) as opened:
        assert opened.has_news or found(tmp_path)
    assert [hit.call_id for hit in found(tmp_path)] == [CALL_ID]


def test_a_damaged_index_does_not_stop_recording(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"not a database, not at all" * 100)
    with writer(tmp_path) as opened:
        write(opened)
    assert entered(tmp_path) == ["part", "call", "late"]


def test_the_index_of_another_ledger_is_not_used(tmp_path):
    for name in ("one", "two"):
        with writer(tmp_path / name) as opened:
            if name == "one":
                write(opened)
    (tmp_path / "one" / "index.sqlite").replace(tmp_path / "two" / "index.sqlite")
    with writer(tmp_path / "two") as opened:
        assert opened.register is not None
        assert opened.register.index is None
