"""What the journal has lost after assembly had read it is the recorder's loss, and nobody else's."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.assembling.assembledaemon import SNAPSHOT_NAME
from capture.journalfile import OFFSET_MASK
from capture.journalreader import JournalReader
from tests.appliance.journals import assemble, write_journal
from tests.archive_reading import call_records, stored_parts
from tests.scenario import call
from tests.traffic.calls import PlayedCall, play
from tests.traffic.media import RATE_HZ

S = 1_000_000_000
_HARM_S, _DOWN_S = 4.2, 3.0
"""How long after the call's begin the first capture ends, and how long nobody records then."""
_OF_THE_BLOCK = 500
"""Bytes of the last media block that are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A call whose recorder was down for some seconds."""

    archive: Path
    played: PlayedCall
    addresses: list[int]
    """Of the media blocks that the first capture wrote."""

    @property
    def folder(self) -> Path:
        """Directory of the journal."""
        return self.archive / "journal"

    @property
    def file(self) -> Path:
        """What the first capture wrote."""
        return self.folder / "00000000.rkj"

    @property
    def begin_ns(self) -> int:
        """When the call began."""
        return self.played.packets[0].ts_ns

    def go_on(self) -> None:
        """Record on, some seconds later."""
        later_ns = self.begin_ns + round((_HARM_S + _DOWN_S) * S)
        write_journal(self.folder, [packet for packet in self.played.packets if packet.ts_ns >= later_ns])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    archive, played = tmp_path / "archive", play(call("torn@example", talk_s=15.0))
    archive.mkdir()
    until_ns = played.packets[0].ts_ns + round(_HARM_S * S)
    before = [packet for packet in played.packets if packet.ts_ns < until_ns]
    return Scene(archive=archive, played=played, addresses=write_journal(archive / "journal", before, tail_s=0))


def account(archive: Path) -> tuple[str, list[str], set[str], list[float]]:
    """Outcome, reasons, causes of what is missing, and how many seconds are missing of each side."""
    (record,) = call_records(archive)
    (part,) = stored_parts(archive)
    streams: list[dict[str, Any]] = [stream for side in part.record["channels"] for stream in side["streams"]]
    fills = [stream["fill"] for stream in streams]
    missing_s = [sum(samples for _, samples, _ in fill) / RATE_HZ for fill in fills]
    assert all(stream["lost"] == 0 for stream in streams)
    return record["outcome"], record["reasons"], {cause for fill in fills for _, _, cause in fill}, missing_s


def cut(scene: Scene) -> None:
    """As a power cut may: the journal ends within the last media block."""
    with scene.file.open("r+b") as file:
        file.truncate((scene.addresses[-1] & OFFSET_MASK) + _OF_THE_BLOCK)


def test_packets_that_assembly_had_read_and_the_journal_has_lost_are_capture_loss(scene: Scene) -> None:
    assemble(scene.archive)
    lost_ns = _begin_ns(scene)
    cut(scene)
    scene.go_on()
    assemble(scene.archive)
    outcome, reasons, causes, missing_s = account(scene.archive)
    assert (outcome, reasons, causes) == ("partly", ["capture_loss", "journal_damaged"], {"capture_loss"})
    down_s = (scene.begin_ns - lost_ns) / S + _HARM_S + _DOWN_S
    assert missing_s == pytest.approx([down_s, down_s], abs=0.03)
    assert down_s > _DOWN_S + 0.1


def _begin_ns(scene: Scene) -> int:
    """When the last media block of the journal begins."""
    with JournalReader(scene.folder, scene.addresses[-1]) as reader:
        item = reader.next()
    assert item is not None
    return item[1].first_ns


def test_packets_that_nobody_had_read_are_capture_loss_and_nothing_is_damaged(scene: Scene) -> None:
    cut(scene)
    scene.go_on()
    assemble(scene.archive)
    outcome, reasons, causes, _ = account(scene.archive)
    assert (outcome, reasons, causes) == ("partly", ["capture_loss"], {"capture_loss"})


def test_a_state_is_kept_only_of_what_the_disk_has_for_certain(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = scene.archive / "spool" / SNAPSHOT_NAME
    synced = _watched(monkeypatch, snapshot.exists)
    assemble(scene.archive)
    assert snapshot.exists()
    assert (scene.file.name, False) in synced


def test_a_recording_is_made_only_of_what_the_disk_has_for_certain(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_recorded() -> bool:
        return any((scene.archive / "recordings").rglob("*.zip"))

    scene.go_on()
    synced = _watched(monkeypatch, is_recorded)
    assemble(scene.archive)
    assert is_recorded()
    files = {name for name, _ in synced if name.endswith(scene.file.suffix)}
    assert len(files) == 2
    assert all((name, False) in synced for name in files)


def _watched(monkeypatch: pytest.MonkeyPatch, is_there: Callable[[], bool]) -> list[tuple[str, bool]]:
    """Notes of every sync of which file it is, and whether something was there by then."""
    synced: list[tuple[str, bool]] = []
    sync = os.fdatasync

    def watched(descriptor: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, is_there()))
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", watched)
    return synced
