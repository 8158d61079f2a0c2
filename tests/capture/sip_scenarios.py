"""Realistic SIP flows as a mirror shows them."""

from collections.abc import Callable

from capture.sipcall import Side
from tests.capture.sip_dialogs import (
    A_NUMBER,
    ANSWER,
    B_NUMBER,
    C_NUMBER,
    CALLEE,
    CALLER,
    OFFER,
    PROXY,
    SECOND_NS,
    A,
    B,
    C,
    Dialog,
    Packet,
    sdp,
)


def plain() -> list[Packet]:
    dialog = Dialog()
    dialog.establish()
    dialog.wait(10)
    dialog.finish()
    return dialog.packets


def late_offer() -> list[Packet]:
    """INVITE without a description: the 200 offers, the ACK answers."""
    dialog = Dialog()
    dialog.begin(body=b"")
    dialog.response(180)
    dialog.answer(body=ANSWER, ack=OFFER)
    dialog.wait(5)
    dialog.finish(CALLEE)
    return dialog.packets


def reliable_provisional() -> list[Packet]:
    """Early media in a reliable 183, PRACK with a new offer, a 200 without description."""
    dialog = Dialog()
    dialog.begin()
    invite = dialog.cseq[CALLER]
    dialog.response(183, "RSeq: 1", "Require: 100rel", body=ANSWER)
    dialog.request("PRACK", f"RAck: 1 {invite} INVITE", body=sdp(port=40100))
    dialog.response(200, method="PRACK", body=sdp("192.0.2.20", 50100))
    dialog.wait(3)
    dialog.response(200, cseq=invite)
    dialog.request("ACK", cseq=invite)
    dialog.wait(5)
    dialog.finish()
    return dialog.packets


def update_in_call() -> list[Packet]:
    """The callee moves its media with UPDATE."""
    dialog = Dialog()
    dialog.establish()
    dialog.wait(5)
    dialog.change(sdp("192.0.2.21", 50200), OFFER, by=CALLEE, method="UPDATE")
    dialog.wait(5)
    dialog.finish()
    return dialog.packets


def hold_and_resume(by: Side = CALLER, hold: str = "sendonly") -> list[Packet]:
    dialog = Dialog()
    dialog.establish()
    here, there = ((OFFER, ANSWER), (ANSWER, OFFER))[by is CALLEE]
    ip, port = ("192.0.2.10", 40000) if by is CALLER else ("192.0.2.20", 50000)
    other_ip, other_port = ("192.0.2.20", 50000) if by is CALLER else ("192.0.2.10", 40000)
    held = "recvonly" if hold == "sendonly" else "inactive"
    dialog.wait(10)
    dialog.change(sdp(ip, port, direction=hold), sdp(other_ip, other_port, direction=held), by=by)
    dialog.wait(20)
    dialog.change(here, there, by=by)
    dialog.wait(10)
    dialog.finish()
    return dialog.packets


def old_hold() -> list[Packet]:
    """Hold with c=0.0.0.0, as before RFC 3264."""
    dialog = Dialog()
    dialog.establish()
    dialog.wait(10)
    dialog.change(sdp("0.0.0.0"), ANSWER)
    dialog.wait(20)
    dialog.change(OFFER, ANSWER)
    dialog.wait(10)
    dialog.finish()
    return dialog.packets


def codec_change() -> list[Packet]:
    dialog = Dialog()
    dialog.establish()
    dialog.wait(4)
    dialog.change(sdp(formats="8", maps=()), sdp("192.0.2.20", 50000, formats="8", maps=()))
    dialog.wait(4)
    dialog.finish()
    return dialog.packets


def authenticated() -> list[Packet]:
    dialog = Dialog()
    dialog.begin()
    dialog.response(407, to_tag="proxy1")
    dialog.request("ACK", to_tag="proxy1", branch=f"{dialog.cseq[CALLER]}{dialog.call_id[:4]}{A.port}{A.ip.hex()}")
    dialog.establish("Proxy-Authorization: Digest")
    dialog.wait(5)
    dialog.request("BYE")
    dialog.response(407, method="BYE")
    dialog.finish()
    return dialog.packets


def cancelled() -> list[Packet]:
    dialog = Dialog()
    dialog.begin()
    dialog.response(180)
    dialog.wait(5)
    dialog.request("CANCEL", to_tag="")
    dialog.response(200, method="CANCEL")
    dialog.response(487)
    _ack_failure(dialog)
    return dialog.packets


def rejected(status: int = 486) -> list[Packet]:
    dialog = Dialog()
    dialog.begin()
    dialog.response(180)
    dialog.response(status)
    _ack_failure(dialog)
    return dialog.packets


def _ack_failure(dialog: Dialog) -> None:
    """The ACK that belongs to the INVITE's own transaction."""
    dialog.request("ACK", branch=f"{dialog.cseq[CALLER]}{dialog.call_id[:4]}{A.port}{A.ip.hex()}")


def retried_after_488() -> list[Packet]:
    """488, then another INVITE with plainer media."""
    dialog = Dialog()
    dialog.begin(body=sdp(formats="9", maps=()))
    dialog.response(488, to_tag="no1")
    dialog.establish()
    dialog.wait(2)
    dialog.finish()
    return dialog.packets


def forked() -> list[Packet]:
    """A proxy forks behind our back and two telephones answer; the caller says BYE to the second."""
    dialog = Dialog()
    dialog.begin()
    dialog.response(180, to_tag="to1")
    dialog.response(180, to_tag="to2")
    dialog.response(200, body=ANSWER, to_tag="to1")
    dialog.response(200, body=sdp("192.0.2.30", 60000), to_tag="to2")
    dialog.request("ACK", to_tag="to1")
    dialog.request("ACK", to_tag="to2")
    dialog.request("BYE", to_tag="to2")
    dialog.response(200, method="BYE", to_tag="to2")
    dialog.wait(10)
    dialog.request("BYE", to_tag="to1")
    dialog.response(200, method="BYE", to_tag="to1")
    return dialog.packets


def forking_proxy() -> list[Packet]:
    """Both sides of a forking proxy: B is busy, C answers, and the caller is told of C only."""
    dialog = Dialog(b=PROXY)
    dialog.begin()
    dialog.request("INVITE", body=OFFER, to_tag="", cseq=dialog.cseq[CALLER], at=(PROXY, B))
    dialog.request("INVITE", body=OFFER, to_tag="", cseq=dialog.cseq[CALLER], at=(PROXY, C))
    dialog.response(180, to_tag="to2", at=(C, PROXY))
    dialog.response(180, to_tag="to2", at=(PROXY, A))
    dialog.response(486, to_tag="to1", at=(B, PROXY))
    dialog.request("ACK", to_tag="to1", at=(PROXY, B), branch=f"{dialog.cseq[CALLER]}{dialog.call_id[:4]}5060c0000205")
    dialog.wait(60)
    dialog.response(200, to_tag="to2", body=ANSWER, at=(C, PROXY))
    dialog.response(200, to_tag="to2", body=ANSWER, at=(PROXY, A))
    dialog.to_tag = "to2"
    dialog.request("ACK")
    dialog.wait(5)
    dialog.finish()
    return dialog.packets


def relayed() -> list[Packet]:
    """Two hops of one dialog: a proxy with a media relay in the middle rewrites both descriptions."""
    dialog = Dialog(b=PROXY)
    relay_a, relay_b = sdp("192.0.2.5", 10000), sdp("192.0.2.5", 20000, formats="0 101")
    dialog.begin()
    dialog.request("INVITE", body=relay_a, to_tag="", cseq=dialog.cseq[CALLER], at=(PROXY, B))
    for hop in ((B, PROXY), (PROXY, A)):
        dialog.response(180, at=hop)
    dialog.response(200, body=ANSWER, at=(B, PROXY))
    dialog.response(200, body=relay_b, at=(PROXY, A))
    dialog.request("ACK")
    dialog.request("ACK", at=(PROXY, B))
    dialog.wait(5)
    dialog.request("BYE")
    dialog.request("BYE", cseq=dialog.cseq[CALLER], at=(PROXY, B))
    for hop in ((B, PROXY), (PROXY, A)):
        dialog.response(200, method="BYE", at=hop)
    return dialog.packets


def blind_transfer() -> list[Packet]:
    """B sends A to C with REFER; A calls C."""
    first = Dialog()
    first.establish()
    first.wait(5)
    first.request("REFER", f"Refer-To: <sip:{C_NUMBER}@192.0.2.99>", "Referred-By: <sip:b@192.0.2.20>", by=CALLEE)
    first.response(202, method="REFER", to=CALLEE)
    first.request("NOTIFY", "Event: refer", "Subscription-State: active", body=b"SIP/2.0 100", kind="message/sipfrag")
    second = Dialog(
        call_id="second@192.0.2.10", b=C, numbers=(A_NUMBER, C_NUMBER), from_tag="from2", to_tag="to9",
        now_ns=first.now_ns + SECOND_NS,
    )  # fmt: skip
    second.establish(answer=sdp("192.0.2.30", 60000))
    first.now_ns = second.now_ns
    first.finish(CALLEE)
    second.wait(5)
    second.finish()
    return sorted([*first.packets, *second.packets])


def attended_transfer() -> list[Packet]:
    """A talks to B and to C; B is sent to C by REFER with Replaces, and its INVITE replaces the call of A and C."""
    first = Dialog()
    first.establish()
    first.wait(5)
    consultation = Dialog(
        call_id="consult@192.0.2.10", b=C, numbers=(A_NUMBER, C_NUMBER), from_tag="fc", to_tag="tc", now_ns=first.now_ns
    )
    consultation.establish(answer=sdp("192.0.2.30", 60000))
    first.now_ns = consultation.now_ns
    target = f"<sip:{C_NUMBER}@192.0.2.30?Replaces=consult%40192.0.2.10%3Bto-tag%3Dtc%3Bfrom-tag%3Dfc>"
    first.request("REFER", f"Refer-To: {target}")
    first.response(202, method="REFER")
    third = Dialog(
        call_id="third@192.0.2.20", a=B, b=C, numbers=(B_NUMBER, C_NUMBER), from_tag="fb", to_tag="td",
        now_ns=first.now_ns + SECOND_NS // 2,
    )  # fmt: skip
    third.establish("Replaces: consult@192.0.2.10;to-tag=tc;from-tag=fc", offer=ANSWER, answer=sdp("192.0.2.30", 60010))
    consultation.now_ns = first.now_ns = third.now_ns
    consultation.finish(CALLEE)
    first.finish()
    third.wait(5)
    third.finish()
    return sorted([*first.packets, *consultation.packets, *third.packets])


def session_timer(refreshes: int = 2) -> list[Packet]:
    """Refreshed by UPDATE, then nothing more: the BYE was lost."""
    dialog = Dialog()
    dialog.begin("Session-Expires: 1800", "Supported: timer")
    dialog.answer("Session-Expires: 1800;refresher=uac")
    for _ in range(refreshes):
        dialog.wait(900)
        dialog.request("UPDATE", "Session-Expires: 1800;refresher=uac")
        dialog.response(200, "Session-Expires: 1800;refresher=uac", method="UPDATE")
    return dialog.packets


def glare() -> list[Packet]:
    """Both sides put the other on hold at once: 491 both ways, then the caller tries again."""
    dialog = Dialog()
    dialog.establish()
    dialog.wait(5)
    dialog.request("INVITE", by=CALLER, body=sdp(direction="sendonly", port=41000))
    dialog.request("INVITE", by=CALLEE, body=sdp("192.0.2.20", 51000, direction="sendonly"))
    dialog.response(491, to=CALLER)
    dialog.response(491, to=CALLEE)
    dialog.request("ACK", by=CALLER, branch=f"{dialog.cseq[CALLER]}{dialog.call_id[:4]}{A.port}{A.ip.hex()}")
    dialog.request("ACK", by=CALLEE, branch=f"{dialog.cseq[CALLEE]}{dialog.call_id[:4]}{B.port}{B.ip.hex()}")
    dialog.wait(2.5)
    dialog.change(sdp(direction="sendonly"), sdp("192.0.2.20", 50000, direction="recvonly"))
    dialog.wait(5)
    dialog.finish()
    return dialog.packets


def repeated_bye() -> list[Packet]:
    dialog = Dialog()
    dialog.establish()
    dialog.wait(5)
    dialog.request("BYE")
    for pause in (0.5, 1, 2, 4):
        dialog.wait(pause)
        dialog.request("BYE", cseq=dialog.cseq[CALLER])
    dialog.response(200, method="BYE")
    return dialog.packets


def recording_session() -> list[Packet]:
    """SIPREC: two audio lines, sent only; then a pause."""
    both = sdp(direction="sendonly", more="m=audio 40002 RTP/AVP 0\r\na=sendonly\r\n")
    paused = sdp(direction="inactive", more="m=audio 40002 RTP/AVP 0\r\na=inactive\r\n")
    answer = sdp("192.0.2.20", 50000, direction="recvonly", more="m=audio 50002 RTP/AVP 0\r\na=recvonly\r\n")
    answer_paused = sdp("192.0.2.20", 50000, direction="inactive", more="m=audio 50002 RTP/AVP 0\r\na=inactive\r\n")
    dialog = Dialog()
    dialog.establish(offer=both, answer=answer)
    dialog.wait(5)
    dialog.change(both, answer)
    dialog.wait(5)
    dialog.change(paused, answer_paused)
    dialog.wait(5)
    dialog.change(both, answer)
    dialog.wait(5)
    dialog.finish()
    return dialog.packets


def digits_by_info() -> list[Packet]:
    dialog = Dialog()
    dialog.establish()
    for digit in "1#":
        dialog.wait(1)
        body = f"Signal={digit}\r\nDuration=160\r\n".encode()
        dialog.request("INFO", body=body, kind="application/dtmf-relay")
        dialog.response(200, method="INFO")
    dialog.request("INFO", by=CALLEE, body=b"7", kind="application/dtmf")
    dialog.wait(1)
    dialog.finish()
    return dialog.packets


SCENARIOS: dict[str, Callable[[], list[Packet]]] = {
    flow.__name__: flow
    for flow in (
        plain, late_offer, reliable_provisional, update_in_call, hold_and_resume, old_hold, codec_change, authenticated,
        cancelled, rejected, retried_after_488, forked, forking_proxy, relayed, blind_transfer, attended_transfer,
        session_timer, glare, repeated_bye, recording_session, digits_by_info,
    )
}  # fmt: skip
"""All flows by name."""
