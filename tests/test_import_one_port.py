"""Calls one after the other on one pair of ports, as load generators and small gateways make them: each has its own
speech, whoever's signalling ends first."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.scenario import CALLEE, CALLER, RATE_HZ, SECOND_NS, Imported, call, do_import, media, origin_ns, streams
from tests.traffic.calls import CallScript, PlayedCall, play, together
from tests.traffic.signalling import Side

MS = 1_000_000


def row(number: int, gap_ms: int, *, same: bool, talk_s: float = 3.0, **changes: Any) -> list[PlayedCall]:
    """Calls on one pair of ports, each begun `gap_ms` after the end of the one before; `same`: all of the same RTP."""
    scripts: list[CallScript] = []
    for n in range(number):
        seed = 1 if same else 10 * n + 1
        script = call(
            f"call{n}@example",
            talk_s=talk_s,
            ring_s=0.2,
            caller=replace(CALLER, number=f"03355501{n:02}"),
            callee=replace(CALLEE, number=f"06987654{n:02}"),
            caller_media=media(talk_s, seed),
            callee_media=media(talk_s, seed + 1),
        )
        begin = scripts[-1].end_ns + gap_ms * MS if scripts else script.start_ns
        scripts.append(replace(script, start_ns=begin, **changes))
    return [play(script) for script in scripts]


def check(found: Imported, calls: Iterable[PlayedCall]) -> None:
    """Each call's only part has its own samples at their places, all of them and nothing else."""
    for played in calls:
        (part,) = found.parts_of(found.call(played.script.call_id))
        for number, side in enumerate(Side):
            (truth,), (stream,) = played.truths[side], streams(part, number)
            first = stream["first_sample"]
            np.testing.assert_array_equal(part.audio[first : first + stream["samples"], number], truth.pcm)
            assert not part.audio[:first, number].any()
            assert not part.audio[first + stream["samples"] :, number].any()
            assert (stream["ssrc"], stream["packets"]) == (f"0x{truth.ssrc:08x}", truth.packets)
            assert abs(first - (truth.first_ns - origin_ns(part)) * RATE_HZ / SECOND_NS) <= 2


@pytest.mark.parametrize("same", [False, True], ids=["streams of their own", "the same packets again"])
@pytest.mark.parametrize("gap_ms", [2000, 30, -150])
def test_a_long_row_of_calls(gap_ms: int, same: bool, tmp_path: Path) -> None:
    calls = row(25, gap_ms, same=same)
    found = do_import(tmp_path, together(calls))
    check(found, calls)
    assert {record["outcome"] for record in found.records} == {"recorded"}
    assert len(found.records) == 25


@pytest.mark.parametrize("same", [False, True], ids=["streams of their own", "the same packets again"])
@pytest.mark.parametrize("gap_ms", [2000, 30])
def test_a_lost_bye_among_them(gap_ms: int, same: bool, tmp_path: Path) -> None:
    calls = row(6, gap_ms, same=same)
    lost = calls[2]
    silent = [packet for packet in lost.packets if b"CSeq: 102 BYE" not in packet.payload]
    assert len(silent) == len(lost.packets) - 2
    found = do_import(tmp_path, together([*calls[:2], replace(lost, packets=silent), *calls[3:]]))
    check(found, calls)
    record = found.call("call2@example")
    assert (record["outcome"], record["end_cause"]) == ("partly", "media_timeout")
    assert "bye_not_seen" in record["reasons"]
    assert all(other["outcome"] == "recorded" for other in found.records if other is not record)


@pytest.mark.parametrize("final_status", ["486 Busy Here", "487 Request Terminated"])
def test_a_call_that_is_refused_meanwhile(final_status: str, tmp_path: Path) -> None:
    (one,) = row(1, 0, same=False, talk_s=6.0)
    refused = play(
        replace(
            row(1, 0, same=False)[0].script,
            call_id="other@example",
            start_ns=one.script.at_ns(1.0),
            final_status=final_status,
        )
    )
    found = do_import(tmp_path, together([one, refused]))
    assert found.call("other@example")["reasons"] == ["not_answered"]
    check(found, [one])


def test_a_call_that_waits_rings_until_the_other_is_over(tmp_path: Path) -> None:
    calls = row(2, -3000, same=False, talk_s=6.0)
    calls[1] = play(replace(calls[1].script, ring_s=3.2))
    found = do_import(tmp_path, together(calls))
    check(found, calls)


def test_a_short_call_within_a_long_one(tmp_path: Path) -> None:
    """Both talk at the same pair of ports: a stream is of the call in which it began."""
    (long,) = row(1, 0, same=False, talk_s=10.0)
    other = call(
        "other@example",
        talk_s=3.0,
        ring_s=0.2,
        start_ns=long.script.at_ns(3.0),
        caller_media=media(3.0, 71),
        callee_media=media(3.0, 72),
    )
    short = play(other)
    found = do_import(tmp_path, together([long, short]))
    check(found, [long, short])
    assert len(found.records) == 2


def test_many_calls_at_once(tmp_path: Path) -> None:
    """A stream is of the call that was described last before it began."""
    calls = [
        play(replace(row(n + 1, 0, same=False, talk_s=5.0)[n].script, start_ns=call().start_ns + n * 100 * MS))
        for n in range(8)
    ]
    found = do_import(tmp_path, together(calls))
    check(found, calls)
    assert [record["outcome"] for record in found.records] == ["recorded"] * 8


def test_a_call_that_no_rule_wants_leaves_nothing_in_the_one_whose_bye_was_lost(tmp_path: Path) -> None:
    """The line of the second call is not contracted; the first one is still open when it speaks."""
    config = '[[enterprise]]\nid = "A"\nlines = [{ number = "0335550100" }]\n'
    calls = row(3, 2000, same=True)
    heard = [packet for packet in calls[0].packets if b" BYE\r\n" not in packet.payload]
    found = do_import(tmp_path, together([replace(calls[0], packets=heard), *calls[1:]]), config=config)
    check(found, calls[:1])
    assert [found.call(f"call{n}@example")["outcome"] for n in (1, 2)] == ["not_expected"] * 2
    assert len(found.parts) == 1


def test_speech_before_the_answer_right_after_another_call(tmp_path: Path) -> None:
    """The second call's callee speaks while the first one's end is still waited for."""
    calls = row(2, 50, same=False, talk_s=4.0)
    script = replace(calls[1].script, ring_s=1.0, early_s=0.9)
    calls[1] = play(script)
    found = do_import(tmp_path, together(calls))
    check(found, calls)
