"""Calls whose BYE is lost, and media that does not reach from the answer to the end."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.assembly.fold import Assembly
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import NS, AssemblySettings
from capture.journalreader import JournalReader
from storage.archive import Archive
from storage.writer import ArchiveWriter
from tests.appliance.journals import write_journal
from tests.archive_reading import call_records, stored_parts
from tests.recorded_truth import differences
from tests.scenario import call, do_import, is_media, media
from tests.traffic.calls import Hold, play
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Packet
from tests.traffic.signalling import Side

SETTINGS = AssemblySettings(segment_s=30, media_timeout_ns=30 * NS, hold_timeout_ns=600 * NS)


def assembled(folder: Path, packets: list[Packet], tail_s: float = 40) -> Assembly:
    write_journal(folder / "journal", packets, tail_s=tail_s)
    with ArchiveWriter(Archive(folder)) as writer, JournalReader(folder / "journal") as reader:
        assembly = Assembly(SETTINGS, Publisher(settings=SETTINGS, writer=writer), reader.read_into)
        while (item := reader.next()) is not None:
            assembly.step(item[1])
    return assembly


def held_for_ever() -> list[Packet]:
    """A call that is put on hold after 40 s, and of which nothing is seen any more."""
    hold = Hold(at_s=40.0, seconds=50.0, by=Side.CALLEE)
    script = call(talk_s=100.0, holds=(hold,), caller_media=media(100.0, 1), callee_media=media(100.0, 2))
    return [packet for packet in play(script).packets if packet.ts_ns < script.at_ns(41.0)]


def test_a_hold_that_nobody_ends_does_not_last_for_ever(tmp_path: Path) -> None:
    assembly = assembled(tmp_path, held_for_ever(), tail_s=700)
    (record,) = call_records(tmp_path)
    assert (record["end_cause"], record["outcome"], record["reasons"]) == ("media_timeout", "partly", ["bye_not_seen"])
    assert len(record["parts"]) == 2, "nothing is written of what may never go on"
    assert 40 <= record["duration_s"] <= 60
    assert not assembly.state.works
    assert not assembly.state.due


def test_a_hold_lasts_while_it_may(tmp_path: Path) -> None:
    assembly = assembled(tmp_path, held_for_ever(), tail_s=500)
    assert call_records(tmp_path) == []
    assert len(assembly.state.works) == 1
    assert len(list(stored_parts(tmp_path))) == 2


def test_a_session_timer_ends_a_hold_sooner(tmp_path: Path) -> None:
    answer, timer = b"SIP/2.0 200 OK\r\n", b"SIP/2.0 200 OK\r\nSession-Expires: 90;refresher=uac\r\n"
    packets = [replace(each, payload=each.payload.replace(answer, timer)) for each in held_for_ever()]
    assembled(tmp_path, packets, tail_s=200)
    (record,) = call_records(tmp_path)
    assert (record["end_cause"], record["reasons"]) == ("session_expired", ["bye_not_seen"])


@pytest.mark.parametrize("seconds", [45.0, 100.0])
def test_after_a_long_hold_the_call_goes_on_whole(tmp_path: Path, seconds: float) -> None:
    """Longer than media may be missing otherwise, and than a part is long."""
    hold = Hold(at_s=10.0, seconds=seconds, by=Side.CALLER)
    talk_s = seconds + 60.0
    played = play(call(talk_s=talk_s, holds=(hold,), caller_media=media(talk_s, 1), callee_media=media(talk_s, 2)))
    assembled(tmp_path, played.packets)
    assert differences(tmp_path, [played]) == []
    (record,) = call_records(tmp_path)
    assert (record["outcome"], record["end_cause"]) == ("recorded", "bye")
    assert sum(entry["samples"] for entry in record["parts"]) == pytest.approx(talk_s * 8000, abs=2000)
    assert [entry["samples"] for entry in record["parts"][:-1]] == [30 * 8000] * (len(record["parts"]) - 1)


def without_media_of(packets: list[Packet], host: str, from_ns: int, until_ns: int) -> list[Packet]:
    return [
        each
        for each in packets
        if not (is_media(each) and each.source.host == host and from_ns <= each.ts_ns < until_ns)
    ]


@pytest.mark.parametrize(("missing_s", "is_lost"), [(0.4, False), (1.8, False), (2.5, True), (3.5, True)])
@pytest.mark.parametrize("at_end", [False, True])
def test_a_side_that_is_not_heard_from_answer_to_end(
    tmp_path: Path, missing_s: float, is_lost: bool, at_end: bool
) -> None:
    script = call(talk_s=8.0, caller_media=media(8.0, 1), callee_media=media(8.0, 2))
    span = (script.at_ns(8.0 - missing_s), script.end_ns) if at_end else (script.answer_ns, script.at_ns(missing_s))
    found = do_import(tmp_path, without_media_of(play(script).packets, script.caller.rtp.host, *span))
    caller, callee = found.only["sides"]
    assert found.only["reasons"] == (["network_loss"] if is_lost else [])
    assert callee["network_lost_samples"] == 0
    if is_lost:
        assert caller["network_lost_samples"] == pytest.approx(missing_s * 8000, abs=1600)
        assert caller["longest_gap_ms"] == pytest.approx(missing_s * 1000, abs=200)
        assert found.only["completeness"] < 100
    else:
        assert (caller["network_lost_samples"], found.only["completeness"]) == (0, 100.0)


def test_who_hears_late_of_the_answer_speaks_late(tmp_path: Path) -> None:
    """The answer was lost behind us and came again: the caller's ACK, and all it says, come 1.5 s later."""
    script = call(talk_s=8.0, caller_media=media(6.0, 1), callee_media=media(8.0, 2))
    packets = []
    for each in play(script).packets:
        late = each.payload.startswith(b"ACK") or (is_media(each) and each.source.host == script.caller.rtp.host)
        packets.append(replace(each, ts_ns=each.ts_ns + 1_500_000_000) if late else each)
    found = do_import(tmp_path, sorted(packets, key=lambda each: each.ts_ns))
    assert (found.only["outcome"], found.only["reasons"]) == ("recorded", [])


def test_a_side_that_is_quiet_at_both_ends(tmp_path: Path) -> None:
    """It announces comfort noise first and last."""
    quiet: MediaScript = media(8.0, 1, quiet_s=((0.02, 1.5), (6.5, 7.9)))
    found = do_import(tmp_path, play(call(talk_s=8.0, caller_media=quiet, callee_media=media(8.0, 2))).packets)
    assert (found.only["outcome"], found.only["reasons"]) == ("recorded", [])
