"""Calls as signalling makes them: hold, transfer, offers and answers of every kind, calls nobody answered or ended."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from appliance.cli import main
from storage.schema_export import SCHEMA_DIRECTORY
from tests.recorded_truth import differences, nanoseconds
from tests.scenario import (
    CALLEE,
    CALLER,
    RATE_HZ,
    SECOND_NS,
    SILENT,
    Imported,
    call,
    causes,
    channel,
    do_import,
    is_media,
    media,
    moved,
    origin_ns,
    placed,
    redescribed,
    rtp,
    streams,
    without,
)
from tests.traffic.calls import START_NS, CallScript, Hold, PlayedCall, Refer, play, replaces_value, together
from tests.traffic.media import Digit, impaired, send
from tests.traffic.pcapwriter import Address, Packet
from tests.traffic.signalling import DialogWriter, Side, session

MS = 1_000_000


def writer(call_id: str = "call@example", **changes: Any) -> DialogWriter:
    """The messages of one dialog between the two usual telephones."""
    return DialogWriter(**{"call_id": call_id, "caller": CALLER, "callee": CALLEE, **changes})


def talk(script: CallScript, side: Side) -> list[Packet]:
    """A side's speech from the answer to the end."""
    packets = play(script).packets
    source = CALLER.rtp if side is Side.CALLER else CALLEE.rtp
    return [packet for packet in packets if is_media(packet) and packet.source == source]


# --- hold ---


@pytest.mark.parametrize("by", Side)
@pytest.mark.parametrize("direction", ["sendonly", "inactive", "zero"])
@pytest.mark.parametrize("music", [False, True], ids=["silent", "music"])
def test_hold_and_resume(by: Side, direction: str, music: bool, tmp_path: Path) -> None:
    hold = Hold(at_s=3.0, seconds=4.0, by=by, direction=direction, music=music)
    played = play(call(talk_s=12.0, caller_media=media(12.0, 1), callee_media=media(12.0, 2), holds=(hold,)))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["completeness"]) == ("recorded", 100.0)
    ((first, samples, side),) = [tuple(each) for each in found.part.record["holds"]]
    assert side == by
    assert first == pytest.approx(3.0 * RATE_HZ, abs=0.02 * RATE_HZ)
    assert samples == pytest.approx(4.0 * RATE_HZ, abs=0.02 * RATE_HZ)
    assert found.only["holds"] == found.part.record["holds"]
    # Hold is not expected speech: two sides of 12 s less 4 s.
    assert found.only["expected_samples"] == pytest.approx(2 * 8.0 * RATE_HZ, rel=0.02)
    assert found.part.record["samples"] == pytest.approx(12.0 * RATE_HZ, abs=400)


def test_loss_within_music_on_hold_is_loss_and_costs_no_speech(tmp_path: Path) -> None:
    hold = Hold(at_s=3.0, seconds=6.0, by=Side.CALLEE, music=True)
    music = media(12.0, 2, lost=frozenset({*range(200, 215), 300}))
    played = play(call(talk_s=12.0, caller_media=media(12.0, 1), callee_media=music, holds=(hold,)))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert found.only["sides"][1]["lost"] == 16
    assert found.only["network_lost_samples"] == 0
    assert found.only["outcome"] == "recorded"


def test_numbers_that_go_on_while_on_hold_are_no_loss(tmp_path: Path) -> None:
    """The sender speaks to somebody else meanwhile: its numbers go on, our mirror sees none of it."""
    hold = Hold(at_s=3.0, seconds=6.0, by=Side.CALLEE, music=True)
    played = play(call(talk_s=12.0, caller_media=media(12.0, 1), callee_media=media(12.0, 2), holds=(hold,)))
    answer = played.script.answer_ns
    packets = [
        packet
        for packet in played.packets
        if not (
            is_media(packet)
            and packet.source == CALLEE.rtp
            and answer + 3.0 * SECOND_NS <= packet.ts_ns < answer + 9 * SECOND_NS
        )
    ]
    found = do_import(tmp_path, packets)
    assert found.only["sides"][1]["lost"] == 0
    assert set(causes(found.part, 1)) == {"hold"}
    assert found.only["outcome"] == "recorded"


def test_music_on_hold_comes_from_elsewhere_and_the_same_stream_resumes(tmp_path: Path) -> None:
    script = call(talk_s=12.0, caller_media=media(12.0, 1), callee_media=media(12.0, 2))
    held = replace(script, holds=(Hold(at_s=3.0, seconds=4.0, by=Side.CALLEE),))
    played = play(held)
    server = Address("10.77.8.99", 30_000)
    music = send(media(3.9, 7), server, CALLER.rtp, script.at_ns(3.05))

    def told(packet: Packet) -> Packet:
        """The holding side names the music server as its address meanwhile."""
        at = packet.ts_ns - script.answer_ns
        if is_media(packet) or packet.source != CALLEE.sip or not 2 * SECOND_NS < at < 6 * SECOND_NS:
            return packet
        body = packet.payload.replace(b"m=audio 24000", b"m=audio 30000").replace(
            b"c=IN IP4 10.77.8.20", b"c=IN IP4 10.77.8.99"
        )
        return replace(packet, payload=body)

    found = do_import(tmp_path, [told(packet) for packet in played.packets] + music.packets)
    assert [stream["source"] for stream in streams(found.part, 1)] == [str(CALLEE.rtp), str(server)]
    np.testing.assert_array_equal(placed([found.part], 1, music.truths[0]), music.truths[0].pcm)
    own = played.truths[Side.CALLEE][0]
    heard = placed([found.part], 1, own)
    np.testing.assert_array_equal(heard[own.present], own.pcm[own.present])
    assert found.only["outcome"] == "recorded"
    assert len(found.records) == 1


def test_held_call_outlives_the_media_timeout(tmp_path: Path) -> None:
    hold = Hold(at_s=2.0, seconds=100.0, by=Side.CALLEE)
    played = play(call(talk_s=110.0, caller_media=media(110.0, 1), callee_media=media(110.0, 2), holds=(hold,)))
    found = do_import(tmp_path, played.packets, config="[recording]\nmedia_timeout_s = 40\n")
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["end_cause"]) == ("recorded", "bye")
    assert found.only["duration_s"] == pytest.approx(110.0, abs=0.01)


# --- transfer ---


def test_attended_transfer_is_linked_backwards(tmp_path: Path) -> None:
    expert = moved(CALLEE, host="10.77.0.14", rtp_port=16_440, number="0335550104")
    customer = moved(CALLER, host="10.77.8.21", number="08033334444")
    first = call("first@example", caller=customer, callee=CALLER, talk_s=8.0)
    consultation = call(
        "second@example",
        caller=moved(CALLER, rtp_port=16_386),
        callee=expert,
        start_ns=first.at_ns(2.0),
        talk_s=4.0,
        ring_s=0.5,
    )
    taken = call(
        "third@example",
        caller=moved(customer, rtp_port=17_000),
        callee=moved(expert, rtp_port=16_442),
        start_ns=first.at_ns(6.1),
        ring_s=0.2,
        talk_s=5.0,
        headers=(("Replaces", replaces_value(consultation)), ("Referred-By", f"<{CALLER.uri}>")),
    )
    refer = Refer(at_s=6.0, by=Side.CALLEE, target=expert, replaces=consultation)
    calls = [play(replace(first, refers=(refer,))), play(consultation), play(taken)]
    found = do_import(tmp_path, together(calls))
    assert differences(found.archive, calls) == []
    links = found.call("third@example")["links"]
    ids = {name: found.call(f"{name}@example")["call_id"] for name in ("first", "second")}
    assert links["replaces"] == {"call_id": ids["second"], "sip_call_id": "second@example"}
    assert links["transferred_from"] == {"call_id": ids["first"], "sip_call_id": "first@example"}
    assert found.parts_of(found.call("third@example"))[0].record["links"] == links
    for earlier in ("first", "second"):
        assert set(found.call(f"{earlier}@example")["links"].values()) == {None}


def test_blind_transfer_is_linked_backwards(tmp_path: Path) -> None:
    target = moved(CALLEE, host="10.77.0.15", rtp_port=16_460, number="0335550105")
    first = call("first@example", talk_s=6.0)
    second = call(
        "second@example",
        caller=moved(CALLER, rtp_port=16_390),
        callee=target,
        start_ns=first.at_ns(5.1),
        ring_s=0.5,
        headers=(("Referred-By", f"<{CALLEE.uri}>"),),
    )
    refer = Refer(at_s=5.0, by=Side.CALLEE, target=target)
    calls = [play(replace(first, refers=(refer,))), play(second)]
    found = do_import(tmp_path, together(calls))
    assert differences(found.archive, calls) == []
    links = found.call("second@example")["links"]
    assert links["transferred_from"]["sip_call_id"] == "first@example"
    assert links["transferred_from"]["call_id"] == found.call("first@example")["call_id"]
    assert links["replaces"] is None


# --- offers and answers ---


def test_late_offer(tmp_path: Path) -> None:
    played = play(call(late_offer=True))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "recorded"


def test_offer_in_a_reliable_provisional_response(tmp_path: Path) -> None:
    """INVITE without SDP, offer in 183, answer in PRACK (RFC 3262), media before the 200."""
    script = call(early_s=1.0, ring_s=3.0, callee_media=media(8.0, 2))
    dialog = writer()
    at = script.answer_ns - SECOND_NS - 20 * MS
    invite = dialog.request(script.start_ns, Side.CALLER, "INVITE", in_dialog=False)
    reliable = (("Require", "100rel"), ("RSeq", "1"))
    dialog.respond(
        at, Side.CALLEE, "183 Session Progress", invite, headers=reliable, body=session(CALLEE, script.callee_media)
    )
    prack = dialog.request(
        at + 5 * MS,
        Side.CALLER,
        "PRACK",
        headers=(("RAck", "1 101 INVITE"),),
        body=session(CALLER, script.caller_media, offer=False),
    )
    dialog.respond(at + 8 * MS, Side.CALLEE, "200 OK", prack)
    dialog.respond(script.answer_ns, Side.CALLEE, "200 OK", invite)
    dialog._cseq[Side.CALLER] -= 1
    dialog.request(script.answer_ns + 10 * MS, Side.CALLER, "ACK")
    dialog._cseq[Side.CALLER] += 1
    bye = dialog.request(script.end_ns, Side.CALLER, "BYE")
    dialog.respond(script.end_ns + 5 * MS, Side.CALLEE, "200 OK", bye)
    played = play(script)
    packets = dialog.packets + [packet for packet in played.packets if packet.payload[0] >> 6 == 2]
    found = do_import(tmp_path, packets)
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "recorded"


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_media_moves_to_another_address(method: str, tmp_path: Path) -> None:
    """After 3 s the callee wants its media, and sends, at another port."""
    script = call(caller_media=media(3.0, 1), callee_media=media(3.0, 2))
    dialog, other = writer(), moved(CALLEE, rtp_port=26_000)
    dialog._cseq = {Side.CALLER: 200, Side.CALLEE: 300}
    offer = session(other, script.callee_media, version=2, offer=False)
    request = dialog.request(script.at_ns(3.0), Side.CALLEE, method, body=offer)
    answer = session(CALLER, script.caller_media, version=2, offer=False)
    dialog.respond(script.at_ns(3.0) + 5 * MS, Side.CALLER, "200 OK", request, body=answer)
    if method == "INVITE":
        dialog.request(script.at_ns(3.0) + 9 * MS, Side.CALLEE, "ACK")
    start = script.at_ns(3.04)
    toward = send(media(2.9, 3), CALLER.rtp, other.rtp, start)
    back = send(media(2.9, 4), other.rtp, CALLER.rtp, start + 10 * MS)
    played = play(script)
    found = do_import(tmp_path, played.packets + dialog.packets + toward.packets + back.packets)
    both = replace(
        played,
        truths={
            Side.CALLER: (*played.truths[Side.CALLER], *toward.truths),
            Side.CALLEE: (*played.truths[Side.CALLEE], *back.truths),
        },
    )
    assert differences(found.archive, [both]) == []
    assert found.only["outcome"] == "recorded"
    assert found.only["holds"] == []


def test_network_address_translation_hides_the_senders_address(tmp_path: Path) -> None:
    """SDP names a private address; the media come from another one, to the address that the far side named."""
    played = play(call())
    public = Address("203.0.113.7", 40_001)

    def translated(packet: Packet) -> Packet:
        if is_media(packet) and packet.source == CALLER.rtp:
            return replace(packet, source=public)
        if is_media(packet) and packet.destination == CALLER.rtp:
            return replace(packet, destination=public)
        return packet

    found = do_import(tmp_path, [translated(packet) for packet in played.packets])
    assert len(found.records) == 1
    assert found.only["outcome"] == "recorded"
    for number, side in enumerate(Side):
        truth = played.truths[side][0]
        np.testing.assert_array_equal(placed([found.part], number, truth), truth.pcm)
    assert streams(found.part, 0)[0]["source"] == str(public)


def test_refused_and_other_media_lines(tmp_path: Path) -> None:
    """Audio, refused second audio, and video that flows: only the first audio is speech."""
    played = play(call())

    def change(source: Address, body: bytes) -> bytes:
        port = 16_500 if source == CALLER.sip else 0
        video = 16_600 if source == CALLER.sip else 25_600
        return body + (b"m=audio %d RTP/AVP 0\r\nm=video %d RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n" % (port, video))

    picture = send(media(5.0, 6, codec="G729", payload_type=97), Address("10.77.0.11", 16_600),
                   Address("10.77.8.20", 25_600), played.script.at_ns(0.3))  # fmt: skip
    found = do_import(tmp_path, redescribed(played.packets, change) + picture.packets)
    assert differences(found.archive, [played]) == []
    assert len(found.records) == 1
    assert found.only["outcome"] in ("recorded", "partly")
    assert [(each["codec"], each["reason"]) for each in found.only["unrecorded"]] == [("H264", "unsupported_codec")]


def test_two_audio_lines_make_a_recording_each(tmp_path: Path) -> None:
    """Both lines carry speech at the same time: the second is a linked recording of its own."""
    played = play(call())
    second = [
        send(media(5.0, 5), Address("10.77.0.11", 16_500), Address("10.77.8.20", 25_500), played.script.at_ns(0.3)),
        send(media(5.0, 6), Address("10.77.8.20", 25_500), Address("10.77.0.11", 16_500), played.script.at_ns(0.31)),
    ]

    def change(source: Address, body: bytes) -> bytes:
        port = 16_500 if source == CALLER.sip else 25_500
        return body + b"m=audio %d RTP/AVP 0\r\n" % port

    found = do_import(tmp_path, redescribed(played.packets, change) + [p for sent in second for p in sent.packets])
    main = found.call("call@example")
    (other,) = found.media
    assert other["links"]["second_leg_of"] == {"call_id": main["call_id"], "sip_call_id": "call@example"}
    assert (main["outcome"], other["outcome"]) == ("recorded", "recorded")
    for number, sent in enumerate(second):
        np.testing.assert_array_equal(placed(found.parts_of(other), number, sent.truths[0]), sent.truths[0].pcm)
    for number, side in enumerate(Side):
        truth = played.truths[side][0]
        np.testing.assert_array_equal(placed(found.parts_of(main), number, truth), truth.pcm)


def test_media_relay_shows_the_call_on_two_paths(tmp_path: Path) -> None:
    """A proxy with a media relay on the mirror: on each side of it, SDP and media addresses differ."""
    played = play(call())
    outer = Address("10.77.4.1", 5060)
    to_caller, to_callee = Address("10.77.4.1", 50_000), Address("10.77.4.1", 50_002)
    relayed: list[Packet] = []
    for packet in played.packets:
        from_caller = packet.source in (CALLER.sip, CALLER.rtp)
        if is_media(packet):
            here = to_caller if from_caller else to_callee
            there = to_callee if from_caller else to_caller
            relayed.append(replace(packet, destination=here))
            relayed.append(replace(packet, ts_ns=packet.ts_ns + 300_000, source=there))
        elif packet.payload[0] >> 6 != 2:
            body = packet.payload
            if from_caller:
                first, second = body, _contact(body, CALLER.rtp, to_callee)
            else:
                first, second = body, _contact(body, CALLEE.rtp, to_caller)
            relayed.append(replace(packet, destination=outer, payload=first))
            relayed.append(replace(packet, ts_ns=packet.ts_ns + 500_000, source=outer, payload=second))
    found = do_import(tmp_path, relayed)
    main = found.call("call@example")
    (other,) = found.media
    assert (main["outcome"], other["outcome"]) == ("recorded", "recorded")
    assert other["links"]["second_leg_of"]["call_id"] == main["call_id"]
    for record in (main, other):
        parts = found.parts_of(record)
        for number, side in enumerate(Side):
            truth = played.truths[side][0]
            heard = channel(parts, number)
            first = streams(parts[0], number)[0]["first_sample"]
            np.testing.assert_array_equal(heard[first : first + len(truth.pcm)], truth.pcm)


def _contact(message: bytes, here: Address, there: Address) -> bytes:
    return message.replace(b"c=IN IP4 %s" % here.host.encode(), b"c=IN IP4 %s" % there.host.encode()).replace(
        b"m=audio %d" % here.port, b"m=audio %d" % there.port
    )


def test_second_sender_to_one_address_is_a_recording_of_its_own(tmp_path: Path) -> None:
    """Two streams overlap on one side: the negotiated one is in the file, the other becomes a linked recording."""
    played = play(call())
    other = send(media(4.0, 8), Address("10.77.9.9", 9000), CALLER.rtp, played.script.at_ns(1.0))
    found = do_import(tmp_path, played.packets + other.packets)
    main = found.call("call@example")
    (rival,) = found.media
    assert rival["links"]["second_leg_of"]["call_id"] == main["call_id"]
    assert [stream["source"] for stream in streams(found.parts_of(main)[0], 1)] == [str(CALLEE.rtp)]
    np.testing.assert_array_equal(placed(found.parts_of(rival), 1, other.truths[0]), other.truths[0].pcm)
    (truth,) = played.truths[Side.CALLEE]
    np.testing.assert_array_equal(placed(found.parts_of(main), 1, truth), truth.pcm)
    assert main["outcome"] == "recorded"


# --- before the answer ---


def test_strangers_packets_are_listed_and_push_nothing_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A scan sends one packet each under many SSRCs: none is a source (RFC 3550 A.1), all are told."""
    played = play(call())
    (truth,) = played.truths[Side.CALLER]
    strays = [
        rtp(
            truth.first_ns - 10 * MS + 1000 * number,
            Address("10.66.0.1", 9000),
            CALLEE.rtp,
            sequence=number,
            timestamp=number,
            payload=bytes(160),
            ssrc=0x5000 + number,
        )
        for number in range(100)
    ]
    found = do_import(tmp_path, played.packets + strays)
    record = found.call("call@example")
    assert (len(found.parts), found.media, record["outcome"]) == (1, [], "recorded")
    np.testing.assert_array_equal(placed(found.parts_of(record), 0, truth), truth.pcm)
    assert {stream["ssrc"] for stream in streams(found.part, 0)} == {f"0x{truth.ssrc:08x}"}
    told = {each["ssrc"]: (each["packets"], each["reason"]) for each in record["unrecorded"]}
    assert told == {f"0x{0x5000 + number:08x}": (1, "no_media") for number in range(100)}
    assert "of no known fate" not in capsys.readouterr().out


@pytest.mark.parametrize("segment_s", [30, 1800], ids=["in parts", "in one"])
@pytest.mark.parametrize(("seconds", "recorded"), [(0.9, False), (1.1, True)])
def test_short_stream_beside_the_call_is_listed_and_makes_no_recording(
    seconds: float, recorded: bool, segment_s: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it is, the record says; a second or more is a recording of its own, wherever a part was cut."""
    played = play(call(talk_s=60.0, caller_media=media(60.0, 1), callee_media=media(60.0, 2)))
    strange = [
        send(media(seconds, 7 + number), Address("10.66.0.1", 9000), CALLER.rtp, played.script.at_ns(at_s))
        for number, at_s in enumerate((5.0, 29.5, 50.0))
    ]
    packets = [packet for sent in strange for packet in sent.packets]
    found = do_import(tmp_path, played.packets + packets, config=f"[recording]\nsegment_s = {segment_s}\n")
    record = found.call("call@example")
    for number, side in enumerate(Side):
        (truth,) = played.truths[side]
        np.testing.assert_array_equal(placed(found.parts_of(record), number, truth), truth.pcm)
    keys = {f"0x{sent.truths[0].ssrc:08x}": sent.truths[0].packets for sent in strange}
    told = {each["ssrc"]: each["packets"] for each in record["unrecorded"] if each["reason"] == "no_media"}
    assert (record["outcome"], told) == ("recorded", {} if recorded else keys)
    assert len(found.media) == (3 if recorded else 0)
    for sent in strange if recorded else ():
        (truth,) = sent.truths
        whole = [
            placed(found.parts_of(each), 1, truth)
            for each in found.media
            if any(stream["ssrc"] == f"0x{truth.ssrc:08x}" for stream in streams(found.parts_of(each)[0], 1))
        ]
        np.testing.assert_array_equal(whole[0], truth.pcm)
    assert "of no known fate" not in capsys.readouterr().out


def test_early_media_belongs_to_an_answered_call(tmp_path: Path) -> None:
    played = play(call(early_s=0.8, callee_media=media(8.0, 2)))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert origin_ns(found.part) == pytest.approx(played.script.at_ns(-0.8), abs=20 * MS)
    assert nanoseconds(found.part.record["answered_at"]) == played.script.answer_ns
    # Nobody expects speech before the answer.
    assert found.only["expected_samples"] == pytest.approx(2 * 6.0 * RATE_HZ, rel=0.02)
    assert found.only["outcome"] == "recorded"


def test_speech_that_overtakes_the_answer_is_kept(tmp_path: Path) -> None:
    played = play(call())
    early = [replace(p, ts_ns=p.ts_ns - 150 * MS) if is_media(p) else p for p in played.packets]
    found = do_import(tmp_path, early)
    for number, side in enumerate(Side):
        truth = played.truths[side][0]
        heard = placed([found.part], number, truth, truth.first_ns - 150 * MS)
        np.testing.assert_array_equal(heard, truth.pcm)
    assert found.only["outcome"] == "recorded"


def test_early_media_of_an_unanswered_call_is_not_kept(tmp_path: Path) -> None:
    script = call(final_status="486 Busy Here", ring_s=4.0)
    dialog = writer()
    played = play(script)
    invite = dialog.request(script.start_ns, Side.CALLER, "INVITE", in_dialog=False)
    dialog.packets.clear()
    dialog.respond(script.start_ns + 500 * MS, Side.CALLEE, "183 Session Progress", invite,
                   body=session(CALLEE, script.callee_media))  # fmt: skip
    announcement = send(media(3.0, 3), CALLEE.rtp, CALLER.rtp, script.start_ns + 600 * MS)
    found = do_import(tmp_path, played.packets + dialog.packets + announcement.packets)
    assert (found.only["outcome"], found.only["reasons"]) == ("not_expected", ["not_answered"])
    assert found.only["sip"]["final_status"] == 486
    assert found.only["end_cause"] == "rejected"
    assert (found.only["parts"], found.only["completeness"], found.only["duration_s"]) == ([], None, 0.0)
    assert not found.parts


@pytest.mark.parametrize(
    ("status", "cause"),
    [("487 Request Terminated", "cancelled"), ("486 Busy Here", "rejected"), ("404 Not Found", "rejected"),
     ("603 Decline", "rejected")],
)  # fmt: skip
def test_calls_that_were_not_answered(status: str, cause: str, tmp_path: Path) -> None:
    found = do_import(tmp_path, play(call(final_status=status, caller_media=SILENT, callee_media=SILENT)).packets)
    assert (found.only["outcome"], found.only["reasons"]) == ("not_expected", ["not_answered"])
    assert (found.only["end_cause"], found.only["sip"]["final_status"]) == (cause, int(status[:3]))
    assert found.only["answered_at"] is None


def test_call_that_only_rings_ends_without_answer(tmp_path: Path) -> None:
    script = call(final_status="486 Busy Here", caller_media=SILENT, callee_media=SILENT)
    ringing = without(play(script).packets, "SIP/2.0 486", "ACK")
    later = play(call("later@example", start_ns=START_NS + 400 * SECOND_NS))
    found = do_import(tmp_path, ringing + later.packets)
    record = found.call("call@example")
    assert (record["outcome"], record["reasons"], record["end_cause"]) == (
        "not_expected",
        ["not_answered"],
        "no_answer",
    )
    assert found.call("later@example")["outcome"] == "recorded"


def test_authentication_retry_is_one_call(tmp_path: Path) -> None:
    played = play(call())
    script, dialog = played.script, writer()
    dialog._cseq = {Side.CALLER: 50, Side.CALLEE: 7000}
    dialog._branch = 90
    at = script.start_ns - 100 * MS
    invite = dialog.request(at, Side.CALLER, "INVITE", in_dialog=False, body=session(CALLER, script.caller_media))
    dialog.respond(at + 5 * MS, Side.CALLEE, "407 Proxy Authentication Required", invite)
    dialog.request(at + 8 * MS, Side.CALLER, "ACK", in_dialog=False)
    found = do_import(tmp_path, dialog.packets + played.packets)
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["sip"]["final_status"]) == ("recorded", 200)
    assert nanoseconds(found.only["started_at"]) == at


def test_forked_call_is_one_call_with_the_side_that_answered(tmp_path: Path) -> None:
    played = play(call())
    script, fork = played.script, writer()
    # A second telephone rings too, with early media, and is cancelled.
    other = moved(CALLEE, host="10.77.8.30", rtp_port=27_000)
    invite = fork.request(script.start_ns, Side.CALLER, "INVITE", in_dialog=False)
    fork.packets.clear()
    fork.respond(script.start_ns + 200 * MS, Side.CALLEE, "183 Session Progress", invite,
                 body=session(other, script.callee_media))  # fmt: skip
    tagged = [
        replace(p, payload=p.payload.replace(fork.tag(Side.CALLEE).encode(), b"otherfork1")) for p in fork.packets
    ]
    found = do_import(tmp_path, played.packets + tagged)
    assert differences(found.archive, [played]) == []
    assert found.only["sip"]["to_tag"] == fork.tag(Side.CALLEE)


# --- the end ---


def test_lost_bye_ends_with_the_media(tmp_path: Path) -> None:
    played = play(call(ends=None))
    later = play(call("later@example", start_ns=START_NS + 200 * SECOND_NS, caller=moved(CALLER, rtp_port=18_000)))
    found = do_import(tmp_path, played.packets + later.packets)
    record = found.call("call@example")
    assert (record["outcome"], record["reasons"], record["end_cause"]) == ("partly", ["bye_not_seen"], "media_timeout")
    assert nanoseconds(record["ended_at"]) == pytest.approx(played.script.end_ns, abs=100 * MS)
    assert record["completeness"] == 100.0
    assert differences(found.archive, [played, later]) == []


def test_lost_bye_ends_with_the_session_timer(tmp_path: Path) -> None:
    """No media shows when the call ended (its BYE is lost): the session interval does."""
    script = call(ends=None, session_expires_s=90, caller_media=SILENT, callee_media=SILENT, reports=False)
    played = play(script)
    # The 2xx agrees to the interval.
    packets = [
        replace(p, payload=p.payload.replace(b"\r\nServer:", b"\r\nSession-Expires: 90;refresher=uac\r\nServer:"))
        if p.payload.startswith(b"SIP/2.0 200")
        else p
        for p in played.packets
    ]
    later = play(call("later@example", start_ns=START_NS + 900 * SECOND_NS))
    found = do_import(tmp_path, packets + later.packets, config="[recording]\nmedia_timeout_s = 3600\n")
    record = found.call("call@example")
    assert record["end_cause"] == "session_expired"
    assert nanoseconds(record["ended_at"]) == pytest.approx(script.answer_ns + 90 * SECOND_NS, abs=50 * MS)
    assert (record["outcome"], record["reasons"]) == ("not_recorded", ["no_media"])


def test_session_timer_does_not_cut_off_speech(tmp_path: Path) -> None:
    """Refreshes are on another path, the media go on: nothing that was said may be missing."""
    played = play(call(talk_s=150.0, session_expires_s=90, caller_media=media(150.0, 1), callee_media=media(150.0, 2)))
    packets = [
        replace(p, payload=p.payload.replace(b"\r\nServer:", b"\r\nSession-Expires: 90;refresher=uac\r\nServer:"))
        if p.payload.startswith(b"SIP/2.0 200")
        else p
        for p in played.packets
    ]
    found = do_import(tmp_path, packets)
    assert differences(found.archive, [played]) == []


def test_capture_that_ends_in_mid_call(tmp_path: Path) -> None:
    played = play(call(talk_s=10.0))
    end_ns = played.script.at_ns(4.0)
    found = do_import(tmp_path, [packet for packet in played.packets if packet.ts_ns <= end_ns])
    assert (found.only["outcome"], found.only["reasons"]) == ("partly", ["capture_ended"])
    assert found.only["end_cause"] == "capture_ended"
    assert found.only["completeness"] == 100.0
    for number, side in enumerate(Side):
        pcm = played.truths[side][0].pcm
        first = streams(found.part, number)[0]["first_sample"]
        heard = found.part.audio[first : first + int(3.9 * RATE_HZ), number]
        np.testing.assert_array_equal(heard, pcm[: len(heard)])


def test_recorder_that_joins_late_hears_the_rest(tmp_path: Path) -> None:
    """The first message seen is a re-INVITE; what was said before it, on the same streams, belongs to the call."""
    hold = Hold(at_s=5.0, seconds=1.0, by=Side.CALLER)
    played = play(call(talk_s=10.0, caller_media=media(10.0, 1), callee_media=media(10.0, 2), holds=(hold,)))
    from_ns = played.script.at_ns(2.0)
    found = do_import(tmp_path, [packet for packet in played.packets if packet.ts_ns >= from_ns])
    record = found.call("call@example")
    assert (record["outcome"], record["reasons"][0]) == ("partly", "recorder_joined_late")
    assert found.media == []
    (part,) = found.parts_of(record)
    for number, side in enumerate(Side):
        truth = played.truths[side][0]
        (stream,) = streams(part, number)
        heard = part.audio[stream["first_sample"] : stream["first_sample"] + stream["samples"], number]
        np.testing.assert_array_equal(heard, truth.pcm[-len(heard) :])
        assert len(heard) >= 7.9 * RATE_HZ


def test_recorder_that_joins_late_does_not_hear_the_call_before(tmp_path: Path) -> None:
    """A gateway uses ports and SSRC again, and the INVITE of the second call is missing."""
    first, second = (
        [media(seconds, seed, first_sequence=number, first_timestamp=1000 * number) for seed in (1, 2)]
        for seconds, number in ((4.0, 100), (10.0, 9000))
    )
    before = play(call("before@example", 4.0, caller_media=first[0], callee_media=first[1]))
    hold = Hold(at_s=5.0, seconds=1.0, by=Side.CALLER)
    later = before.script.end_ns + 5 * SECOND_NS
    after = play(call(talk_s=10.0, start_ns=later, holds=(hold,), caller_media=second[0], callee_media=second[1]))
    assert [before.truths[side][0].ssrc for side in Side] == [after.truths[side][0].ssrc for side in Side]
    rest = [each for each in after.packets if is_media(each) or each.ts_ns >= after.script.at_ns(2.0)]
    found = do_import(tmp_path, before.packets + rest)
    assert found.call("before@example")["outcome"] == "recorded"
    record = found.call("call@example")
    assert [side["packets"] for side in record["sides"]] == [after.truths[side][0].packets for side in Side]


def test_only_a_bye_seen_leaves_the_media_unsignalled(tmp_path: Path) -> None:
    played = play(call(talk_s=10.0))
    from_ns = played.script.at_ns(2.0)
    found = do_import(tmp_path, [packet for packet in played.packets if packet.ts_ns >= from_ns])
    assert found.call("call@example")["reasons"] == ["no_media"]
    (medium,) = found.media
    assert medium["reasons"] == ["recorder_joined_late", "capture_ended"]
    assert len(found.parts) == 1


def test_media_after_the_bye_is_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Half a second after the BYE still counts; what comes later is too late, and the summary says so."""
    played = play(call())
    truth = played.truths[Side.CALLEE][0]
    script = played.script
    after = send(media(2.0, 9, first_sequence=1, first_timestamp=0), CALLEE.rtp, CALLER.rtp, script.end_ns + 100 * MS)
    found = do_import(tmp_path, played.packets + after.packets)
    right = found.part.audio[:, 1]
    np.testing.assert_array_equal(placed([found.part], 1, truth), truth.pcm)
    first = round((after.truths[0].first_ns - origin_ns(found.part)) * RATE_HZ / SECOND_NS)
    kept = right[first:]
    np.testing.assert_array_equal(kept, after.truths[0].pcm[: len(kept)])
    assert 0.35 * RATE_HZ <= len(kept) <= 0.45 * RATE_HZ
    assert len(found.records) == 1
    left_out = 100 - len(kept) // 160
    printed = capsys.readouterr().out
    assert f"too late {left_out} " in " ".join(printed.split()) + " "
    assert "of no known fate" not in printed
    assert main(["calls", "--archive", str(found.archive)]) == 0
    assert f"{left_out} packet(s) came after the end of their call:" in capsys.readouterr().out
    (listed,) = late_records(found.archive)
    assert (listed["call_id"], listed["packets"]) == (found.only["call_id"], left_out)
    assert (listed["ssrc"], listed["source"], listed["destination"]) == (
        f"0x{after.truths[0].ssrc:08x}", str(CALLEE.rtp), str(CALLER.rtp),
    )  # fmt: skip
    last_ns = max(packet.ts_ns for packet in after.packets)
    assert nanoseconds(listed["last_at"]) == last_ns
    assert nanoseconds(listed["first_at"]) == last_ns - (left_out - 1) * 20 * MS


def test_late_packets_of_two_calls_at_one_address_are_told_apart(tmp_path: Path) -> None:
    """One SSRC for all calls, as some gateways have: what comes between two calls is the first one's."""
    first = play(call("first@example", talk_s=3.0))
    second = play(call("second@example", talk_s=3.0, start_ns=first.script.end_ns + 4 * SECOND_NS))
    after = [send(media(1.5, 9), CALLEE.rtp, CALLER.rtp, each.script.end_ns + 100 * MS) for each in (first, second)]
    found = do_import(tmp_path, [*together([first, second]), *after[0].packets, *after[1].packets])
    told = {each["call_id"]: each["packets"] for each in late_records(found.archive)}
    assert told == {found.call(f"{name}@example")["call_id"]: 54 for name in ("first", "second")}
    assert not found.media


def test_a_medium_before_a_call_and_stragglers_after_it_share_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What came before the call is a medium of its own, what came after it is too late: nothing has no fate."""
    played = play(call(talk_s=3.0))
    sent = [
        send(media(1.5, 9), CALLEE.rtp, CALLER.rtp, at_ns)
        for at_ns in (played.script.start_ns - 8 * SECOND_NS, played.script.end_ns + 700 * MS)
    ]
    found = do_import(tmp_path, [*sent[0].packets, *played.packets, *sent[1].packets])
    assert [each["sides"][0]["packets"] for each in found.media] == [75]
    assert [(each["call_id"], each["packets"]) for each in late_records(found.archive)] == [
        (found.call("call@example")["call_id"], 75)
    ]
    assert "of no known fate" not in capsys.readouterr().out


def late_records(archive: Path) -> list[dict[str, Any]]:
    """What the archive lists of packets after the end of their call, each held against its schema."""
    schema = json.loads((SCHEMA_DIRECTORY / "late-1.schema.json").read_bytes())
    records = [json.loads(path.read_bytes()) for path in sorted((archive / "late").rglob("*.json"))]
    for record in records:
        jsonschema.Draft202012Validator(schema).validate(record)
    return records


# --- digits in the signalling ---


def test_digits_by_info(tmp_path: Path) -> None:
    played = play(call())
    dialog = writer()
    dialog._cseq = {Side.CALLER: 200, Side.CALLEE: 300}
    for place, (content, body) in enumerate(
        [("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n"), ("application/dtmf", b"#")]
    ):
        at = played.script.at_ns(1.0 + place)
        request = dialog.request(at, Side.CALLER, "INFO", body=body, content=content)
        dialog.respond(at + 4 * MS, Side.CALLEE, "200 OK", request)
    found = do_import(tmp_path, played.packets + dialog.packets)
    told = [(each["side"], each["digit"], each["source"]) for each in found.only["dtmf"]]
    assert told == [("caller", "5", "info"), ("caller", "#", "info")]
    places = [each["first_sample"] for each in found.part.record["dtmf"]]
    assert places == pytest.approx([RATE_HZ, 2 * RATE_HZ], abs=80)


# --- media that nobody can read ---


def srtp_call(**changes: Any) -> PlayedCall:
    keys = [bytes(range(start, start + 30)) for start in (1, 101)]
    script = call(caller_media=media(6.0, 1, srtp_key=keys[0]), callee_media=media(6.0, 2, srtp_key=keys[1]))
    return play(replace(script, **changes))


def test_srtp_with_keys_in_the_signalling_is_decrypted(tmp_path: Path) -> None:
    played = srtp_call()
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "recorded"
    assert [streams(found.part, side)[0]["decrypted"] for side in (0, 1)] == [True, True]


def test_srtp_with_loss_digits_and_wrap(tmp_path: Path) -> None:
    key = bytes(range(30))
    script = media(12.0, 1, srtp_key=key, first_sequence=65_400, digits=(Digit(at_s=5.0, digit="3"),))
    played = srtp_call(talk_s=12.0, caller_media=impaired(script, loss=0.03, reordered=0.03, seed=4))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert [each["digit"] for each in found.only["dtmf"]] == ["3"]


def test_srtp_key_that_changes_in_mid_call(tmp_path: Path) -> None:
    """A re-INVITE after 3 s brings the caller's stream a new key; SSRC and numbers go on."""
    before = srtp_call()
    script = before.script
    changed = replace(script, caller_media=replace(script.caller_media, srtp_key=bytes(range(51, 81))))
    dialog = writer()
    dialog._cseq = {Side.CALLER: 200, Side.CALLEE: 300}
    offer = session(CALLER, changed.caller_media, version=2, offer=False)
    request = dialog.request(script.at_ns(3.0), Side.CALLER, "INVITE", body=offer)
    answer = session(CALLEE, script.callee_media, version=2, offer=False)
    dialog.respond(script.at_ns(3.0) + 5 * MS, Side.CALLEE, "200 OK", request, body=answer)
    dialog.request(script.at_ns(3.0) + 9 * MS, Side.CALLER, "ACK")
    late = [packet for packet in talk(changed, Side.CALLER) if packet.ts_ns >= script.at_ns(3.0)]
    early = [each for each in before.packets if each.source != CALLER.rtp or each.ts_ns < script.at_ns(3.0)]
    found = do_import(tmp_path, early + late + dialog.packets)
    assert differences(found.archive, [before]) == []
    assert found.only["outcome"] == "recorded"


UNREADABLE = {
    "no key": b"",
    "dtls": b"a=fingerprint:sha-256 " + b":".join([b"AB"] * 32),
    "zrtp": b"a=zrtp-hash:1.10 " + b"ab" * 32,
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_srtp_without_keys_is_told_and_not_recorded(kind: str, tmp_path: Path) -> None:
    played = srtp_call()

    def change(_: Address, body: bytes) -> bytes:
        lines = [UNREADABLE[kind] if line.startswith(b"a=crypto") else line for line in body.split(b"\r\n")]
        sdp = b"\r\n".join(line for line in lines if line) + b"\r\n"
        if kind == "dtls":
            sdp = sdp.replace(b"RTP/SAVP ", b"UDP/TLS/RTP/SAVP ")
        return sdp.replace(b"RTP/SAVP ", b"RTP/AVP ") if kind == "zrtp" else sdp

    found = do_import(tmp_path, redescribed(played.packets, change))
    assert (found.only["outcome"], found.only["reasons"]) == ("not_recorded", ["encrypted"])
    assert {each["reason"] for each in found.only["unrecorded"]} == {"encrypted"}
    assert not found.parts


def test_srtp_that_nobody_announced_is_told(tmp_path: Path) -> None:
    """ZRTP between two telephones: described as a plain call, but the payloads are longer than their time."""
    played = srtp_call()

    def change(_: Address, body: bytes) -> bytes:
        lines = [line for line in body.split(b"\r\n") if not line.startswith(b"a=crypto")]
        return b"\r\n".join(lines).replace(b"RTP/SAVP ", b"RTP/AVP ")

    found = do_import(tmp_path, redescribed(played.packets, change))
    assert (found.only["outcome"], found.only["reasons"]) == ("not_recorded", ["encrypted"])
    assert not found.parts


@pytest.mark.parametrize(
    "line", [b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + b"A" * 40, b"a=zrtp-hash:1.10 " + b"ab" * 32]
)
def test_encryption_that_was_offered_and_not_used(line: bytes, tmp_path: Path) -> None:
    played = play(call())
    found = do_import(tmp_path, redescribed(played.packets, lambda _, body: body + line + b"\r\n"))
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "recorded"


def test_wrong_keys_are_no_noise(tmp_path: Path) -> None:
    played = srtp_call()

    broken = [
        replace(p, payload=p.payload[:-1] + bytes([p.payload[-1] ^ 1])) if is_media(p) else p for p in played.packets
    ]
    found = do_import(tmp_path, broken)
    assert (found.only["outcome"], found.only["reasons"]) == ("not_recorded", ["encrypted"])
    assert not found.parts


def test_call_that_becomes_a_fax(tmp_path: Path) -> None:
    """Speech first, then T.38: the speech is recorded, the fax is told."""
    script = call(caller_media=media(3.0, 1), callee_media=media(3.0, 2))
    played = play(script)
    dialog = writer()
    dialog._cseq = {Side.CALLER: 200, Side.CALLEE: 300}

    def image(party: Any) -> bytes:
        return (
            f"v=0\r\no=- 1 2 IN IP4 {party.rtp.host}\r\ns=-\r\nc=IN IP4 {party.rtp.host}\r\nt=0 0\r\n"
            f"m=image {party.rtp.port} udptl t38\r\na=T38FaxVersion:0\r\n"
        ).encode()

    request = dialog.request(script.at_ns(3.1), Side.CALLEE, "INVITE", body=image(CALLEE))
    dialog.respond(script.at_ns(3.1) + 5 * MS, Side.CALLER, "200 OK", request, body=image(CALLER))
    dialog.request(script.at_ns(3.1) + 9 * MS, Side.CALLEE, "ACK")
    fax = [
        Packet(ts_ns=script.at_ns(3.2) + n * 30 * MS, source=CALLER.rtp, destination=CALLEE.rtp,
               payload=n.to_bytes(2, "big") + b"\x06\x00\x00\x01\x00")
        for n in range(80)
    ]  # fmt: skip
    found = do_import(tmp_path, played.packets + dialog.packets + fax)
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] in ("recorded", "partly")


def test_figures_of_an_ordinary_call(tmp_path: Path) -> None:
    """What a reader of the record finds: times, parties, durations."""
    played = play(call(headers=(("P-Asserted-Identity", "<sip:0335559999@example.jp>"),
                                ("Diversion", "<sip:0335558888@example.jp>;reason=unconditional"))))  # fmt: skip
    found: Imported = do_import(tmp_path, played.packets)
    record, script = found.only, played.script
    assert nanoseconds(record["started_at"]) == script.start_ns
    assert nanoseconds(record["answered_at"]) == script.answer_ns
    assert nanoseconds(record["ended_at"]) == script.end_ns
    assert nanoseconds(record["origin_at"]) == script.answer_ns
    assert record["duration_s"] == 6.0
    assert (record["caller"]["number"], record["callee"]["number"]) == (CALLER.number, CALLEE.number)
    assert (record["dialled"], record["direction"], record["line"]) == (CALLEE.number, "unk", None)
    assert (record["asserted"], record["diversion"]) == (["0335559999"], ["0335558888"])
    assert record["codecs"] == ["PCMU"]
    assert record["end_cause"] == "bye"
    assert record["parts"][0]["name"].startswith("20260102T020406+0900_unk_0335550101_0698765432_")
    assert record["call_id"][:10] in record["parts"][0]["name"]
    side = record["sides"][0]
    assert (side["lost"], side["duplicates"], side["reordered"], side["too_late"]) == (0, 0, 0, 0)
    assert side["mos"] == pytest.approx(4.4, abs=0.1)
