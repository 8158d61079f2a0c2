import pytest

from capture.sip import parse
from capture.sipcall import Side, SipCall
from capture.transfer import MAX_PENDING, REFER_NS, parse_replaces, refer_of
from tests.capture import sip_scenarios as flows
from tests.capture.sip_dialogs import A_NUMBER, C_NUMBER, CALLEE, SECOND_NS, C, Dialog, play


def refer(*lines: str) -> bytes:
    dialog = Dialog()
    dialog.request("REFER", *lines)
    return dialog.packets[0][3]


@pytest.mark.parametrize(
    ("value", "target", "replaces"),
    [
        ("<sip:0521112222@x>", "0521112222", ""),
        ("sip:0521112222@x", "0521112222", ""),
        ("<tel:+81-52-111-2222>", "+81-52-111-2222", ""),
        ("<sip:c@x?Replaces=1%40h%3Bto-tag%3Da%3Bfrom-tag%3Db>", "c", "1@h"),
        ("<sip:c@x?Subject=hi&replaces=1%40h%3Bearly-only>", "c", "1@h"),
        ("<sip:c@x;method=INVITE>", "c", ""),
        ("", "", ""),
    ],
)
def test_refer_to(value: str, target: str, replaces: str):
    found = refer_of(parse(refer(f"Refer-To: {value}")), ts_ns=5, by=Side.CALLER)
    assert (found.target, found.replaces, found.ts_ns, found.by) == (target, replaces, 5, Side.CALLER)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("c@h;to-tag=a;from-tag=b", ("c@h", "a", "b")),
        ("c@h ; from-tag=b;early-only;to-tag=a", ("c@h", "a", "b")),
        ("c@h", ("c@h", "", "")),
        ("", ("", "", "")),
    ],
)
def test_replaces(value: str, expected: tuple[str, str, str]):
    assert parse_replaces(value) == expected


def transferred(*lines: str, after_s: float = 1, caller: str = A_NUMBER, target: str = C_NUMBER) -> SipCall:
    """A call that follows the REFER of another after a while."""
    first = Dialog()
    first.establish()
    first.request("REFER", f"Refer-To: <sip:{C_NUMBER}@x>", by=CALLEE)
    asked_ns = first.packets[-1][0]
    second = Dialog(call_id="second", b=C, numbers=(caller, target), now_ns=asked_ns + round(after_s * SECOND_NS))
    second.begin(*lines)
    return list(play([*first.packets, *second.packets]).calls.values())[-1]


def test_invite_to_the_target_by_a_party_is_linked():
    assert transferred().transferred_from == "c0ffee@192.0.2.10"


def test_numbers_are_compared_in_one_form():
    assert transferred(target="+81521112222", caller="+81312345678").transferred_from


def test_referred_by_links_what_anybody_calls():
    assert transferred("Referred-By: <sip:9999@x>", caller="0700000000").transferred_from
    assert transferred("Referred-By: <sip:0698765432@x>", caller="0700000000", target="0800000000").transferred_from


def test_other_invites_are_not_linked():
    assert transferred(caller="0700000000").transferred_from == ""
    assert transferred(target="0800000000").transferred_from == ""
    assert transferred(after_s=REFER_NS / SECOND_NS + 1).transferred_from == ""


def test_pending_refers_are_bounded():
    dialog = Dialog()
    dialog.establish()
    for _ in range(2 * MAX_PENDING):
        dialog.request("REFER", f"Refer-To: <sip:{C_NUMBER}@x>")
    assert len(play(dialog.packets).state.pending_refers) == MAX_PENDING


def test_blind_transfer_links_the_new_call_to_the_dialog_of_the_refer():
    first, second = play(flows.blind_transfer()).calls.values()
    assert [(refer.by, refer.target) for refer in first.refers] == [(CALLEE, C_NUMBER)]
    assert (second.transferred_from, second.replaces) == (first.call_id, "")
    assert first.transferred_from == ""


def test_attended_transfer_links_what_is_replaced_too():
    first, consultation, third = play(flows.attended_transfer()).calls.values()
    assert first.refers[0].replaces == consultation.call_id
    assert (third.replaces, third.replaces_tags) == (consultation.call_id, ["tc", "fc"])
    assert third.transferred_from == first.call_id
