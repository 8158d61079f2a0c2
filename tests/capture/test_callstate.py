"""States of a call: answers, failures, forks, losses, timers."""

import pytest

from capture.sip import parse
from capture.sipcall import CallState, EndCause, Side, SipCall
from tests.capture import sip_scenarios as flows
from tests.capture.sip_dialogs import (
    A_NUMBER,
    ANSWER,
    B_NUMBER,
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
    play,
    sdp,
)


def seconds(ns: int | None) -> float | None:
    return None if ns is None else (ns - START_NS) / SECOND_NS


def addresses(call: SipCall, side: Side) -> list[tuple[str, int]]:
    return [(".".join(map(str, epoch.ip or b"")), epoch.port) for epoch in call.media if epoch.side is side]


def test_plain_call():
    call = only_call(flows.plain())
    assert (call.state, call.end_cause, call.ended_by) == (CallState.ENDED, EndCause.BYE, CALLER)
    assert seconds(call.ringing_ns) == pytest.approx(0.52)
    assert seconds(call.answered_ns) == pytest.approx(2.03)
    assert seconds(call.ended_ns) == pytest.approx(12.05)
    assert (call.final_status, call.answer_seen, call.bye_seen, call.joined_late) == (200, True, True, False)
    assert (call.caller.number, call.callee.number, call.dialled) == (A_NUMBER, B_NUMBER, B_NUMBER)
    assert (call.invite_source, call.invite_destination, call.hops, call.transport) == (A, B, [(A, B)], "udp")
    assert addresses(call, CALLER) == [("192.0.2.10", 40000)]
    assert addresses(call, CALLEE) == [("192.0.2.20", 50000)]
    assert call.winning_tag == "to1"


def test_challenge_is_answered_by_a_retry_of_the_same_call():
    call = only_call(flows.authenticated())
    assert (call.state, call.attempt_cseq, call.final_status) == (CallState.ENDED, 102, 200)
    assert len(call.media) == 2
    assert call.ended_ns == flows.authenticated()[-4][0], "ended by the first BYE, though it was challenged"


@pytest.mark.parametrize("status", [404, 480, 486, 488, 503, 603])
def test_rejected(status: int):
    call = only_call(flows.rejected(status))
    assert (call.state, call.end_cause, call.final_status) == (CallState.FAILED, EndCause.REJECTED, status)
    assert (call.answered_ns, call.ended_by) == (None, CALLEE)


def test_cancelled_ends_when_the_caller_hung_up():
    packets = flows.cancelled()
    call = only_call(packets)
    assert (call.end_cause, call.final_status, call.ended_by) == (EndCause.CANCELLED, 487, CALLER)
    assert call.ended_ns == packets[3][0]


def test_cancel_that_crosses_the_answer_changes_nothing():
    dialog = Dialog()
    dialog.begin()
    dialog.request("CANCEL", to_tag="")
    dialog.answer()
    assert only_call(dialog.packets).state is CallState.ANSWERED


def test_failed_call_is_reopened_by_a_retry():
    call = only_call(flows.retried_after_488())
    assert (call.state, call.end_cause, call.final_status) == (CallState.ENDED, EndCause.BYE, 200)


def test_second_fork_that_answers_is_heard_and_its_bye_does_not_end_the_call():
    packets = flows.forked()
    call = only_call(packets)
    assert (call.winning_tag, call.answered_tags, call.closed_tags) == ("to1", ["to1", "to2"], ["to2", "to1"])
    assert call.ended_ns == packets[-2][0]
    assert [epoch.to_tag for epoch in call.media] == ["", "to1", "to2"]


def test_bye_to_the_first_answer_leaves_the_call_to_the_second():
    dialog = Dialog()
    dialog.begin()
    for tag in ("to1", "to2"):
        dialog.response(200, body=ANSWER, to_tag=tag)
        dialog.request("ACK", to_tag=tag)
    dialog.request("BYE", to_tag="to1")
    call = only_call(dialog.packets)
    assert (call.state, call.winning_tag) == (CallState.ANSWERED, "to2")


def test_busy_fork_behind_a_proxy_is_not_the_calls_failure():
    call = only_call(flows.forking_proxy())
    assert (call.state, call.winning_tag, call.final_status) == (CallState.ENDED, "to2", 200)
    assert len(call.hops) == 3


def test_digits_by_info():
    call = only_call(flows.digits_by_info())
    assert [(side, digit) for _, side, digit in call.dtmf_info] == [(CALLER, "1"), (CALLER, "#"), (CALLEE, "7")]


def test_repeated_bye_ends_at_the_first():
    packets = flows.repeated_bye()
    assert only_call(packets).ended_ns == packets[5][0]


def test_lost_200_is_proved_by_the_ack():
    packets = [packet for packet in flows.plain() if not packet[3].startswith(b"SIP/2.0 200")]
    call = only_call(packets)
    assert (call.answer_seen, call.answered_ns, call.winning_tag) == (False, flows.plain()[4][0], "to1")
    assert call.state is CallState.ENDED


def test_lost_bye_is_proved_by_its_200():
    packets = [packet for packet in flows.plain() if not packet[3].startswith(b"BYE")]
    call = only_call(packets)
    assert (call.state, call.ended_ns, call.ended_by, call.bye_seen) == (CallState.ENDED, packets[-1][0], CALLER, True)


def test_lost_failure_is_proved_by_its_ack():
    packets = [packet for packet in flows.rejected() if b"486" not in packet[3][:12]]
    table = play(packets)
    (call,) = table.calls.values()
    assert call.answered_ns is None
    assert table.expire(packets[-1][0] + 32 * SECOND_NS) == [call]
    assert (call.state, call.end_cause, call.final_status) == (CallState.FAILED, EndCause.REJECTED, None)


def test_session_timer_ends_a_call_whose_bye_was_lost():
    packets = flows.session_timer()
    table = play(packets)
    (call,) = table.calls.values()
    last = packets[-1][0]
    assert table.next_deadline() == last + 1832 * SECOND_NS
    assert table.expire(last + 1832 * SECOND_NS - 1) == []
    assert table.expire(last + 1832 * SECOND_NS) == [call]
    assert (call.end_cause, call.ended_ns, call.bye_seen) == (EndCause.SESSION_EXPIRED, last + 1800 * SECOND_NS, False)
    assert table.next_deadline() is None


def test_session_timer_is_asked_before_a_later_message():
    packets = flows.session_timer()
    table = play(packets)
    ts_ns, source, destination, data = packets[-1]
    call = table.receive(ts_ns + 3600 * SECOND_NS, source, destination, "udp", parse(data))
    assert call is not None
    assert call.end_cause is EndCause.SESSION_EXPIRED


def test_unanswered_call_times_out_after_its_last_message():
    dialog = Dialog()
    dialog.begin()
    dialog.response(180)
    table = play(dialog.packets)
    last = dialog.packets[-1][0]
    (call,) = table.expire(last + 180 * SECOND_NS)
    assert (call.state, call.end_cause, call.ended_ns) == (CallState.FAILED, EndCause.NO_ANSWER, last)


def test_challenge_without_a_retry_fails_after_32_s():
    packets = flows.authenticated()[:4]
    table = play(packets)
    (call,) = table.calls.values()
    assert call.state is CallState.TRYING
    assert table.expire(packets[2][0] + 32 * SECOND_NS) == [call]
    assert (call.state, call.final_status, call.end_cause) == (CallState.FAILED, 407, EndCause.REJECTED)


def test_one_answered_call_whatever_the_hops_lose():
    packets = flows.relayed()
    for missing in range(len(packets)):
        call = only_call(packets[:missing] + packets[missing + 1 :])
        assert call.state is CallState.ENDED
        assert call.winning_tag == "to1"


@pytest.mark.parametrize(("value", "interval_s"), [("1800", 1800), ("600;refresher=uas", 600), ("5", 90), ("x", None)])
def test_session_interval_is_that_of_the_answer(value: str, interval_s: int | None):
    dialog = Dialog()
    dialog.begin("Session-Expires: 4000")
    dialog.answer(f"Session-Expires: {value}")
    assert only_call(dialog.packets).session_expires_s == interval_s


def test_refresh_without_an_interval_ends_the_session_timer():
    dialog = Dialog()
    dialog.begin()
    dialog.answer("x: 1800")
    dialog.change(OFFER, ANSWER)
    call = only_call(dialog.packets)
    assert (call.session_expires_s, call.state) == (None, CallState.ANSWERED)


def test_any_message_of_the_dialog_keeps_it_alive():
    dialog = Dialog()
    dialog.begin()
    dialog.answer("Session-Expires: 100")
    for _ in range(5):
        dialog.wait(100)
        dialog.request("OPTIONS")
    table = play(dialog.packets)
    assert table.next_deadline() == dialog.packets[-1][0] + 132 * SECOND_NS


def test_cancel_on_a_later_hop_ends_one_fork_only():
    dialog = Dialog(b=PROXY)
    dialog.begin()
    dialog.request("INVITE", body=OFFER, to_tag="", cseq=dialog.cseq[CALLER], at=(PROXY, B))
    dialog.request("CANCEL", to_tag="", at=(PROXY, B))
    dialog.response(487, at=(B, PROXY))
    table = play(dialog.packets)
    (call,) = table.calls.values()
    assert (call.state, table.expire(dialog.now_ns + 100 * SECOND_NS)) == (CallState.TRYING, [])
    assert table.expire(dialog.now_ns + 181 * SECOND_NS) == [call]
    assert (call.end_cause, call.final_status) == (EndCause.CANCELLED, 487)


def test_bye_that_got_481_ended_the_call():
    dialog = Dialog()
    dialog.establish()
    dialog.response(481, method="BYE", cseq=102)
    assert only_call(dialog.packets).end_cause is EndCause.BYE


def test_dialog_that_has_ended_stays_as_it_is():
    dialog = Dialog()
    dialog.establish()
    dialog.finish()
    ended = only_call(dialog.packets)
    dialog.change(sdp(port=45000), ANSWER)
    dialog.finish(CALLEE)
    assert only_call(dialog.packets) == ended
