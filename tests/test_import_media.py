"""Media of answered calls, from the capture to the file: every sample in its place, every gap with its cause."""

import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.recorded_truth import differences
from tests.scenario import (
    CALLEE,
    CALLER,
    RATE_HZ,
    SECOND_NS,
    SILENT,
    call,
    causes,
    channel,
    do_import,
    media,
    placed,
    redescribed,
    rewritten,
    rtp,
    streams,
)
from tests.traffic.calls import PlayedCall, play
from tests.traffic.g711 import PCMA, PCMU
from tests.traffic.media import Digit, MediaScript, impaired, send
from tests.traffic.pcapwriter import Address, Packet
from tests.traffic.signalling import Side

DAMAGED = {
    "1 % loss": (impaired(media(30.0, 1), loss=0.01, seed=1), "partly"),
    "5 % loss, reordering, jitter": (
        impaired(media(30.0, 2, jitter_ns=15_000_000), loss=0.05, reordered=0.05, seed=2),
        "partly",
    ),
    "reordering and duplicates only": (
        replace(impaired(media(30.0, 3), loss=0.0, reordered=0.05, seed=3), twice=frozenset(range(20, 200, 7))),
        "recorded",
    ),
    "one packet in two thousand": (media(40.2, 4, lost=frozenset({700})), "recorded"),
    "late by 200 ms": (media(12.0, 5, late_ns=dict.fromkeys((50, 51, 300), 200_000_000)), "recorded"),
    "late by 4 s": (media(12.0, 6, late_ns=dict.fromkeys((50, 51, 300), 4_000_000_000)), "recorded"),
    "5 s hole": (media(12.0, 7, lost=frozenset(range(200, 450))), "partly"),
    "sequence and timestamp wrap": (media(12.0, 8, first_sequence=65_400, first_timestamp=0xFFFF_F000), "recorded"),
    "wraps, with loss and reordering around": (
        impaired(media(12.0, 9, first_sequence=65_400, first_timestamp=0xFFFF_8000), loss=0.1, reordered=0.1, seed=9),
        "partly",
    ),
    "SSRC changes": (media(12.0, 10, restarts_s=(3.0, 7.5)), "recorded"),
    "comfort noise": (media(12.0, 11, quiet_s=((2.0, 4.0), (6.0, 6.5))), "recorded"),
    "silence suppression": (media(12.0, 12, suppressed_s=((2.0, 5.0), (7.0, 7.1))), "recorded"),
    "telephone events": (
        media(12.0, 13, digits=tuple(Digit(at_s=2.0 + place, digit=key) for place, key in enumerate("159#"))),
        "recorded",
    ),
    "loss beside comfort noise": (
        media(12.0, 14, quiet_s=((2.0, 4.0),), lost=frozenset({99, 200, 201})),
        "partly",
    ),
    "loss beside suppressed silence": (
        media(12.0, 15, suppressed_s=((2.0, 4.0), (8.0, 9.0)), lost=frozenset({98, 99, 450})),
        "partly",
    ),
    "loss beside and within telephone events": (
        media(
            12.0, 16, digits=(Digit(at_s=2.0, digit="1"), Digit(at_s=4.0, digit="2")), lost=frozenset({99, 103, 206})
        ),
        "partly",
    ),
    "10 ms packets": (impaired(media(12.0, 17, ptime_ms=10), loss=0.02, reordered=0.02, seed=17), "partly"),
    "30 ms packets": (impaired(media(12.0, 18, ptime_ms=30), loss=0.02, reordered=0.02, seed=18), "partly"),
    "60 ms packets, A-law": (impaired(media(12.0, 19, ptime_ms=60, codec=PCMA), loss=0.02, seed=19), "partly"),
    "dynamic payload type": (media(12.0, 20, payload_type=96), "recorded"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_every_sample_is_in_its_place_and_every_gap_explained(name: str, tmp_path: Path) -> None:
    script, outcome = DAMAGED[name]
    seconds = len(script.audio) / RATE_HZ
    played = play(call(talk_s=seconds, caller_media=script, callee_media=media(seconds, 99)))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["reasons"]) == (
        outcome,
        [] if outcome == "recorded" else ["network_loss"],
    )
    assert found.only["too_late"] == []
    lost = sum(truth.lost for truth in played.truths[Side.CALLER])
    assert found.only["sides"][0]["lost"] == lost
    packets = sum(truth.packets for truth in played.truths[Side.CALLER])
    assert found.only["sides"][0]["packets"] == packets


def test_completeness_counts_what_the_network_lost(tmp_path: Path) -> None:
    played = play(call(talk_s=20.0, caller_media=media(20.0, 1, lost=frozenset(range(100, 200)))))
    record = do_import(tmp_path, played.packets).only
    assert record["network_lost_samples"] == 100 * 160
    assert record["sides"][0]["longest_gap_ms"] == 2000.0
    assert record["completeness"] == pytest.approx(95.0, abs=0.05)
    assert record["capture_completeness"] == 100.0


@pytest.mark.parametrize(
    ("first", "reasons"),
    [(0, []), (1, ["network_loss"]), (250, ["network_loss"]), (500 - 44, ["network_loss"]), (500 - 43, [])],
)
def test_what_is_lost_counts_when_packets_before_and_after_it_tell(
    first: int, reasons: list[str], tmp_path: Path
) -> None:
    lost = frozenset(range(first, first + 43))  # 860 ms, of both sides
    speech = [media(10.0, seed, lost=lost) for seed in (1, 2)]
    played = play(call(talk_s=10.1, caller_media=speech[0], callee_media=speech[1], reports=False))
    found = do_import(tmp_path, played.packets)
    record, told = found.only, 43 if reasons else 0
    assert record["outcome"] == ("partly" if reasons else "recorded")
    assert record["reasons"] == reasons
    assert [side["lost"] for side in record["sides"]] == [told, told]
    assert [side["longest_gap_ms"] for side in record["sides"]] == [20.0 * told] * 2
    assert record["network_lost_samples"] == 2 * told * 160
    # A beginning or an end that is missing cannot be told from one that was silent: it shows in where streams lie.
    described = [entry for side in (0, 1) for entry in streams(found.part, side)]
    extents = [(entry["first_sample"], entry["samples"]) for entry in described]
    assert all(samples == (500 - (0 if reasons else 43)) * 160 for _, samples in extents)
    assert all((start >= 43 * 160) == (first == 0) for start, _ in extents)


def test_digits_have_their_place_and_can_be_masked(tmp_path: Path) -> None:
    keys = tuple(Digit(at_s=1.0 + place, digit=key, seconds=0.1 + 0.04 * place) for place, key in enumerate("19#D"))
    played = play(call(talk_s=8.0, callee_media=media(8.0, 2, digits=keys)))
    (truth,) = played.truths[Side.CALLEE]
    found = do_import(tmp_path, played.packets)
    first = found.part.record["channels"][1]["streams"][0]["first_sample"]
    assert [tuple(event.values()) for event in found.part.record["dtmf"]] == [
        ("callee", key.digit, first + round(key.at_s * RATE_HZ), round(key.seconds * RATE_HZ), "rtp") for key in keys
    ]
    assert found.only["dtmf"] == found.part.record["dtmf"]
    assert causes(found.part, 1) == {"dtmf": sum(length for _, length, _ in truth.gaps)}

    (tmp_path / "masked").mkdir()
    masked = do_import(tmp_path / "masked", played.packets, config="[recording]\nmask_dtmf = true\n")
    assert {event["digit"] for event in masked.only["dtmf"] + masked.part.record["dtmf"]} == {"x"}
    assert "dtmf_masked" in masked.only["flags"]
    assert b"19#D" not in b"".join(part.read_bytes() for part in (tmp_path / "masked" / "archive").rglob("*.json"))


def switched(before: MediaScript, after: MediaScript, seconds: float) -> tuple[list[Packet], np.ndarray]:
    """The caller's packets when it changes how it sends in mid-stream, and what must be heard."""
    start_ns = call().answer_ns + 25_000_000
    first = send(replace(before, first_sequence=500, first_timestamp=7000, seed=5), CALLER.rtp, CALLEE.rtp, start_ns)
    sent = round(seconds * RATE_HZ)
    second = send(
        replace(after, first_sequence=500 + len(first.packets), first_timestamp=7000 + sent, seed=5),
        CALLER.rtp,
        CALLEE.rtp,
        start_ns + round(seconds * SECOND_NS),
    )
    assert first.truths[0].ssrc == second.truths[0].ssrc
    return first.packets + second.packets, np.concatenate([first.truths[0].pcm, second.truths[0].pcm])


@pytest.mark.parametrize(
    "after",
    [media(3.0, 2, codec=PCMA), media(3.0, 2, ptime_ms=30), media(3.0, 2, ptime_ms=40, codec=PCMA)],
    ids=["PCMU to PCMA", "20 ms to 30 ms", "both"],
)
def test_codec_and_packet_time_may_change_within_a_stream(after: MediaScript, tmp_path: Path) -> None:
    packets, heard = switched(media(2.4, 1), after, 2.4)
    script = call(caller_media=SILENT)
    # Both laws are in the offer; the answer names one and the sender may use what the other side announced.
    played = play(replace(script, callee_media=media(6.0, 2)))
    found = do_import(tmp_path, redescribed(played.packets, _with_both_laws) + packets)
    (stream,) = streams(found.part, 0)
    first = stream["first_sample"]
    np.testing.assert_array_equal(found.part.audio[first : first + len(heard), 0], heard)
    assert (stream["samples"], stream["fill"], stream["lost"]) == (len(heard), [], 0)
    assert stream["packets"] == len(packets)


@pytest.mark.parametrize("laws", [(PCMU, PCMA), (PCMA, PCMU)])
def test_silence_is_told_under_each_law(laws: tuple[str, str], tmp_path: Path) -> None:
    nothing = MediaScript(audio=np.zeros(24_000, np.int16), codec=laws[1])
    loud = MediaScript(audio=np.tile(np.array([9000, -9000] * 40, np.int16), 300), codec=laws[0])
    packets, _ = switched(loud, nothing, 3.0)
    played = play(replace(call(caller_media=SILENT), callee_media=media(6.0, 2)))
    side = do_import(tmp_path, redescribed(played.packets, _with_both_laws) + packets).only["sides"][0]
    assert (side["silence_share"], side["clipping_share"]) == (0.5, 0.0)


def test_static_types_need_no_description(tmp_path: Path) -> None:
    """Mu-law and comfort noise, where only A-law was agreed on: RFC 3551 says what their payload types mean."""
    script = media(6.0, 1, quiet_s=((2.0, 3.0),))
    played = play(call(caller_media=script, callee_media=media(6.0, 2, codec=PCMA)))

    def only_a_law(_: Address, body: bytes) -> bytes:
        kept = [line for line in body.split(b"\r\n") if not line.startswith((b"a=rtpmap:0 ", b"a=rtpmap:13 "))]
        return re.sub(rb"RTP/AVP [0-9 ]+", b"RTP/AVP 8 101", b"\r\n".join(kept))

    found = do_import(tmp_path, redescribed(played.packets, only_a_law))
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["unrecorded"]) == ("recorded", [])


def _with_both_laws(source: Address, body: bytes) -> bytes:
    if source != CALLEE.sip:
        return body
    return body.replace(b"RTP/AVP 0 101", b"RTP/AVP 0 8 101").replace(
        b"a=rtpmap:101", b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101"
    )


def test_header_extras_are_not_speech(tmp_path: Path) -> None:
    """CSRCs, header extensions and padding come and go (RFC 3550 section 5.1)."""

    def dressed(packet: Packet) -> Packet:
        sequence = struct.unpack_from("!H", packet.payload, 2)[0]
        bits, head, extras, tail = packet.payload[0], packet.payload[1:12], b"", b""
        if sequence % 3 == 0:
            bits |= 2
            extras += bytes(8)
        if sequence % 4 == 0:
            bits |= 0x10
            extras += struct.pack("!HHI", 0xBEDE, 1, 0x10203040)
        if sequence % 5 == 0:
            bits |= 0x20
            tail = b"\0\0\0\4"
        return replace(packet, payload=bytes([bits]) + head + extras + packet.payload[12:] + tail)

    played = play(call())
    found = do_import(tmp_path, rewritten(played, dressed))
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "recorded"


def forged(at: int, ahead: int) -> PlayedCall:
    """A call in which one packet of the caller has a timestamp from elsewhere."""
    played = play(call(talk_s=10.0))
    ssrc = struct.pack("!I", played.truths[Side.CALLER][0].ssrc)
    seen = 0

    def change(packet: Packet) -> Packet:
        nonlocal seen
        if packet.payload[8:12] != ssrc:
            return packet
        seen += 1
        if seen != at:
            return packet
        timestamp = struct.unpack_from("!I", packet.payload, 4)[0] + ahead & 0xFFFFFFFF
        return replace(packet, payload=packet.payload[:4] + struct.pack("!I", timestamp) + packet.payload[8:])

    return replace(played, packets=rewritten(played, change))


@pytest.mark.parametrize(
    "ahead", [RATE_HZ * 3600, -RATE_HZ * 3600, 0x7FFF0000], ids=["hour ahead", "hour back", "days"]
)
@pytest.mark.parametrize("at", [1, 2, 250, 499], ids=["first", "second", "middle", "last"])
def test_forged_timestamp_asks_for_no_silence_and_moves_nothing(at: int, ahead: int, tmp_path: Path) -> None:
    played = forged(at, ahead)
    found = do_import(tmp_path, played.packets)
    assert found.part.record["samples"] <= 10.2 * RATE_HZ
    truth = played.truths[Side.CALLER][0]
    heard = placed([found.part], 0, truth)
    around = np.ones(len(truth.pcm), dtype=bool)
    around[(at - 1) * 160 : at * 160] = False
    np.testing.assert_array_equal(heard[around[: len(heard)]], truth.pcm[around][: around[: len(heard)].sum()])
    assert found.only["sides"][0]["packets"] == truth.packets


@pytest.mark.parametrize("segment_s", [30, 1800], ids=["in parts", "in one"])
def test_a_forged_packet_does_not_hide_the_loss_beside_it(segment_s: int, tmp_path: Path) -> None:
    """Somebody who knows the SSRC sends a packet with any number into a gap: the gap is loss all the same."""
    missing = [*range(250, 255), *range(1500, 1505), *range(2200, 2205)]
    played = play(call(talk_s=60.0, caller_media=media(60.0, 1, lost=frozenset(missing))))
    (truth,) = played.truths[Side.CALLER]
    strange = [
        rtp(truth.first_ns + 20_000_000 * at, truth.source, truth.destination, sequence=9 * at, timestamp=at,
            payload=bytes(160), ssrc=truth.ssrc, payload_type=8)
        for at in (252, 1502, 2201)
    ]  # fmt: skip
    found = do_import(tmp_path, played.packets + strange, config=f"[recording]\nsegment_s = {segment_s}\n")
    side = found.only["sides"][0]
    assert (side["lost"], side["reordered"], side["duplicates"]) == (15, 0, 0)
    heard = placed(found.parts_of(found.only), 0, truth)
    for low, high in ((0, 250), (256, 1500), (1506, 2200), (2206, 2900)):
        np.testing.assert_array_equal(heard[low * 160 : high * 160], truth.pcm[low * 160 : high * 160])


def test_a_run_of_forged_timestamps_keeps_its_speech(tmp_path: Path) -> None:
    """An encoder that jumps by an hour and stays there: what follows keeps its place in capture time."""
    played = play(call(talk_s=10.0))
    ssrc = struct.pack("!I", played.truths[Side.CALLER][0].ssrc)
    base = min(struct.unpack_from("!H", p.payload, 2)[0] for p in played.packets if p.payload[8:12] == ssrc)

    def change(packet: Packet) -> Packet:
        sequence, timestamp = struct.unpack_from("!HI", packet.payload, 2)
        if packet.payload[8:12] != ssrc or not 200 <= sequence - base < 300:
            return packet
        moved = struct.pack("!I", timestamp + RATE_HZ * 3600 & 0xFFFFFFFF)
        return replace(packet, payload=packet.payload[:4] + moved + packet.payload[8:])

    found = do_import(tmp_path, rewritten(played, change))
    assert differences(found.archive, [played]) == []


def test_sender_that_pauses_without_advancing_its_clock(tmp_path: Path) -> None:
    """3 s pause, after which timestamps go on as if nothing had been: speech stays where it was heard."""
    played = play(call(talk_s=10.0))
    truth = played.truths[Side.CALLER][0]
    ssrc, early = struct.pack("!I", truth.ssrc), truth.first_ns + 4 * SECOND_NS

    def change(packet: Packet) -> Packet | None:
        if packet.payload[8:12] != ssrc or packet.ts_ns < early - 1_000_000:
            return packet
        later = packet.ts_ns + 3 * SECOND_NS
        return replace(packet, ts_ns=later) if later < played.script.end_ns - 20_000_000 else None

    found = do_import(tmp_path, sorted(rewritten(played, change), key=lambda packet: packet.ts_ns))
    left = channel([found.part], 0)
    (stream,) = streams(found.part, 0)
    first = stream["first_sample"]
    np.testing.assert_array_equal(left[first : first + 4 * RATE_HZ], truth.pcm[: 4 * RATE_HZ])
    after = first + 7 * RATE_HZ
    rest = first + stream["samples"] - after
    np.testing.assert_array_equal(left[after : after + rest], truth.pcm[4 * RATE_HZ : 4 * RATE_HZ + rest])
    assert stream["fill"] == [[first + 4 * RATE_HZ, 3 * RATE_HZ, "discontinuity"]]
    assert stream["lost"] == 0


def test_drift_is_measured_and_not_corrected(tmp_path: Path) -> None:
    seconds = 130.0
    played = play(
        call(
            talk_s=seconds,
            caller_media=media(seconds, 1, skew_ppm=200.0, jitter_ns=2_000_000),
            callee_media=media(seconds, 2, skew_ppm=-200.0),
        )
    )
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "recorded"
    assert [streams(found.part, side)[0]["drift_ppm"] for side in (0, 1)] == [
        pytest.approx(200.0, abs=10.0),
        pytest.approx(-200.0, abs=10.0),
    ]
    assert [streams(found.part, side)[0]["fill"] for side in (0, 1)] == [[], []]


def test_no_drift_is_told_of_a_short_stream(tmp_path: Path) -> None:
    found = do_import(tmp_path, play(call(talk_s=50.0, caller_media=media(50.0, 1, skew_ppm=100.0))).packets)
    assert streams(found.part, 0)[0]["drift_ppm"] is None


@pytest.mark.parametrize("silent", Side)
def test_one_way_audio(silent: Side, tmp_path: Path) -> None:
    played = play(call(caller_media=SILENT) if silent is Side.CALLER else call(callee_media=SILENT))
    found = do_import(tmp_path, played.packets)
    number = list(Side).index(silent)
    assert (found.only["outcome"], found.only["reasons"]) == ("partly", ["one_way"])
    assert found.only["flags"] == ["one_way"]
    assert [side["one_way"] for side in found.only["sides"]] == [number == 0, number == 1]
    assert [each["one_way"] for each in found.part.record["channels"]] == [number == 0, number == 1]
    assert not found.part.audio[:, number].any()
    truth = played.truths[silent.other][0]
    np.testing.assert_array_equal(placed([found.part], 1 - number, truth), truth.pcm)
    assert found.only["completeness"] == pytest.approx(50.0, abs=0.5)
    assert found.part.record["samples"] >= 5.9 * RATE_HZ


def test_channels_are_by_the_signalling_not_by_who_spoke_first(tmp_path: Path) -> None:
    played = play(call(callee_media=media(6.0, 2, suppressed_s=((0.0, 3.0),))))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    speaking = [streams(found.part, side)[0]["source"] for side in (0, 1)]
    assert speaking == [str(CALLER.rtp), str(CALLEE.rtp)]


def test_no_media_at_all(tmp_path: Path) -> None:
    found = do_import(tmp_path, play(call(caller_media=SILENT, callee_media=SILENT)).packets)
    assert (found.only["outcome"], found.only["reasons"], found.only["parts"]) == ("not_recorded", ["no_media"], [])
    assert found.only["completeness"] == 0.0
    assert not found.parts


def test_unsupported_codec_names_the_codec(tmp_path: Path) -> None:
    script = call(caller_media=media(6.0, 1, codec="G729"), callee_media=media(6.0, 2, codec="G729"))
    found = do_import(tmp_path, play(script).packets)
    assert (found.only["outcome"], found.only["reasons"]) == ("not_recorded", ["unsupported_codec"])
    assert {(each["side"], each["codec"], each["payload_type"]) for each in found.only["unrecorded"]} == {
        ("caller", "G729", 18),
        ("callee", "G729", 18),
    }
    assert found.only["codecs"] == ["G729"]
    assert not found.parts


def test_opus_is_named_by_its_rtpmap(tmp_path: Path) -> None:
    script = call(caller_media=media(6.0, 1, codec="G729"), callee_media=media(6.0, 2, codec="G729"))
    played = play(script)

    def change(packet: Packet) -> Packet:
        second = packet.payload[1] & 0x80 | (111 if packet.payload[1] & 0x7F == 18 else packet.payload[1] & 0x7F)
        return replace(packet, payload=packet.payload[:1] + bytes([second]) + packet.payload[2:])

    def describe(_: Address, body: bytes) -> bytes:
        return body.replace(b"AVP 18 ", b"AVP 111 ").replace(b":18 G729/8000", b":111 opus/48000/2")

    found = do_import(tmp_path, redescribed(rewritten(played, change), describe))
    assert (found.only["outcome"], found.only["reasons"]) == ("not_recorded", ["unsupported_codec"])
    assert found.only["codecs"] == ["OPUS"]


@pytest.mark.parametrize("codecs", [(PCMU, PCMA), (PCMA, PCMU)])
def test_each_side_may_use_its_own_law(codecs: tuple[str, str], tmp_path: Path) -> None:
    played = play(call(caller_media=media(6.0, 1, codec=codecs[0]), callee_media=media(6.0, 2, codec=codecs[1])))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert set(found.part.record["laws"]) == {PCMU, PCMA}


def test_speech_that_was_never_loud_or_never_paused_is_told_apart(tmp_path: Path) -> None:
    """Shares of silence and clipping come from what was heard."""
    loud = MediaScript(audio=np.tile(np.array([32000, -32000] * 40, np.int16), 600), seed=1)
    quiet = MediaScript(audio=np.zeros(48_000, np.int16), seed=2)
    sides = do_import(tmp_path, play(call(caller_media=loud, callee_media=quiet)).packets).only["sides"]
    assert [side["silence_share"] for side in sides] == [0.0, 1.0]
    assert [side["clipping_share"] for side in sides] == [1.0, 0.0]
