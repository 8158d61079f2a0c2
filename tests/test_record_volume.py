"""The disk pulled out, replaced and put back while recording goes on: nothing is lost, no other disk is written."""

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from capture.events import EventKind
from storage.errors import VolumeError
from storage.volume import volume
from storage.volume.smart import Verdict
from tests.archive_reading import call_records, stored_parts
from tests.capture.private_network import in_private_network, veth
from tests.journal_reading import events
from tests.live import ROKUBOX, recording, sending, wait_until
from tests.recorded_truth import differences
from tests.scenario import call, causes
from tests.traffic.calls import play

PORT = ("--interface", "span0")
_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
"""What the file system had not written yet is lost (linux/fs.h)."""


def run(*words: str | Path) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


class Disk:
    """A disk of its own, in a file behind a loop device."""

    def __init__(self, file: Path) -> None:
        file.write_bytes(b"")
        run("truncate", "-s", "100M", file)
        run("mkfs.ext4", "-q", "-F", file)
        self.uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", file)
        self._file = file
        self.device = run("losetup", "--find", "--show", file)

    def mount(self, place: Path) -> None:
        run("mount", self.device, place)

    def fail(self, place: Path) -> None:
        """From now on every access ends with an error; what was not synced is lost."""
        where = os.open(place, os.O_RDONLY)
        fcntl.ioctl(where, _EXT4_IOC_SHUTDOWN, struct.pack("i", _NO_LOG_FLUSH))
        os.close(where)

    def come_back(self, place: Path) -> None:
        """As another device, as a cable does that is plugged in again."""
        run("umount", "--lazy", place)
        self.detach()  # it goes when nobody has files of it open
        self.device = run("losetup", "--find", "--show", self._file)
        self.mount(place)

    def detach(self) -> None:
        run("losetup", "--detach", self.device)


@contextmanager
def disks(folder: Path, count: int) -> Iterator[list[Disk]]:
    made: list[Disk] = []
    try:
        try:
            made += [Disk(folder / f"disk{number}") for number in range(count)]
        except (subprocess.CalledProcessError, FileNotFoundError):
            pytest.skip("no loop devices here (not root?)")
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            while True:
                run("umount", "--lazy", folder / "place")
        for disk in made:
            disk.detach()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def test_which_disk_it_is(place: Path) -> None:
    with disks(place.parent, 2) as (ours, other):
        ours.mount(place)
        found = volume.describe(place)
        assert (found.uuid, found.disk, found.mount.kind) == (ours.uuid, ours.device, "ext4")
        assert volume.health(found).verdict is Verdict.UNKNOWN
        volume.require(place / "archive", ours.uuid.upper())
        with pytest.raises(VolumeError, match=f"here is file system {ours.uuid}, not {other.uuid}"):
            volume.require(place / "archive", other.uuid)
        run("umount", place)
        with pytest.raises(VolumeError, match="nothing is written"):
            volume.require(place / "archive", ours.uuid)
        run("mount", "-o", "ro", ours.device, place)
        with pytest.raises(VolumeError, match="mounted read-only"):
            volume.require(place / "archive", ours.uuid)


def test_a_foreign_disk_is_not_written_by_an_import(place: Path) -> None:
    with disks(place.parent, 2) as (ours, other):
        other.mount(place)
        config = place.parent / "rokubox.toml"
        config.write_text(f'[storage]\narchive = "{place}/archive"\nvolume_uuid = "{ours.uuid}"\n')
        capture = place.parent / "x.pcap"
        capture.write_bytes(b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(8) + b"\xff\xff\x00\x00\x01\x00\x00\x00")
        done = subprocess.run(
            [ROKUBOX, "import", capture, "--config", config], capture_output=True, text=True, check=False
        )
        assert done.returncode == 4
        assert f"here is file system {other.uuid}, not {ours.uuid}" in done.stderr
        assert [path.name for path in place.iterdir()] == ["lost+found"]


@in_private_network
def test_pulled_out_and_put_back(tmp_path: Path) -> None:
    """The same disk comes back as a new mount; meanwhile another one, and none, is where it was."""
    veth("span0", "switch0")
    place = tmp_path / "place"
    place.mkdir()
    with disks(tmp_path, 2) as (ours, other):
        ours.mount(place)
        archive = place / "archive"
        config = tmp_path / "rokubox.toml"
        config.write_text(f'[storage]\nvolume_uuid = "{ours.uuid}"\nreserve_bytes = 0\n')
        with recording(archive, *PORT, "--config", str(config)) as recorder:
            with sending("switch0", play(call("first", talk_s=2.0)).packets):
                pass
            recorder.wait_for_records(1)
            run("umount", "--lazy", place)
            with sending("switch0", play(call("second", talk_s=2.0)).packets):
                time.sleep(1)
                other.mount(place)
            time.sleep(1)
            assert [path.name for path in place.iterdir()] == ["lost+found"]
            run("umount", place)
            time.sleep(1)
            assert list(place.iterdir()) == []
            ours.mount(place)
            wait_until(lambda: len(call_records(archive)) == 2)
            assert recorder.stop() == 0
        assert [record["outcome"] for record in call_records(archive)] == ["recorded", "recorded"]


@in_private_network
def test_a_disk_that_fails_and_comes_back_as_another_device(tmp_path: Path) -> None:
    """In the middle of a call: what was not synced is gone, and is the recorder's loss; what comes is kept for it."""
    veth("span0", "switch0")
    place = tmp_path / "place"
    place.mkdir()
    played = play(call(talk_s=4.0))
    with disks(tmp_path, 1) as (ours,):
        ours.mount(place)
        config = tmp_path / "rokubox.toml"
        config.write_text(f'[storage]\nvolume_uuid = "{ours.uuid}"\nreserve_bytes = 0\n')
        with recording(place, *PORT, "--config", str(config)) as recorder:
            with sending("switch0", played.packets):
                time.sleep(3)
                ours.fail(place)
                with pytest.raises(OSError, match="Input/output error"):
                    (place / "probe").write_bytes(b"")
            time.sleep(1)
            ours.come_back(place)
            recorder.wait_for_records(1)
            assert recorder.stop() == 0
        assert "the disk does not take the journal" in recorder.log.read_text()
        (record,) = call_records(place)
        assert record["reasons"] == ["capture_loss", "journal_damaged"] * bool(record["capture_lost_samples"])
        assert record["network_lost_samples"] == 0
        (part,) = stored_parts(place)
        assert bool(record["reasons"]) == bool(events(place / "journal", EventKind.UNSYNCED))
        for side in (0, 1):
            missing = causes(part, side)
            assert set(missing) <= {"capture_loss"}
            assert missing.get("capture_loss", 0) < 2 * 8000, "what came while there was no disk is there"
        assert subprocess.run([ROKUBOX, "verify", "--archive", place], check=False).returncode == 0


@in_private_network
def test_a_disk_that_is_read_only_for_a_while(tmp_path: Path) -> None:
    """Whatever is opened or renamed there is refused, in the middle of a call and at its end."""
    veth("span0", "switch0")
    place = tmp_path / "place"
    place.mkdir()
    played = play(call(talk_s=4.0))
    with disks(tmp_path, 1) as (ours,):
        ours.mount(place)
        config = tmp_path / "rokubox.toml"
        config.write_text(f'[storage]\nvolume_uuid = "{ours.uuid}"\nreserve_bytes = 0\n')
        with recording(place / "archive", *PORT, "--config", str(config)) as recorder:
            with sending("switch0", played.packets):
                time.sleep(2)
                run("mount", "--bind", place, place)
                run("mount", "-o", "remount,bind,ro", place)
                with pytest.raises(OSError, match="Read-only"):
                    (place / "probe").write_bytes(b"")
            time.sleep(2)  # it would have been written by now
            assert call_records(place / "archive") == []
            run("umount", place)
            recorder.wait_for_records(1)
            assert recorder.stop() == 0
        assert [each for each in differences(place / "archive", [played]) if "from its place" not in each] == []
        assert [record["outcome"] for record in call_records(place / "archive")] == ["recorded"]
