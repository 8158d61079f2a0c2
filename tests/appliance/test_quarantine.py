"""What assembly cannot get past: a call that fails is one call's failure, a block is set aside after three deaths."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.assembling.inhand import Death, InHand
from appliance.assembling.quarantine import TRIES, UNEXPLAINED_TRIES, Quarantine
from capture import journal
from capture.errors import JournalError
from capture.journal import Event
from capture.journalreader import JournalReader
from capture.journalstore import JournalStore
from storage.errors import DiskFullError
from tests.appliance.journals import assemble, write_journal
from tests.archive_reading import call_records, tree_digest
from tests.recorded_truth import differences
from tests.scenario import CALLEE, CALLER, call, moved
from tests.traffic.calls import PlayedCall, play, together

REPOSITORY = Path(__file__).parents[2]
POISONED = """
import os, signal, sys, time
from pathlib import Path
from appliance.assembling.assembledaemon import AssembleDaemon, AssembleSettings
from appliance.assembly.publish import Publisher
from tests.appliance.journals import SETTINGS

archive, deed, ends = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "ends"

class Poison(Publisher):
    def part(self, work, call, *arguments, **named):
        if call is not None and call.call_id == "call1@example":
            match deed:
                case "raise":
                    raise ZeroDivisionError("a bug, and 0312345678 called")
                case "hang":
                    while True:
                        time.sleep(0.01)
                case "crash":
                    os.kill(os.getpid(), signal.SIGSEGV)
        return super().part(work, call, *arguments, **named)

class Poisoned(AssembleDaemon):
    def _publisher(self, writer, reader):
        mine = super()._publisher(writer, reader)
        return Poison(settings=mine.settings, writer=mine.writer, wait=mine.wait, progress=mine.progress)

daemon = Poisoned(AssembleSettings(archive=archive, assembly=SETTINGS))
if ends:
    daemon.stop()
signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
daemon.run()
"""
"""The daemon with a bug that shows in one call."""


@pytest.fixture(scope="module")
def calls() -> list[PlayedCall]:
    """Three calls at a time; the second one is going to be trouble."""
    parties = [
        (moved(CALLER, host=f"10.77.1.{n}"), moved(CALLEE, host=f"10.77.9.{n}"), f"call{n}@example") for n in range(3)
    ]
    return [
        play(replace(call(call_id, talk_s=4.0), caller=caller, callee=callee)) for caller, callee, call_id in parties
    ]


@pytest.fixture
def archive(tmp_path: Path, calls: list[PlayedCall]) -> Path:
    """An archive whose journal holds the calls."""
    folder = tmp_path / "archive"
    folder.mkdir()
    write_journal(folder / "journal", together(calls))
    return folder


def poisoned(archive: Path, deed: str) -> "subprocess.Popen[str]":
    arguments = [sys.executable, "-c", POISONED, str(archive), deed, "ends"]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)


def outcomes(archive: Path) -> dict[str, tuple[str, list[str]]]:
    return {each["sip"]["call_ids"][0]: (each["outcome"], each["reasons"]) for each in call_records(archive)}


SET_ASIDE = {
    "call0@example": ("recorded", []),
    "call1@example": ("not_recorded", ["decode_failed"]),
    "call2@example": ("recorded", []),
}


def packets_of(played: PlayedCall) -> int:
    return sum(truth.packets for truths in played.truths.values() for truth in truths)


def kept_packets(archive: Path) -> int:
    (kept,) = (archive / "quarantine").glob("*-*.rkj")
    raw, rows, at = kept.read_bytes(), 0, 0
    while at < len(raw):
        header = journal.parse_header(raw[at : at + journal.HEADER.itemsize])
        block = journal.parse(np.frombuffer(raw[at:], np.uint8), at)
        assert isinstance(block, journal.MediaBlock)
        rows += int(block.extents["rows"].sum())
        at += int(header[0]["bytes"])
    return rows


def test_a_call_that_fails_is_one_calls_failure(archive: Path, calls: list[PlayedCall]) -> None:
    process = poisoned(archive, "raise")
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert outcomes(archive) == SET_ASIDE
    assert [each for each in differences(archive, [calls[0], calls[2]]) if "made were" not in each] == []
    assert not [path for path in (archive / "quarantine").iterdir() if len(path.stem) == 16]
    assert "alarm: call" in told
    assert "ZeroDivisionError at" in told
    assert "0312345678" not in told
    assert kept_packets(archive) == packets_of(calls[1])


def test_a_replay_comes_to_the_same(archive: Path) -> None:
    poisoned(archive, "raise").communicate(timeout=30)
    before = tree_digest(archive / "calls") | tree_digest(archive / "recordings")
    (archive / "spool" / "assembly.snapshot").unlink()
    assemble(archive)
    assert tree_digest(archive / "calls") | tree_digest(archive / "recordings") == before


@pytest.mark.parametrize(("deed", "number"), [("crash", None), ("hang", signal.SIGABRT)])
def test_a_call_that_takes_the_process_with_it_is_set_aside_after_three_deaths(
    archive: Path, calls: list[PlayedCall], deed: str, number: int | None
) -> None:
    for _ in range(TRIES):
        process = poisoned(archive, deed)
        if number is not None:
            wait_until(lambda: is_in_hand(archive))
            process.send_signal(number)  # as the watchdog does
        process.communicate(timeout=30)
        assert process.returncode < 0
        assert "call1@example" not in outcomes(archive)
    process = poisoned(archive, deed)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert outcomes(archive) == SET_ASIDE
    assert [each for each in differences(archive, [calls[0], calls[2]]) if "made were" not in each] == []
    assert kept_packets(archive) == packets_of(calls[1])


def test_the_watchdog_ends_what_hangs(archive: Path) -> None:
    supervisor = (
        "import sys\nfrom pathlib import Path\nfrom appliance.supervision.service import Child, Patience\n"
        "from appliance.supervision.supervisor import run\n"
        "child = Child(name='assemble', argv=sys.argv[2:], stop_order=1)\n"
        "patience = Patience(watchdog_s=3, abort_s=2)\n"
        "sys.exit(run([child], Path(sys.argv[1]), on_ready=lambda: None, patience=patience))"
    )
    child = [sys.executable, "-c", POISONED, archive, "hang", "stays"]
    arguments = [sys.executable, "-c", supervisor, archive / "run", *child]
    with (archive.parent / "log").open("w") as log:
        process = subprocess.Popen(list(map(str, arguments)), stderr=log, cwd=REPOSITORY)
        try:
            wait_until(lambda: len(call_records(archive)) == 3)
        finally:
            process.terminate()
            process.wait(timeout=30)
    assert outcomes(archive) == SET_ASIDE
    assert (archive.parent / "log").read_text().count("its watchdog is silent") == TRIES


def is_in_hand(archive: Path) -> bool:
    """Whether a process that lives does not get past a call; a dead one's mark lies beside its trace."""
    mark, trace = archive / "spool" / "assembly.inhand", archive / "spool" / "assembly.trace"
    before = mark.read_bytes()
    time.sleep(0.5)
    return not trace.stat().st_size and before.startswith(b"call") and mark.read_bytes() == before


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, int]:
    """An archive with one block in its journal: folder, the block's address."""
    (tmp_path / "spool").mkdir()
    with JournalStore(tmp_path / "journal") as store:
        return tmp_path, store.append(journal.serialize_events([Event(ts_ns=5, kind="tick", detail={})]))


def quarantine_of(folder: Path) -> Quarantine:
    return Quarantine(directory=folder / "quarantine", spool=folder / "spool")


def stumble(folder: Path, address: int, error: type[Exception]) -> None:
    """One process's life: it comes to the block, and ends."""
    with JournalReader(folder / "journal") as reader, quarantine_of(folder) as quarantine:
        assert not quarantine.is_held_block(address, reader)
        with pytest.raises(error), quarantine.watching(address, reader):
            raise error("the message")


def is_held(folder: Path, address: int) -> bool:
    with JournalReader(folder / "journal") as reader, quarantine_of(folder) as quarantine:
        return quarantine.is_held_block(address, reader)


DYING = """
import os, signal, sys
from pathlib import Path
from appliance.assembling.quarantine import Quarantine
from capture.journalreader import JournalReader

folder, address, number = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with JournalReader(folder / "journal") as reader, \\
        Quarantine(directory=folder / "quarantine", spool=folder / "spool") as quarantine:
    if quarantine.is_held_block(address, reader):
        sys.exit(0)
    with quarantine.watching(address, reader):
        os.kill(os.getpid(), number)
"""


def die(folder: Path, address: int, number: int) -> int:
    """A process that is killed over the block."""
    arguments = [sys.executable, "-c", DYING, str(folder), str(address), str(number)]
    return subprocess.run(arguments, check=False, capture_output=True, cwd=REPOSITORY).returncode


def test_set_aside_after_three_tries(place: tuple[Path, int]) -> None:
    folder, address = place
    for _ in range(TRIES):
        stumble(folder, address, ValueError)
    assert is_held(folder, address)
    (kept,) = (folder / "quarantine").iterdir()
    assert journal.parse_header(kept.read_bytes())[0]["kind"] == journal.BlockKind.EVENT


def test_deaths_by_the_watchdog_count(place: tuple[Path, int]) -> None:
    folder, address = place
    for _ in range(TRIES):
        assert die(folder, address, signal.SIGABRT) == -signal.SIGABRT
    assert die(folder, address, signal.SIGABRT) == 0
    assert is_held(folder, address)


def test_kills_that_may_strike_at_random_take_longer(place: tuple[Path, int]) -> None:
    folder, address = place
    for _ in range(UNEXPLAINED_TRIES):
        assert die(folder, address, signal.SIGKILL) == -signal.SIGKILL
    assert is_held(folder, address)


def test_another_block_in_between_begins_the_count_anew(place: tuple[Path, int]) -> None:
    folder, address = place
    for stumbled in (address, address, address + 1000, address, address):
        stumble(folder, stumbled, ValueError)
    assert not is_held(folder, address)


def test_the_disk_is_not_the_blocks_fault(place: tuple[Path, int]) -> None:
    folder, address = place
    for _ in range(TRIES):
        stumble(folder, address, DiskFullError)
    assert not is_held(folder, address)


def test_a_disk_that_stands_still_is_not_the_blocks_fault(tmp_path: Path) -> None:
    dying = (
        "import array, fcntl, os, signal, sys, termios, threading, time\nfrom pathlib import Path\n"
        "from appliance.assembling.inhand import InHand\n"
        "from storage.disk import Disk\nhand = InHand(Path(sys.argv[1]))\nhand.open()\n"
        "reading, writing = os.pipe()\n"
        "def die():\n"
        "    held = array.array('i', [0])\n"
        "    while held[0] < 1 << 16:\n        time.sleep(0.01)\n        fcntl.ioctl(reading, termios.FIONREAD, held)\n"
        "    time.sleep(0.3)\n    os.kill(os.getpid(), signal.SIGABRT)\n"
        "threading.Thread(target=die).start()\n"
        "with hand.holding('block 1'):\n"
        "    while True:\n        Disk().write(writing, bytes(1 << 16))  # until the pipe is full\n"
    )
    subprocess.run([sys.executable, "-c", dying, tmp_path], check=False, capture_output=True, cwd=REPOSITORY)
    found = InHand(tmp_path).found()
    assert found is not None
    assert (found.subject, found.death) == ("block 1", Death.AT_DISK)


def test_what_is_read_without_trouble_leaves_nothing_in_hand(place: tuple[Path, int]) -> None:
    folder, address = place
    with JournalReader(folder / "journal") as reader, quarantine_of(folder) as quarantine:
        with quarantine.watching(address, reader):
            with quarantine.in_hand("0" * 64):
                pass
            assert (folder / "spool" / "assembly.inhand").read_bytes().startswith(b"block ")
        assert not (folder / "spool" / "assembly.inhand").read_bytes().strip(b"\0")
    assert list((folder / "quarantine").iterdir()) == []


def test_nothing_is_in_hand_when_the_journal_is_gone(place: tuple[Path, int]) -> None:
    folder, address = place
    for _ in range(TRIES):
        stumble(folder, address, JournalError)
    for path in (folder / "journal").glob("*.rkj"):
        os.unlink(path)
    assert is_held(folder, address)
