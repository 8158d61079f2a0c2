"""What both sides said about their media, and hold."""

import pytest

from capture.sipcall import CallState, Hold, Side, SipCall
from tests.capture import sip_scenarios as flows
from tests.capture.sip_dialogs import (
    ANSWER,
    CALLEE,
    CALLER,
    OFFER,
    PROXY,
    SECOND_NS,
    START_NS,
    A,
    B,
    Dialog,
    only_call,
    sdp,
)


def seconds(ns: int | None) -> float | None:
    return None if ns is None else (ns - START_NS) / SECOND_NS


def addresses(call: SipCall, side: Side) -> list[tuple[str, int]]:
    return [(".".join(map(str, epoch.ip or b"")), epoch.port) for epoch in call.media if epoch.side is side]


def test_late_offer_turns_the_roles_of_offer_and_answer():
    call = only_call(flows.late_offer())
    assert addresses(call, CALLER) == [("192.0.2.10", 40000)]
    assert addresses(call, CALLEE) == [("192.0.2.20", 50000)]
    assert (call.ended_by, call.holds) == (CALLEE, [])


def test_prack_carries_an_offer():
    call = only_call(flows.reliable_provisional())
    assert addresses(call, CALLER) == [("192.0.2.10", 40000), ("192.0.2.10", 40100)]
    assert addresses(call, CALLEE) == [("192.0.2.20", 50000), ("192.0.2.20", 50100)]
    assert [epoch.provisional for epoch in call.media] == [False, True, False, False]
    assert seconds(call.answered_ns) == pytest.approx(3.05)


def test_update_moves_the_media():
    call = only_call(flows.update_in_call())
    assert addresses(call, CALLEE) == [("192.0.2.20", 50000), ("192.0.2.21", 50200)]
    assert addresses(call, CALLER) == [("192.0.2.10", 40000)]


def test_codec_change():
    call = only_call(flows.codec_change())
    assert [(epoch.side, list(epoch.codecs.values())) for epoch in call.media[2:]] == [
        (CALLER, ["PCMA"]),
        (CALLEE, ["PCMA"]),
    ]


def test_relayed_call_is_one_call_with_both_addresses_of_each_side():
    call = only_call(flows.relayed())
    assert call.hops == [(A, PROXY), (PROXY, B)]
    assert addresses(call, CALLER) == [("192.0.2.10", 40000), ("192.0.2.5", 10000)]
    assert addresses(call, CALLEE) == [("192.0.2.20", 50000), ("192.0.2.5", 20000)]


@pytest.mark.parametrize("by", [CALLER, CALLEE])
@pytest.mark.parametrize("way", ["sendonly", "inactive"])
def test_hold_and_resume(by: Side, way: str):
    packets = flows.hold_and_resume(by, way)
    call = only_call(packets)
    held, resumed = packets[6][0], packets[9][0]
    assert call.holds == [Hold(start_ns=held, end_ns=resumed, by=by)]
    assert [call.held_at(ns) for ns in (held - 1, held, resumed - 1, resumed)] == [False, True, True, False]


def test_hold_by_the_unspecified_address():
    assert [(hold.by, hold.end_ns is not None) for hold in only_call(flows.old_hold()).holds] == [(CALLER, True)]


def test_both_sides_hold_and_resume_in_turn():
    dialog = Dialog()
    dialog.establish()
    for offer, answer, by in (
        ("sendonly", "recvonly", CALLER),
        ("inactive", "inactive", CALLEE),
        ("inactive", "inactive", CALLER),
        ("recvonly", "sendonly", CALLEE),
        ("sendrecv", "sendrecv", CALLER),
    ):
        dialog.wait(1)
        here, there = (("192.0.2.10", 40000), ("192.0.2.20", 50000))[:: 1 if by is CALLER else -1]
        dialog.change(sdp(*here, direction=offer), sdp(*there, direction=answer), by=by)
    call = only_call(dialog.packets)
    answers = [ts_ns for ts_ns, _, _, data in dialog.packets if data.startswith(b"SIP/2.0 200")][1:]
    assert call.holds == [
        Hold(start_ns=answers[0], end_ns=answers[4], by=CALLER),
        Hold(start_ns=answers[1], end_ns=answers[3], by=CALLEE),
    ]


def test_open_hold_ends_with_the_call():
    dialog = Dialog()
    dialog.establish()
    dialog.change(sdp(direction="sendonly"), sdp("192.0.2.20", 50000, direction="recvonly"))
    dialog.finish()
    call = only_call(dialog.packets)
    assert [hold.end_ns for hold in call.holds] == [call.ended_ns]


def test_multicast_music_on_hold_does_not_end_the_hold():
    dialog = Dialog()
    dialog.establish()
    dialog.change(sdp("0.0.0.0", 50000, direction="inactive"), sdp(direction="inactive"), by=CALLEE)
    dialog.change(
        sdp("239.1.1.1", 16384, direction="recvonly"), sdp("239.1.1.1", 16384, direction="recvonly"), by=CALLEE
    )
    assert [(hold.by, hold.end_ns) for hold in only_call(dialog.packets).holds] == [(CALLEE, None)]


def test_rejected_offers_are_withdrawn():
    call = only_call(flows.glare())
    assert {port for _, port in addresses(call, CALLER) + addresses(call, CALLEE)} == {40000, 50000}
    assert [hold.by for hold in call.holds] == [CALLER]


def test_recording_session_holds_only_when_it_pauses():
    packets = flows.recording_session()
    call = only_call(packets)
    assert [epoch.m_line for epoch in call.media[:4]] == [0, 1, 0, 1]
    assert [(hold.by, hold.start_ns, hold.end_ns) for hold in call.holds] == [
        (CALLER, packets[9][0], packets[12][0]),
    ]


def test_refused_and_secured_streams():
    key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd"
    offer = sdp(
        protocol="RTP/SAVP",
        lines=(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}", "a=ptime:30"),
        more="m=video 40002 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=fingerprint:sha-1 00\r\n",
    )
    answer = sdp("192.0.2.20", 50000, protocol="RTP/SAVP", more="m=video 0 RTP/SAVP 96\r\n")
    dialog = Dialog()
    dialog.establish(offer=offer, answer=answer)
    audio, video, answered, refused = only_call(dialog.packets).media
    assert audio.crypto == [(1, "AES_CM_128_HMAC_SHA1_80", bytes(range(30)))]
    assert (audio.secured, audio.ptime_ms, audio.rtcp_port) == ("sdes", 30, 40001)
    assert (video.secured, answered.secured) == ("dtls", "unknown")
    assert (refused.port, refused.rtcp_port, refused.media) == (0, 0, "video")


def test_g711_at_other_rates_is_not_called_g711():
    dialog = Dialog()
    dialog.begin(body=sdp(formats="0 96 97", maps=("96 PCMU/16000", "97 PCMA/8000/2")))
    assert only_call(dialog.packets).media[0].codecs == {0: "PCMU", 96: "PCMU/16000", 97: "PCMA/8000/2"}


def test_unreadable_description_is_counted_and_the_call_goes_on():
    dialog = Dialog()
    dialog.establish(answer=b"\x00\x01\x02 no description")
    call = only_call(dialog.packets)
    assert (call.state, call.malformed_sdp, len(call.media)) == (CallState.ANSWERED, 1, 1)


def test_many_exchanges_stay_bounded_and_old_ones_stay_known():
    dialog = Dialog()
    dialog.establish()
    for index in range(100):
        dialog.change(sdp(port=20000 + 2 * index), ANSWER)
    packets = dialog.packets
    call = only_call([*packets, *packets[5:8]])
    assert len(call.negotiation.exchanges) == 32
    assert addresses(call, CALLER)[-1] == ("192.0.2.10", 20198)
    assert len(call.media) == 2 + 100


def test_offer_of_the_callee_is_the_callees():
    dialog = Dialog()
    dialog.establish()
    dialog.change(ANSWER, OFFER, by=CALLEE)
    assert len(only_call(dialog.packets).media) == 2, "a refresh adds no epoch"


def test_everything_a_call_keeps_is_bounded():
    dialog = Dialog()
    dialog.establish()
    for index in range(600):
        held = "sendonly" if index % 2 else "sendrecv"
        dialog.change(sdp(port=20000 + 2 * index, direction=held), sdp("192.0.2.20", 50000 + 2 * index))
        dialog.request("INFO", body=b"Signal=1\r\n", kind="application/dtmf-relay")
    for index in range(40):
        dialog.response(200, body=sdp("192.0.2.20", 30000 + 2 * index), cseq=dialog.cseq[CALLER] - 1)
    call = only_call(dialog.packets)
    assert (len(call.media), len(call.holds), len(call.dtmf_info)) == (512, 300, 600)
    assert call.overflow > 0
    assert len(call.negotiation.counted_cseq[CALLER]) == 64


def test_side_that_never_moved_is_not_forgotten():
    dialog = Dialog()
    dialog.establish()
    for index in range(600):
        dialog.change(sdp(port=20000 + 2 * index), ANSWER)
    call = only_call(dialog.packets)
    assert len(call.media) == 512
    assert addresses(call, CALLEE) == [("192.0.2.20", 50000)]


def test_lost_failure_of_a_reinvite_is_proved_by_its_ack():
    dialog = Dialog()
    dialog.establish()
    dialog.request("INVITE", body=sdp(port=41000, direction="sendonly"), branch="one")
    dialog.request("ACK", branch="one")
    call = only_call(dialog.packets)
    assert addresses(call, CALLER) == [("192.0.2.10", 40000)]
    assert call.holds == []


def test_lost_200_of_a_reinvite_is_proved_by_its_ack():
    dialog = Dialog()
    dialog.establish()
    dialog.request("INVITE", body=sdp(port=41000, direction="sendonly"))
    dialog.request("ACK")
    call = only_call(dialog.packets)
    assert [(hold.by, hold.start_ns) for hold in call.holds] == [(CALLER, dialog.packets[-1][0])]


def test_fax_takes_the_place_of_audio_without_a_hold():
    fax = b"v=0\r\nc=IN IP4 192.0.2.20\r\nm=image 50004 udptl t38\r\n"
    dialog = Dialog()
    dialog.establish()
    dialog.change(fax, fax.replace(b"192.0.2.20", b"192.0.2.10"), by=CALLEE)
    call = only_call(dialog.packets)
    assert [epoch.media for epoch in call.media] == ["audio", "audio", "image", "image"]
    assert call.holds == []
