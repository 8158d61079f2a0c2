"""Erasing while recording goes on: by a person, and for room, with the real daemons."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from appliance.condition import observed
from appliance.condition.concerns import Concern
from appliance.condition.record import NAME, Condition
from tests.archive_reading import call_records, pieces
from tests.capture.private_network import in_private_network, veth
from tests.live import ROKUBOX, Recorder, recording, sending, wait_until
from tests.recorded_truth import key_of
from tests.scenario import CALLEE, CALLER, call, moved
from tests.storage.retention.archives import call_id, erasures, finished, make
from tests.traffic.calls import play

PORT = ("--interface", "span0")
MIB = 1 << 20


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def is_new(recorder: Recorder, name: str, pid: int) -> bool:
    return recorder.pid(name) != pid


@in_private_network
def test_erased_while_recording_nothing_comes_back(tmp_path: Path) -> None:
    """Not from the state, not from the journal, not when assembly is killed right behind it."""
    veth("span0", "switch0")
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", play(call(talk_s=2.0)).packets):
            pass
        recorder.wait_for_records(1)
        words = ["erase", "--number", CALLEE.number, "--yes", "--why", "asked", "--certificate", f"{tmp_path}/done"]
        subprocess.run([ROKUBOX, *words, "--archive", recorder.archive], check=True)
        assert finished(recorder.archive) == set()
        before = recorder.pid("assemble")
        os.kill(before, signal.SIGKILL)
        wait_until(partial(is_new, recorder, "assemble", before))
        time.sleep(2)
        assert recorder.stop() == 0
    for path in recorder.archive.rglob("*"):
        assert not path.lstat().st_mode & 0o007, f"{path.relative_to(recorder.archive)} is for everybody"
    key = recorder.archive / "ledger" / "device.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert finished(recorder.archive) == set()
    certificate = json.loads((tmp_path / "done.json").read_text())
    assert (certificate["calls"], certificate["left"], certificate["journal_clean"]) == (1, {}, True)
    journal = b"".join(path.read_bytes() for path in (recorder.archive / "journal").glob("*.rkj"))
    assert CALLEE.number.encode() not in journal
    state = b"".join(path.read_bytes() for path in (recorder.archive / "spool").iterdir())
    assert CALLEE.number.encode() not in state


@in_private_network
def test_the_oldest_make_room_for_new_recordings(tmp_path: Path) -> None:
    veth("span0", "switch0")
    with small_disk(tmp_path / "disk", 90 * MIB) as disk:
        archive = disk / "archive"
        make(archive, 12, parts=1, frames=5 * MIB // 4)
        config = tmp_path / "rokubox.toml"
        config.write_text(f"[storage]\nreserve_bytes = {20 * MIB}\n")
        status = os.statvfs(disk)
        assert 20 * MIB < status.f_bavail * status.f_frsize < 30 * MIB
        with recording(archive, *PORT, "--config", str(config)) as recorder:
            wait_until(lambda: len(list((archive / "calls").rglob("*.json"))) < 12)
            with sending("switch0", play(call(talk_s=2.0)).packets):
                pass
            wait_until(lambda: any(CALLEE.number in name for name in new_files(archive)))
            assert recorder.stop() == 0
        status = os.statvfs(disk)
        assert status.f_bavail * status.f_frsize > 35 * MIB
        said = erasures(archive)
        assert {one.rule for one in said} == {"default: room"}
        gone = [erased for one in said for erased in one.call_ids]
        assert gone == [call_id(number) for number in range(len(gone))]
        assert 1 <= len(gone) <= 5


def new_files(archive: Path) -> set[str]:
    old = {call_id(number)[:10] for number in range(12)}
    return {name for name in finished(archive) if "_" in name and name.split("_")[4] not in old}


def outcomes(archive: Path) -> dict[str, tuple[str, list[str]]]:
    """What became of the calls that were sent, without those that were there before."""
    said = {each["sip"]["call_ids"][0]: (each["outcome"], each["reasons"]) for each in call_records(archive)}
    return {call_id: outcome for call_id, outcome in said.items() if call_id.endswith("@example")}


def leave_free(disk: Path, filler: Path, size_bytes: int) -> None:
    status = os.statvfs(disk)
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize - size_bytes))


@in_private_network
def test_a_disk_that_fills_up_stops_new_calls_when_nothing_may_go_any_more(tmp_path: Path) -> None:
    """First the oldest go; then new calls are refused, and the one in progress is finished; then there is room."""
    veth("span0", "switch0")
    first = play(call("first@example", talk_s=30.0))
    elsewhere = {"caller": moved(CALLER, host="10.77.0.12"), "callee": moved(CALLEE, host="10.77.8.21")}
    second, third = (play(call(f"{name}@example", talk_s=2.0, **elsewhere)) for name in ("second", "third"))
    with small_disk(tmp_path / "disk", 90 * MIB) as disk:
        archive = disk / "archive"
        make(archive, 6, parts=1, frames=5 * MIB // 4)
        config = tmp_path / "rokubox.toml"
        config.write_text(f"[storage]\nreserve_bytes = {20 * MIB}\n")
        with recording(archive, *PORT, "--config", str(config)) as recorder:
            with sending("switch0", first.packets):
                time.sleep(3)
                leave_free(disk, disk / "filler", 10 * MIB)
                wait_until(lambda: recorder.log.read_text().count("room again: new calls are recorded") == 1)
                assert len(list((archive / "calls").rglob("*.json"))) < 3
                leave_free(disk, disk / "more", 10 * MIB)
                wait_until(lambda: recorder.log.read_text().count("new calls are not recorded") == 2)
                time.sleep(1)
                with sending("switch0", second.packets):
                    pass
            wait_until(lambda: len(outcomes(archive)) == 2)
            for name in ("filler", "more"):
                (disk / name).unlink()
            wait_until(lambda: recorder.log.read_text().count("room again: new calls are recorded") == 2)
            time.sleep(1)  # the journal has it with the next turn
            with sending("switch0", third.packets):
                pass
            wait_until(lambda: len(outcomes(archive)) == 3)
        assert outcomes(archive) == {
            "first@example": ("recorded", []),
            "second@example": ("not_recorded", ["disk_full"]),
            "third@example": ("recorded", []),
        }
        found = pieces(archive)
        for truth in (each for played in (first, third) for side in played.truths.values() for each in side):
            (piece,) = found[key_of(truth)]
            assert np.array_equal(piece.samples, truth.pcm)
        assert {one.rule for one in erasures(archive)} == {"default: room"}


@in_private_network
def test_what_cannot_be_finished_does_not_stop_recording(tmp_path: Path) -> None:
    veth("span0", "switch0")
    (tmp_path / "archive" / "retention").mkdir(parents=True)
    (tmp_path / "archive" / "retention" / "erasing.json").write_bytes(b"{")
    with recording(tmp_path / "archive", *PORT) as recorder:
        with sending("switch0", play(call(talk_s=2.0)).packets):
            pass
        recorder.wait_for_records(1)
    assert "alarm: recording goes on, but nothing is erased" in recorder.log.read_text()
    condition = observed.read(tmp_path / "archive" / "run", NAME, Condition)
    assert condition is not None
    assert [(one.concern, one.part) for one in condition.concerns] == [(Concern.RETENTION_FAILED, "keeping")]
