"""The table: which call a message belongs to, repetitions, snapshots, bounds."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.dialog import DialogLimits, DialogState, DialogTable
from capture.sip import parse
from capture.sipcall import CallState, EndCause
from tests.capture import sip_scenarios as flows
from tests.capture.sip_dialogs import (
    B_NUMBER,
    CALLEE,
    OFFER,
    SECOND_NS,
    START_NS,
    Dialog,
    Packet,
    only_call,
    play,
)
from tests.capture.sip_scenarios import SCENARIOS


def test_identities_of_the_initial_invite():
    dialog = Dialog()
    dialog.begin(
        'P-Asserted-Identity: "Front desk" <sip:+81312345678@carrier.example>, <tel:+81312345678>',
        "Diversion: <sip:0120000001@pbx.example>;reason=unconditional",
        "History-Info: <sip:0120000001@pbx.example>;index=1, <sip:0120000002@pbx.example>;index=1.1",
        "Privacy: id",
        "User-Agent: Desk 1.0",
    )
    call = only_call(dialog.packets)
    assert call.asserted == ["+81312345678"]
    assert call.diversion == ["0120000001"]
    assert call.history == ["0120000001", "0120000002"]
    assert call.privacy
    assert call.user_agents == ["Desk 1.0"]


@pytest.mark.parametrize("start", range(2, 13))
def test_picked_up_in_the_middle(start: int):
    packets = flows.hold_and_resume()
    table = play(packets[start:])
    calls = list(table.calls.values())
    bare_acks = {4, 7, 10}
    assert len(calls) == 1
    call = calls[0]
    assert call.joined_late
    assert not call.answer_seen
    assert (call.state, call.call_id) == (CallState.ENDED, "c0ffee@192.0.2.10")
    assert table.counters.orphans == (1 if start in bare_acks | {2} else 0)
    assert call.from_tag == "from1"


def test_picked_up_at_a_request_of_the_callee():
    packets = flows.hold_and_resume(CALLEE)
    call = only_call(packets[5:])
    assert (call.from_tag, call.winning_tag, call.caller.number) == ("to1", "from1", B_NUMBER)
    assert (call.state, call.ended_by) == (CallState.ENDED, CALLEE)
    assert len(call.holds) == 1


@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "NOTIFY", "SUBSCRIBE", "MESSAGE", "PUBLISH"])
def test_other_methods_open_no_call(method: str):
    dialog = Dialog()
    dialog.request(method)
    dialog.response(200, method=method)
    table = play(dialog.packets)
    assert (table.calls, table.counters.ignored) == ({}, 2)


def test_full_table_counts_what_it_leaves_out():
    table = DialogTable(limits=DialogLimits(max_calls=2))
    for index in range(4):
        dialog = Dialog(call_id=f"{index}@x")
        dialog.begin()
        play(dialog.packets[:1], table)
    assert (len(table.calls), table.counters.overflow) == (2, 2)


def test_forgotten_call_stays_closed_to_repetitions_for_a_while():
    packets = flows.plain()
    table = play(packets)
    table.forget(*table.calls.values())
    for packet in packets:
        play([(packets[-1][0] + 20 * SECOND_NS, *packet[1:])], table)
    assert table.calls == {}
    ts_ns, source, destination, data = packets[5]
    table.receive(ts_ns + 65 * SECOND_NS, source, destination, "udp", parse(data))
    assert [call.joined_late for call in table.calls.values()] == [True]


def an_hour_later(packets: list[Packet]) -> list[Packet]:
    return [(ts_ns + 3600 * SECOND_NS, source, destination, data) for ts_ns, source, destination, data in packets]


def test_late_bye_of_a_call_that_a_timer_ended_opens_no_other():
    packets = flows.plain()
    table = play(packets[:5])
    (call,) = table.calls.values()
    call.end(packets[4][0], EndCause.MEDIA_TIMEOUT)
    table.forget(call)
    assert play(an_hour_later(packets[5:]), table).calls == {}
    assert table.counters.unchanged == 4, "100, ACK, BYE and its 200"


def test_reinvite_of_a_call_that_a_timer_ended_picks_it_up():
    packets = flows.hold_and_resume()
    table = play(packets[:5])
    (call,) = table.calls.values()
    call.end(packets[4][0], EndCause.MEDIA_TIMEOUT)
    table.forget(call)
    (again,) = play(an_hour_later(packets[5:]), table).calls.values()
    assert (again.joined_late, again.state, again.end_cause) == (True, CallState.ENDED, EndCause.BYE)


def test_invite_cut_before_its_to_opens_no_call():
    dialog = Dialog()
    dialog.establish()
    dialog.request("INVITE", by=CALLEE, body=OFFER)
    ts_ns, source, destination, data = dialog.packets[-1]
    head = data[: data.index(b"To:")] + b"Call-ID: c0ffee@192.0.2.10\r\nCSeq: 8 INVITE\r\n"
    table = DialogTable()
    assert table.receive(ts_ns, source, destination, "udp", parse(head, truncated=True)) is None
    assert (table.calls, table.counters.orphans) == ({}, 1)


def test_timers_run_out_in_their_order():
    table = DialogTable()
    for index in (2, 0, 1):
        dialog = Dialog(call_id=f"{index}@x", now_ns=START_NS + index * SECOND_NS)
        dialog.begin()
        play(dialog.packets, table)
    expired = table.expire(START_NS + 1000 * SECOND_NS)
    assert [call.call_id for call in expired] == ["0@x", "1@x", "2@x"]
    assert all(call.end_cause is EndCause.NO_ANSWER for call in expired)
    assert table.next_deadline() is None
    for call in expired:
        table.forget(call)
    assert table.calls == {}


def test_retry_after_a_forgotten_failure_is_a_call_of_its_own():
    dialog = Dialog()
    dialog.begin()
    dialog.response(486)
    table = play(dialog.packets)
    table.forget(*table.calls.values())
    later = Dialog(cseq=dict(dialog.cseq), now_ns=dialog.now_ns)
    later.establish()
    play(later.packets, table)
    assert [(call.state, call.joined_late) for call in table.calls.values()] == [(CallState.ANSWERED, False)]


def test_very_long_identifiers_are_kept_short():
    dialog = Dialog(call_id="x" * 5000, from_tag="f" * 5000, to_tag="t" * 5000)
    dialog.establish()
    dialog.finish()
    call = only_call(dialog.packets)
    assert call.state is CallState.ENDED
    assert len(call.key) < 700


@pytest.mark.parametrize("name", SCENARIOS)
def test_snapshot_in_the_middle_changes_nothing(name: str):
    packets = SCENARIOS[name]()
    whole = play(packets)
    for cut in range(len(packets)):
        stored = msgspec.msgpack.encode(play(packets[:cut]).state)
        resumed = play(packets[cut:], DialogTable(msgspec.msgpack.decode(stored, type=DialogState)))
        assert resumed.state == whole.state
        assert resumed.next_deadline() == whole.next_deadline()


@pytest.mark.parametrize("name", SCENARIOS)
def test_doubled_mirror_changes_nothing(name: str):
    packets = SCENARIOS[name]()
    doubled = [packet for packet in packets for _ in range(2)]
    assert play(doubled).calls == play(packets).calls


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(SCENARIOS)), data=st.data())
def test_repetitions_never_change_the_table(name: str, data: st.DataObject):
    packets = SCENARIOS[name]()
    positions = st.tuples(st.integers(0, len(packets) - 1), st.integers(0, len(packets) - 1))
    repeated = list(packets)
    for first, later in data.draw(st.lists(positions.map(sorted), max_size=12)):
        ts_ns = packets[later][0]
        repeated.append((ts_ns, *packets[first][1:]))
    repeated.sort(key=lambda packet: packet[0])
    assert play(repeated).calls == play(packets).calls


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(SCENARIOS)), data=st.data())
def test_any_loss_and_any_order_is_survived(name: str, data: st.DataObject):
    packets = SCENARIOS[name]()
    kept = data.draw(st.lists(st.sampled_from(range(len(packets))), max_size=2 * len(packets)))
    table = play(packets[index] for index in kept)
    end = packets[-1][0] + 4000 * SECOND_NS
    for call in [*table.expire(end), *table.calls.values()]:
        assert call.state is not CallState.TRYING
        assert call.state is not CallState.RINGING
        assert (call.ended_ns is None) is (not call.is_over)
        assert all(hold.end_ns is None or hold.end_ns >= hold.start_ns for hold in call.holds)
    deadline = table.next_deadline()
    assert deadline is None or deadline > end
