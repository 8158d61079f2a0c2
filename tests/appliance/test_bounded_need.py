"""Media that is never written holds neither the journal nor memory for longer than a part is long."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly.fold import Assembly
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import AssemblySettings, Record
from capture.journalreader import JournalReader
from capture.rules import Enterprise, LineRule
from storage.archive import Archive
from storage.writer import ArchiveWriter
from tests.appliance.journals import write_journal
from tests.archive_reading import call_records
from tests.scenario import call, is_media, media, redescribed, rtp
from tests.traffic.calls import PlayedCall, play
from tests.traffic.pcapwriter import Address, Packet

SEGMENT_S, LATE_S, TALK_S = 10, 2, 60.0
ALL = AssemblySettings(segment_s=SEGMENT_S, late_ns=LATE_S * 1_000_000_000)
OTHERS_LINE = Enterprise(id="E1", lines=(LineRule(number="0399999999", record=True),))
RULES = replace(ALL, record=Record.RULES, enterprises=(OTHERS_LINE,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a journal."""

    longest_s: float
    """How long anything of it was needed."""
    extents: int
    """Extents known at most."""
    records: list[dict[str, Any]]


def fate(folder: Path, packets: list[Packet], settings: AssemblySettings) -> Fate:
    write_journal(folder / "journal", packets)
    longest_ns = extents = 0
    with ArchiveWriter(Archive(folder)) as writer, JournalReader(folder / "journal") as reader:
        assembly = Assembly(settings, Publisher(settings=settings, writer=writer), reader.read_into)
        while (item := reader.next()) is not None:
            assembly.step(item[1])
            runs = assembly.state.runs
            extents = max(extents, sum(len(run.packed) // 3 for run in runs.by_number.values()))
            if (oldest := assembly.oldest_needed()) is not None:
                times = runs.times_of(oldest)
                assert times is not None
                longest_ns = max(longest_ns, assembly.state.now_ns - times[0])
        assert not runs.by_number
        assert not runs.state.blocks
    return Fate(longest_s=longest_ns / 1e9, extents=extents, records=call_records(folder))


@pytest.fixture(scope="module")
def long_call() -> PlayedCall:
    return play(call(talk_s=TALK_S))


def video_beside(played: PlayedCall) -> list[Packet]:
    """The call with a video stream from the caller."""
    ends = (Address("10.77.0.11", 40000), Address("10.77.8.20", 40002))
    ports = {"10.77.0.11": 40000, "10.77.8.20": 40002}
    described = redescribed(
        played.packets,
        lambda sender, body: body + b"m=video %d RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n" % ports[sender.host],
    )
    begin = next(packet.ts_ns for packet in played.packets if is_media(packet))
    video = [
        rtp(begin + n * 40_000_000, *ends, sequence=n, timestamp=3600 * n, payload=bytes(400), payload_type=99)
        for n in range(int(TALK_S * 25) - 10)
    ]
    return sorted([*described, *video], key=lambda packet: packet.ts_ns)


def test_video(long_call: PlayedCall, tmp_path: Path) -> None:
    found = fate(tmp_path, video_beside(long_call), ALL)
    (record,) = found.records
    assert record["reasons"] == ["unsupported_codec"]
    (video,) = record["unrecorded"]
    assert (video["packets"], video["codec"]) == (int(TALK_S * 25) - 10, "H264")
    assert found.longest_s < SEGMENT_S + 2 * LATE_S + 2


def test_other_codecs(tmp_path: Path) -> None:
    spoken = [media(TALK_S, seed, codec="G722", payload_type=9) for seed in (1, 2)]
    played = play(call(talk_s=TALK_S, caller_media=spoken[0], callee_media=spoken[1]))
    found = fate(tmp_path, played.packets, ALL)
    (record,) = found.records
    assert (record["outcome"], record["reasons"]) == ("not_recorded", ["unsupported_codec"])
    assert sum(each["packets"] for each in record["unrecorded"]) == sum(map(is_media, played.packets))
    assert len(record["unrecorded"]) == 2
    assert found.longest_s < SEGMENT_S + 2 * LATE_S + 2


def test_a_call_that_no_rule_wants(long_call: PlayedCall, tmp_path: Path) -> None:
    found = fate(tmp_path, long_call.packets, RULES)
    (record,) = found.records
    assert record["outcome"] == "not_expected"
    assert found.longest_s < SEGMENT_S + 2 * LATE_S + SEGMENT_S + 2
    assert found.extents < 4 * 2 * (2 * SEGMENT_S + 2 * LATE_S + 2)


def test_strangers_media_that_no_rule_wants(long_call: PlayedCall, tmp_path: Path) -> None:
    found = fate(tmp_path, [packet for packet in long_call.packets if is_media(packet)], RULES)
    (record,) = found.records
    assert record["outcome"] == "not_expected"
    assert found.longest_s < SEGMENT_S + 2 * LATE_S + SEGMENT_S + 2


def test_what_only_looks_like_media(tmp_path: Path) -> None:
    ends = (Address("10.77.5.1", 7000), Address("10.77.5.2", 7000))
    odd = [
        rtp(10**18 + n * 20_000_000, *ends, sequence=n * 7919, timestamp=n * 104_729_123, payload=bytes(n * 31 % 300))
        for n in range(int(TALK_S * 50))
    ]
    found = fate(tmp_path, odd, ALL)
    assert found.records == []
    assert found.longest_s < SEGMENT_S + 2 * LATE_S + SEGMENT_S + 2


def test_media_that_goes_on_after_the_call(long_call: PlayedCall, tmp_path: Path) -> None:
    """One telephone did not hear of the end: what it said before is not needed any more."""
    packets = [packet for packet in play(call(talk_s=TALK_S)).packets if is_media(packet)]
    signalling = [packet for packet in long_call.packets if not is_media(packet)]
    early = signalling[0].ts_ns + 20_000_000_000
    ended = [replace(packet, ts_ns=early) if b"BYE" in packet.payload else packet for packet in signalling]
    found = fate(tmp_path, sorted([*packets, *ended], key=lambda packet: packet.ts_ns), ALL)
    assert found.longest_s < SEGMENT_S + 2 * LATE_S + 2 + 5
    assert sum(record["sip"] is not None for record in found.records) == 1


def test_the_bound_is_that_of_a_call_which_is_recorded(long_call: PlayedCall, tmp_path: Path) -> None:
    found = fate(tmp_path, long_call.packets, ALL)
    assert found.records[0]["outcome"] == "recorded"
    assert SEGMENT_S < found.longest_s < SEGMENT_S + 2 * LATE_S + 2
