"""Session descriptions as telephones and gateways write them, in whole calls: the right streams on the right side."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.recorded_truth import differences
from tests.scenario import CALLEE, CALLER, call, do_import, media, moved, redescribed, without
from tests.traffic.calls import play
from tests.traffic.media import send
from tests.traffic.pcapwriter import Address, Packet, Transport, Wire, frames_of
from tests.traffic.signalling import DialogWriter, Side, session

MS = 1_000_000


def first_line_refused(source: Address, body: bytes) -> bytes:
    """The first audio line is refused (RFC 3264 section 6), the second is the speech."""
    head, line, rest = body.partition(b"m=audio ")
    refused = b"m=audio 0 RTP/AVP 9\r\n" if source == CALLEE.sip else b"m=audio 19998 RTP/AVP 9\r\n"
    return head + refused + line + rest


def address_in_the_media(_source: Address, body: bytes) -> bytes:
    """Another c= line for the session, which the one of the media overrides (RFC 8866 section 5.7)."""
    (own,) = [line for line in body.split(b"\r\n") if line.startswith(b"c=")]
    body = body.replace(own, b"c=IN IP4 192.0.2.99", 1)
    return body.replace(b"\r\na=rtpmap", b"\r\n" + own + b"\r\na=rtpmap", 1)


def video_first(_source: Address, body: bytes) -> bytes:
    """Video that is refused by both, before the speech."""
    head, line, rest = body.partition(b"m=audio ")
    return head + b"m=video 0 RTP/AVP 31\r\n" + line + rest


def bare_lines(_source: Address, body: bytes) -> bytes:
    """Line ends without CR (RFC 8866 section 5: to be accepted)."""
    return body.replace(b"\r\n", b"\n")


def no_direction_no_maps(_source: Address, body: bytes) -> bytes:
    """Static payload types need no rtpmap, and sendrecv is the default."""
    return b"".join(line + b"\r\n" for line in body.splitlines() if line[:8] not in (b"a=rtpmap", b"a=sendre"))


def unknown_things(_source: Address, body: bytes) -> bytes:
    """Bandwidth, ICE, statistics: whatever vendors add."""
    return (
        body.replace(
            b"t=0 0\r\n", b"b=AS:84\r\nt=0 0\r\na=X-nat:0\r\na=ice-ufrag:F7gI\r\na=ice-pwd:x9cml/YzichV2+XlhiMu8g\r\n"
        )
        + b"a=candidate:1 1 UDP 2130706431 10.77.0.11 16384 typ host\r\na=maxptime:150\r\n"
        b"i=\xe5\x8f\x97\xe4\xbb\x98\r\n"
    )


@pytest.mark.parametrize(
    "change",
    [first_line_refused, address_in_the_media, video_first, bare_lines, no_direction_no_maps, unknown_things],
    ids=lambda change: change.__name__,
)
def test_descriptions(change: Callable[[Address, bytes], bytes], tmp_path: Path) -> None:
    played = play(call())
    found = do_import(tmp_path, redescribed(played.packets, change))
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["unrecorded"]) == ("recorded", [])


@pytest.mark.parametrize("transport", Transport)
def test_a_body_of_several_parts(transport: Transport, tmp_path: Path) -> None:
    """The description is one part of a multipart body (RFC 5621), beside ISUP and a picture."""
    played = play(call(transport=transport))

    def packed(packet: Packet) -> Packet:
        head, separator, body = packet.payload.partition(b"\r\n\r\n")
        if not body.startswith(b"v=0"):
            return packet
        parts = b"--b1\r\nContent-Type: application/isup\r\n\r\n\x01\x00--\r\n\r\n--b1\r\n"
        parts += b"Content-Type: application/sdp\r\n\r\n" + body + b"\r\n--b1--\r\n"
        kept = [line for line in head.split(b"\r\n") if not line.startswith((b"Content-Type", b"Content-Length"))]
        fields = [b"Content-Type: multipart/mixed;boundary=b1", b"Content-Length: %d" % len(parts)]
        return replace(packet, payload=b"\r\n".join([*kept, *fields]) + separator + parts)

    found = do_import(tmp_path, [packed(packet) for packet in played.packets])
    assert differences(found.archive, [played]) == []
    assert found.only["outcome"] == "recorded"


@pytest.mark.parametrize("transport", Transport)
def test_signalling_on_a_port_of_its_own(transport: Transport, tmp_path: Path) -> None:
    """Nothing says that 15070 and 40777 carry SIP, but what they carry."""
    caller = replace(CALLER, sip=Address(CALLER.sip.host, 40_777))
    callee = replace(CALLEE, sip=Address(CALLEE.sip.host, 15_070))
    played = play(call(caller=caller, callee=callee, transport=transport))
    found = do_import(tmp_path, played.packets)
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["dialled"]) == ("recorded", CALLEE.number)


@pytest.mark.parametrize("lost", range(1, 8))
def test_a_tcp_segment_that_the_mirror_lost(lost: int, tmp_path: Path) -> None:
    """The stream goes on behind the hole with the next message; all speech is there."""
    played = play(call(transport=Transport.TCP))
    frames = frames_of(played.packets, Wire(tcp_segment_bytes=400))
    signalling = [place for place, frame in enumerate(frames) if frame.octets[23] == 6 and len(frame.octets) > 60]
    del frames[signalling[lost]]
    found = do_import(tmp_path, frames)
    heard = sum(side["packets"] for record in found.records for side in record["sides"])
    assert heard == sum(truth.packets for truths in played.truths.values() for truth in truths)


def test_update_before_the_answer_moves_the_media(tmp_path: Path) -> None:
    """Early media from an announcement server; UPDATE (RFC 3311) names the telephone before it answers."""
    script = call(ring_s=4.0, caller_media=media(6.0, 1), callee_media=media(6.0, 2))
    played = play(script)
    server = Address("10.77.8.77", 31_000)
    dialog = DialogWriter(call_id=script.call_id, caller=CALLER, callee=CALLEE)
    dialog._cseq = {Side.CALLER: 100, Side.CALLEE: 300}
    invite = dialog.request(
        script.start_ns, Side.CALLER, "INVITE", body=session(CALLER, script.caller_media), in_dialog=False
    )
    announced = replace(CALLEE, rtp=server)
    dialog.respond(
        script.start_ns + 500 * MS,
        Side.CALLEE,
        "183 Session Progress",
        invite,
        headers=(("Require", "100rel"), ("RSeq", "7")),
        body=session(announced, script.callee_media, offer=False),
    )
    prack = dialog.request(script.start_ns + 510 * MS, Side.CALLER, "PRACK", headers=(("RAck", "7 101 INVITE"),))
    dialog.respond(script.start_ns + 515 * MS, Side.CALLEE, "200 OK", prack)
    update = dialog.request(
        script.answer_ns - 600 * MS, Side.CALLEE, "UPDATE", body=session(CALLEE, script.callee_media, version=2)
    )
    answer = session(CALLER, script.caller_media, version=2, offer=False)
    dialog.respond(script.answer_ns - 590 * MS, Side.CALLER, "200 OK", update, body=answer)
    dialog.respond(script.answer_ns, Side.CALLEE, "200 OK", invite)
    early = send(media(2.6, 9), server, CALLER.rtp, script.start_ns + 600 * MS)
    rest = [
        packet for packet in played.packets if packet.ts_ns > script.answer_ns + 5 * MS or packet.payload[0] >> 6 == 2
    ]
    found = do_import(tmp_path, without([*dialog.packets, *rest, *early.packets], "SIP/2.0 180"))
    truths = {**played.truths, Side.CALLEE: (*early.truths, *played.truths[Side.CALLEE])}
    assert differences(found.archive, [replace(played, truths=truths)]) == []
    assert found.only["outcome"] == "recorded"


def test_a_new_offer_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    """488 to a re-INVITE with another address and codec: the session stays as it was (RFC 3261 section 14.1)."""
    script = call(talk_s=8.0, caller_media=media(8.0, 1), callee_media=media(8.0, 2))
    played = play(script)
    dialog = DialogWriter(call_id=script.call_id, caller=CALLER, callee=CALLEE)
    dialog._cseq = {Side.CALLER: 200, Side.CALLEE: 300}
    offer = session(moved(CALLER, rtp_port=17_000), media(1.0, 1, codec="G729"), version=2, direction="inactive")
    invite = dialog.request(script.at_ns(3.0), Side.CALLER, "INVITE", body=offer)
    dialog.respond(script.at_ns(3.0) + 5 * MS, Side.CALLEE, "488 Not Acceptable Here", invite)
    dialog.request(script.at_ns(3.0) + 9 * MS, Side.CALLER, "ACK")
    found = do_import(tmp_path, [*played.packets, *dialog.packets])
    assert differences(found.archive, [played]) == []
    assert (found.only["outcome"], found.only["holds"]) == ("recorded", [])
