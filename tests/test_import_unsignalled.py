"""Media that no signalling announces: what is speech, what belongs together, and what is not RTP at all."""

import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.recorded_truth import nanoseconds
from tests.scenario import CALLEE, CALLER, RATE_HZ, SECOND_NS, SILENT, call, do_import, is_media, media, streams
from tests.traffic.calls import START_NS, PlayedCall, play
from tests.traffic.g711 import PCMA
from tests.traffic.media import impaired, send
from tests.traffic.pcapwriter import Address, Packet
from tests.traffic.signalling import Side

MS = 1_000_000
HERE, THERE = Address("10.77.0.11", 16_384), Address("10.77.8.20", 24_000)


def signalled_elsewhere(**changes: Any) -> tuple[PlayedCall, list[Packet]]:
    """A call whose SIP goes another way: its media and RTCP only, and SIP of another call around it."""
    played = play(call(talk_s=6.0, **changes))
    around = [
        play(call(f"{n}@example", start_ns=START_NS + n * SECOND_NS, caller_media=SILENT, callee_media=SILENT,
                  caller=replace(CALLER, rtp=Address("10.77.0.99", 30_000)),
                  callee=replace(CALLEE, rtp=Address("10.77.8.99", 30_000)),
                  final_status="486 Busy Here"))
        for n in (-30, 60)
    ]  # fmt: skip
    packets = [packet for packet in played.packets if packet.payload[0] >> 6 == 2]
    return played, packets + [packet for other in around for packet in other.packets]


@pytest.mark.parametrize("codec", ["PCMU", PCMA])
def test_both_directions_are_one_recording(codec: str, tmp_path: Path) -> None:
    played, packets = signalled_elsewhere(
        caller_media=impaired(media(6.0, 1, codec=codec), loss=0.02, reordered=0.02, seed=2),
        callee_media=media(6.0, 2, codec=codec),
    )
    found = do_import(tmp_path, packets)
    (medium,) = found.media
    (part,) = found.parts_of(medium)
    # The sender of the first packet is on the left: the callee spoke first.
    for number, side in ((0, Side.CALLEE), (1, Side.CALLER)):
        (truth,) = played.truths[side]
        (stream,) = streams(part, number)
        heard = part.audio[stream["first_sample"] : stream["first_sample"] + len(truth.pcm), number]
        np.testing.assert_array_equal(heard, truth.pcm)
        assert (stream["lost"], stream["ssrc"]) == (truth.lost, f"0x{truth.ssrc:08x}")
    assert medium["reasons"] == ["network_loss"]
    assert medium["direction"] == "unk"
    assert "_unk_anonymous_anonymous_" in medium["parts"][0]["name"]
    assert medium["origin_at"] == part.record["origin_at"]
    assert nanoseconds(medium["started_at"]) == min(p.ts_ns for p in packets if is_media(p))


def test_whole_medium_is_recorded(tmp_path: Path) -> None:
    _, packets = signalled_elsewhere()
    (medium,) = do_import(tmp_path, packets).media
    assert (medium["outcome"], medium["reasons"], medium["end_cause"]) == ("recorded", [], "media_timeout")
    assert medium["completeness"] == 100.0


def test_one_way_medium(tmp_path: Path) -> None:
    played, packets = signalled_elsewhere(callee_media=SILENT)
    found = do_import(tmp_path, packets)
    (medium,) = found.media
    assert medium["reasons"] == ["one_way"]
    (truth,) = played.truths[Side.CALLER]
    (part,) = found.parts_of(medium)
    np.testing.assert_array_equal(part.audio[: len(truth.pcm), 0], truth.pcm)
    assert not part.audio[:, 1].any()


def test_two_conversations_of_the_same_addresses(tmp_path: Path) -> None:
    """A pause of more than 30 s ends a medium."""
    _, packets = signalled_elsewhere()
    first = [packet for packet in packets if is_media(packet)]
    again = [replace(packet, ts_ns=packet.ts_ns + 50 * SECOND_NS) for packet in first]
    found = do_import(tmp_path, packets + again)
    assert len(found.media) == 2
    assert len({record["call_id"] for record in found.media}) == 2


def test_other_codecs_are_told(tmp_path: Path) -> None:
    _, packets = signalled_elsewhere(caller_media=media(6.0, 1, codec="G729"), callee_media=media(6.0, 2, codec="G729"))
    (medium,) = do_import(tmp_path, packets).media
    assert (medium["outcome"], medium["reasons"]) == ("not_recorded", ["unsupported_codec"])
    assert medium["codecs"] == ["G729"]


def test_protected_speech_is_told(tmp_path: Path) -> None:
    key = bytes(range(30))
    _, packets = signalled_elsewhere(
        caller_media=media(6.0, 1, srtp_key=key), callee_media=media(6.0, 2, srtp_key=key[::-1])
    )
    found = do_import(tmp_path, packets)
    (medium,) = found.media
    assert (medium["outcome"], medium["reasons"]) == ("not_recorded", ["encrypted"])
    assert not found.parts


def junk(kind: str) -> list[Packet]:
    """UDP that a filter by first byte lets through."""
    rng = random.Random(kind)
    packets = []
    for n in range(400):
        match kind:
            case "random numbers":
                payload = b"\x80" + rng.randbytes(171)
            case "same number":
                payload = struct.pack("!BBHII", 0x80, 0, 7, 1000, 5) + rng.randbytes(160)
            case "clock stands":
                payload = struct.pack("!BBHII", 0x80, 0, n, 1000, 5) + rng.randbytes(160)
            case _:
                payload = b"\x80\0" + rng.randbytes(6) + b"\0\0\0\5" + rng.randbytes(40)
        packets.append(Packet(ts_ns=START_NS + n * 20 * MS, source=HERE, destination=THERE, payload=payload))
    return packets


@pytest.mark.parametrize("kind", ["random numbers", "same number", "clock stands", "random header"])
def test_what_only_looks_like_rtp_is_no_call(kind: str, tmp_path: Path) -> None:
    found = do_import(tmp_path, junk(kind))
    assert found.records == []
    assert not found.parts


def test_media_goes_on_after_a_call_ended(tmp_path: Path) -> None:
    """More than stragglers: speech after the BYE that nobody signalled is a recording of its own."""
    played = play(call())
    more = send(media(8.0, 9), HERE, THERE, played.script.end_ns + 2 * SECOND_NS)
    later = play(call("later@example", start_ns=START_NS + 90 * SECOND_NS))
    found = do_import(tmp_path, played.packets + more.packets + later.packets)
    (medium,) = found.media
    (part,) = found.parts_of(medium)
    np.testing.assert_array_equal(part.audio[: len(more.truths[0].pcm), 0], more.truths[0].pcm)
    assert found.call("call@example")["outcome"] == "recorded"


def test_recorder_that_comes_in_mid_call_without_any_signalling(tmp_path: Path) -> None:
    """Media that flows from the capture's first second to its last."""
    played = play(call(talk_s=10.0))
    packets = [
        packet
        for packet in played.packets
        if is_media(packet) and played.script.at_ns(2.0) <= packet.ts_ns <= played.script.at_ns(8.0)
    ]
    found = do_import(tmp_path, packets)
    assert found.only["reasons"] == ["recorder_joined_late", "capture_ended"]
    assert found.part.record["samples"] == pytest.approx(6.0 * RATE_HZ, abs=400)
