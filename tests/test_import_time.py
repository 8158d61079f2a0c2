"""Captures whose times jump: one packet from another hour, a clock that was set while a call went on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from appliance.cli import main
from tests.archive_reading import call_records, pieces
from tests.recorded_truth import differences, key_of, nanoseconds
from tests.scenario import SECOND_NS, Imported, call, do_import, streams
from tests.traffic.calls import PlayedCall, play, together
from tests.traffic.pcapwriter import Address, Frame, Packet, frames_of, write_pcap

HOUR_NS = 3600 * SECOND_NS
TALK_S = 40.0
"""Longer than the pause after which media are another recording."""


@pytest.fixture(scope="module")
def played() -> PlayedCall:
    return play(call(talk_s=TALK_S))


def junk(ts_ns: int) -> Frame:
    """A frame that is none of our business."""
    packet = Packet(
        ts_ns=ts_ns, source=Address("10.9.9.9", 9), destination=Address("10.9.9.8", 9), payload=b"hello hello hello"
    )
    (frame,) = frames_of([packet])
    return frame


def with_junk(frames: Sequence[Frame], by_ns: int, place: int) -> list[Frame]:
    return [*frames[:place], junk(frames[place].ts_ns + by_ns), *frames[place:]]


def set_back(frames: Sequence[Frame], by_ns: int, place: int) -> list[Frame]:
    return [*frames[:place], *(frame._replace(ts_ns=frame.ts_ns - by_ns) for frame in frames[place:])]


def is_whole(found: Imported, played: PlayedCall) -> None:
    """All of the call's samples, in one recording."""
    record = found.only
    assert (record["outcome"], record["completeness"], record["end_cause"]) == ("recorded", 100.0, "bye")
    assert differences(found.archive, [played]) == []


@pytest.mark.parametrize("by_ns", [HOUR_NS, -HOUR_NS, 90 * SECOND_NS, 2_000_000_000 * SECOND_NS])
def test_one_packet_of_another_hour(
    by_ns: int, played: PlayedCall, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = frames_of(played.packets)
    found = do_import(tmp_path, with_junk(frames, by_ns, len(frames) // 3))
    is_whole(found, played)
    assert found.only["flags"] == []
    assert "capture.pcap: 1 packet(s) with a time far off; that of the one before was taken" in capsys.readouterr().out


def test_the_first_packet_is_of_another_hour(played: PlayedCall, tmp_path: Path) -> None:
    found = do_import(tmp_path, with_junk(frames_of(played.packets), HOUR_NS, 0))
    is_whole(found, played)
    assert nanoseconds(found.only["started_at"]) == played.packets[0].ts_ns


@pytest.mark.parametrize("by_ns", [HOUR_NS, 10 * SECOND_NS, 3 * SECOND_NS // 2])
def test_a_clock_set_back_while_they_talk(by_ns: int, played: PlayedCall, tmp_path: Path) -> None:
    """One call, nothing invented; it and its recording say that the clock was set."""
    frames = frames_of(played.packets)
    found = do_import(tmp_path, set_back(frames, by_ns, len(frames) // 2))
    record = found.only
    assert (record["outcome"], record["completeness"], record["end_cause"]) == ("recorded", 100.0, "bye")
    assert record["flags"] == ["clock_step"]
    assert found.part.record["flags"] == ["clock_step"]
    assert [stream["fill"] for side in (0, 1) for stream in streams(found.part, side)] == [[], []]
    assert record["network_lost_samples"] == record["capture_lost_samples"] == 0
    assert record["duration_s"] == pytest.approx(TALK_S, abs=0.1)


@pytest.mark.parametrize("by_ns", [HOUR_NS, 10 * SECOND_NS, 24 * HOUR_NS])
def test_a_clock_set_forward_costs_no_speech(by_ns: int, played: PlayedCall, tmp_path: Path) -> None:
    """Like a pause: up to the timeout of media the call goes on, beyond it the rest is a medium of its own."""
    frames = frames_of(played.packets)
    found = do_import(tmp_path, set_back(frames, -by_ns, len(frames) // 2))
    assert len(found.records) == 1 + (by_ns > 60 * SECOND_NS)
    if len(found.records) > 1:
        assert found.call(played.script.call_id)["reasons"] == ["bye_not_seen"]
        assert [(each["outcome"], each["reasons"]) for each in found.media] == [("partly", ["capture_ended"])]
    heard = pieces(found.archive)
    for truth in (each for truths in played.truths.values() for each in truths):
        samples = np.concatenate([piece.spoken for piece in heard[key_of(truth)]])
        np.testing.assert_array_equal(samples, truth.pcm)


def test_only_calls_in_progress_are_flagged(tmp_path: Path) -> None:
    first = play(call("first", talk_s=4.0))
    second = play(call("second", talk_s=4.0, start_ns=first.packets[-1].ts_ns + 4 * SECOND_NS))
    third = play(call("third", talk_s=4.0, start_ns=second.packets[-1].ts_ns + 4 * SECOND_NS))
    frames = frames_of(together([first, second, third]))
    middle = next(n for n, frame in enumerate(frames) if frame.ts_ns > second.packets[0].ts_ns + 3 * SECOND_NS)
    found = do_import(tmp_path, set_back(frames, HOUR_NS, middle))
    assert [found.call(name)["flags"] for name in ("first", "second", "third")] == [[], ["clock_step"], []]
    assert {record["outcome"] for record in found.records} == {"recorded"}
    assert len(found.records) == 3
    # Each has the time of the file at its first packet.
    begun = [found.call(name)["started_at"] for name in ("first", "second", "third")]
    shown = [each.packets[0].ts_ns for each in (first, second, third)]
    assert [nanoseconds(at) for at in begun] == [*shown[:2], shown[2] - HOUR_NS]


def test_only_the_part_in_which_the_clock_was_set_is_flagged(played: PlayedCall, tmp_path: Path) -> None:
    frames = frames_of(played.packets)
    found = do_import(tmp_path, set_back(frames, HOUR_NS, len(frames) // 2), config="[recording]\nsegment_s = 30\n")
    assert [part.record["flags"] for part in found.parts_of(found.only)] == [["clock_step"], []]
    assert (found.only["outcome"], found.only["flags"]) == ("recorded", ["clock_step"])


def test_each_file_has_a_line_of_its_own(played: PlayedCall, tmp_path: Path) -> None:
    """The second mirror's clock is set back, and one of its packets is of another hour; the first one's is right."""
    frames = frames_of(played.packets)
    place = len(frames) // 2
    write_pcap(tmp_path / "0.pcap", frames)
    write_pcap(tmp_path / "1.pcap", with_junk(set_back(frames, HOUR_NS, place), HOUR_NS // 2, place + 200))
    archive = tmp_path / "archive"
    assert main(["import", str(tmp_path / "0.pcap"), str(tmp_path / "1.pcap"), "--output", str(archive)]) == 0
    assert [each for each in differences(archive, [played]) if "duplicates" not in each] == []
    (record,) = call_records(archive)
    assert (record["outcome"], record["flags"]) == ("recorded", ["clock_step"])
    assert sum(side["duplicates"] for side in record["sides"]) == sum(side["packets"] for side in record["sides"])
