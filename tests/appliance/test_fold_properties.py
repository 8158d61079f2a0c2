"""Assembly is a fold: block borders, snapshots, the order of files, hash seeds and time zones change nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.assembly import snapshot
from appliance.assembly.fold import Assembly
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import AssemblySettings
from appliance.errors import SnapshotError
from capture import journal
from capture.events import EventKind
from capture.intake import Intake
from capture.journal import Block, Event, EventBlock, MediaBlock, SignallingBlock
from capture.journalfile import TransientJournal
from capture.pcapfile import CaptureReader
from capture.records import RecordBatch
from storage.archive import Archive
from storage.writer import ArchiveWriter
from tests.archive_reading import evidence_digest
from tests.demo_calls import demo_calls
from tests.pbx_legs import legs
from tests.scenario import CALLEE, CALLER, media, moved
from tests.traffic.calls import together
from tests.traffic.media import send
from tests.traffic.pcapwriter import Packet, frames_of, write_pcap

ROKUBOX = [sys.executable, "-m", "appliance"]
SETTINGS = AssemblySettings(segment_s=10)
"""Short parts, so that calls are cut and carried over."""


@pytest.fixture(scope="module")
def packets() -> list[Packet]:
    """Calls with hold, transfer, early media, keys, loss, reordering, and one with two legs about the same media."""
    caller = moved(CALLER, rtp_port=18_000)  # the callee's address is that of another call, as behind a gateway
    both = legs(first_talk_s=25.0, second_talk_s=24.9, speech_s=24.5, caller=caller)
    late = send(media(2.0, 99), CALLEE.rtp, caller.rtp, both[0].script.end_ns + 100_000_000)
    return sorted([*together([*demo_calls(), *both]), *late.packets], key=lambda packet: packet.ts_ns)


@pytest.fixture(scope="module")
def capture(packets: list[Packet], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "calls.pcap"
    write_pcap(path, frames_of(packets))
    return path


@pytest.fixture(scope="module")
def undisturbed(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return assembled(capture, tmp_path_factory.mktemp("undisturbed"), [], set())


def assembled(capture: Path, output: Path, borders: list[int], snapshots: set[int]) -> dict[str, str]:
    """Digest of the archive made with block borders at these records, and restarts from snapshots at these blocks."""
    with ArchiveWriter(Archive(output)) as writer, TransientJournal(output / "spool") as spool:
        publisher = Publisher(settings=SETTINGS, writer=writer)
        assembly = Assembly(SETTINGS, publisher, spool.read_into)
        for number, block in enumerate(blocks(capture, spool, borders)):
            assembly.step(block)
            if number in snapshots:
                state = snapshot.load(snapshot.dump(assembly.state))
                assembly = Assembly(SETTINGS, publisher, spool.read_into, state)
    assert publisher.parts > 10
    assert list((output / "late").rglob("*.json"))
    return evidence_digest(output)


def blocks(capture: Path, spool: TransientJournal, borders: list[int]) -> Iterator[Block]:
    """The capture as journal blocks, written and read back."""
    intake = Intake(frozenset({5060}))
    with CaptureReader(capture) as reader:
        batches = list(reader)
    assert len(batches) == 1
    batch = batches[0]
    first_ns, last_ns = int(batch.ts_ns[0]), int(batch.ts_ns[-1])
    yield event(first_ns, "start")
    cuts = [0, *(border for border in borders if 0 < border < len(batch)), len(batch)]
    for low, high in pairwise(cuts):
        for window in intake.windows(part_of(batch, low, high)):
            if len(window.extents):
                pieces = journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows)
                found = spool.block(spool.append(pieces))
                assert isinstance(found, MediaBlock)
                yield found
            if window.signalling is not None:
                read = spool.block(spool.append(journal.serialize_signalling(window.signalling)))
                assert isinstance(read, SignallingBlock)
                yield read
    yield event(last_ns, EventKind.END_OF_INPUT)


def event(ts_ns: int, kind: str) -> EventBlock:
    return EventBlock(first_ns=ts_ns, last_ns=ts_ns, events=(Event(ts_ns=ts_ns, kind=kind, detail={}),))


def part_of(batch: RecordBatch, low: int, high: int) -> RecordBatch:
    return RecordBatch(
        buffer=batch.buffer,
        start=batch.start[low:high],
        captured=batch.captured[low:high],
        wire=batch.wire[low:high],
        ts_ns=batch.ts_ns[low:high],
        interface=batch.interface[low:high],
        link_type=batch.link_type[low:high],
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_borders_and_restarts_change_nothing(
    data: st.DataObject, capture: Path, undisturbed: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    borders = sorted(data.draw(st.sets(st.integers(1, 11_000), max_size=60), label="borders"))
    snapshots = data.draw(st.sets(st.integers(0, 120), max_size=40), label="snapshots")
    assert assembled(capture, tmp_path_factory.mktemp("again"), borders, snapshots) == undisturbed


def test_a_restart_at_every_block_changes_nothing(capture: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    assert assembled(capture, tmp_path / "again", list(range(40, 10_900, 40)), set(range(1000))) == undisturbed


def test_a_damaged_snapshot_is_refused(capture: Path, tmp_path: Path) -> None:
    with ArchiveWriter(Archive(tmp_path)) as writer, TransientJournal(tmp_path / "spool") as spool:
        assembly = Assembly(SETTINGS, Publisher(settings=SETTINGS, writer=writer), spool.read_into)
        for block in list(blocks(capture, spool, []))[:5]:
            assembly.step(block)
        whole = snapshot.dump(assembly.state)
    random = np.random.default_rng(1)
    for position in random.integers(0, len(whole), 200).tolist():
        broken = bytearray(whole)
        broken[position] ^= 1 << int(random.integers(8))
        with pytest.raises(SnapshotError):
            snapshot.load(bytes(broken))
    for length in random.integers(0, len(whole), 50).tolist():
        with pytest.raises(SnapshotError):
            snapshot.load(whole[:length])


def imported(output: Path, files: list[Path], **environment: str) -> dict[str, str]:
    arguments = [*ROKUBOX, "import", *map(str, files), "--output", str(output)]
    subprocess.run(arguments, check=True, capture_output=True, env={**os.environ, **environment})
    return evidence_digest(output)


def test_files_in_any_order_are_one_input(packets: list[Packet], capture: Path, tmp_path: Path) -> None:
    thirds = [tmp_path / f"{number}.pcap" for number in range(3)]
    for number, path in enumerate(thirds):
        write_pcap(path, frames_of(packets[len(packets) * number // 3 : len(packets) * (number + 1) // 3]))
    alternate = [tmp_path / "even.pcap", tmp_path / "odd.pcap"]
    for number, path in enumerate(alternate):
        write_pcap(path, frames_of(packets[number::2]))
    whole = imported(tmp_path / "whole", [capture])
    assert imported(tmp_path / "split", thirds) == whole
    assert imported(tmp_path / "backwards", thirds[::-1]) == whole
    assert imported(tmp_path / "overlapping", alternate) == whole


def test_hash_seed_and_time_zone_change_nothing(capture: Path, tmp_path: Path) -> None:
    one = imported(tmp_path / "one", [capture], PYTHONHASHSEED="1", TZ="UTC")
    assert imported(tmp_path / "other", [capture], PYTHONHASHSEED="2", TZ="America/St_Johns") == one


def test_importing_again_changes_nothing(capture: Path, tmp_path: Path) -> None:
    first = imported(tmp_path / "archive", [capture])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "archive" / "recordings").rglob("*.zip")}
    assert imported(tmp_path / "archive", [capture]) == first
    assert {path: path.stat().st_mtime_ns for path in before} == before
