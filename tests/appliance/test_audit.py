"""The comparison of two accounts: each difference, its explanation, and what stays unexplained."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from appliance.auditing import auditreport
from appliance.auditing.audit import (
    Account,
    Difference,
    SipEvidence,
    StreamKey,
    Subject,
    TsharkAccount,
    comparable,
    compare,
    differs,
    unexplained,
)
from appliance.auditing.auditrules import Recount, StreamFigures, TsharkStream
from appliance.auditing.tsharkaccount import hold_against, read_account
from tests.corpus_truth import ABSENT, CAPTURES, CORPUS, truth

KEY = StreamKey(0x0000ABCD, "192.0.2.1:4000", "192.0.2.2:5000")
PLAIN = TsharkStream(packets=100, lost=0, payloads=("g711U",))
SEEN = SipEvidence(
    methods=frozenset({"INVITE"}), invited=True, invite_statuses=frozenset(), to_tag_requests=frozenset(), sound=True
)
NOTHING = Account(packets=0, sip_calls=frozenset(), answered=frozenset(), streams={})
EMPTY = TsharkAccount(packets=0, sip={}, streams={})


def figures(packets: int = 100, lost: int | None = 0, duplicates: int = 0) -> StreamFigures:
    return StreamFigures(packets=packets, lost=lost, duplicates=duplicates, codec="PCMU")


def recount(sequence: list[int], payload_types: Mapping[int, int] | None = None) -> Recount:
    """Feed sequence numbers with timestamps in step; payload type 0 unless `payload_types` says otherwise by index."""
    counted = Recount()
    for index, number in enumerate(sequence):
        counted.add(number & 0xFFFF, number * 160, (payload_types or {}).get(index, 0))
    return counted.settle()


def of_stream(ours: StreamFigures | None, theirs: TsharkStream | None, counted: Recount | None) -> list[Difference]:
    mine = replace(NOTHING, streams={KEY: ours} if ours else {})
    other = replace(EMPTY, streams={KEY: theirs} if theirs else {})
    return list(compare(mine, other, {KEY: counted} if counted else {}))


def test_equal_accounts_do_not_differ() -> None:
    ours = replace(NOTHING, packets=7, sip_calls=frozenset({"a"}), streams={KEY: figures()})
    theirs = replace(EMPTY, packets=7, sip={"a": SEEN}, streams={KEY: PLAIN})
    assert differs(ours, theirs) == frozenset()
    assert compare(ours, theirs, {}) == ()


def test_duplicates_are_packets_and_negative_loss_to_tshark() -> None:
    twice = recount([*range(100), 5, 6])
    found = of_stream(figures(lost=3, duplicates=2), TsharkStream(packets=102, lost=1, payloads=("g711U",)), twice)
    assert [(d.subject, d.ours, d.tshark) for d in found] == [
        (Subject.STREAM_PACKETS, 100, 102),
        (Subject.STREAM_LOST, 3, 1),
    ]
    assert found[0].explanation == "tshark counts 2 duplicates as packets"
    assert found[1].explanation == "tshark takes 2 duplicates off its loss"


def test_duplicates_that_the_recount_does_not_see_explain_nothing() -> None:
    found = of_stream(figures(packets=98, duplicates=2), PLAIN, recount(list(range(100))))
    assert len(found) == 1
    assert unexplained(found) == tuple(found)


def test_a_restart_of_the_sequence_is_no_loss() -> None:
    counted = recount([*range(50), *range(30_000, 30_050)])
    [found] = of_stream(figures(), TsharkStream(packets=100, lost=29_950, payloads=("g711U",)), counted)
    assert found.subject is Subject.STREAM_LOST
    assert "starts anew 1 times" in found.explanation


def test_events_inside_a_stream_are_counted_elsewhere() -> None:
    counted = recount(list(range(100)), dict.fromkeys(range(40, 52), 101))
    [found] = of_stream(figures(packets=88), PLAIN, counted)
    assert found.explanation == "not audio and counted elsewhere: 12 of payload type 101"


def test_a_loss_that_we_did_not_count_is_not_compared() -> None:
    assert of_stream(figures(lost=None), replace(PLAIN, lost=4), None) == []


@pytest.mark.parametrize(
    ("theirs", "sequence", "explanation"),
    [
        (replace(PLAIN, packets=1), [7], "no two packets in sequence"),
        (replace(PLAIN, packets=3), [7, 900, 40_000], "no two packets in sequence"),
        (replace(PLAIN, payloads=("telephone-event",)), [1, 2, 3], "only telephone-event"),
        (replace(PLAIN, payloads=("g722",)), [1, 2, 3], "codec not recorded: g722"),
        (PLAIN, [1, 2, 3], ""),
    ],
)
def test_a_stream_that_only_tshark_lists(theirs: TsharkStream, sequence: list[int], explanation: str) -> None:
    [found] = of_stream(None, theirs, recount(sequence))
    assert (found.subject, found.ours, found.tshark) == (Subject.STREAM, 0, 1)
    assert found.explanation.startswith(explanation) or explanation in found.explanation
    assert bool(found.explanation) is bool(explanation)


@pytest.mark.parametrize(("counted", "explained"), [(100, True), (99, False), (None, False)])
def test_a_stream_that_only_we_list(counted: int | None, explained: bool) -> None:
    [found] = of_stream(figures(), None, None if counted is None else recount(list(range(counted))))
    assert bool(found.explanation) is explained


def test_packets_of_a_damaged_file() -> None:
    ours, theirs = replace(NOTHING, packets=10), replace(EMPTY, packets=9)
    [found] = compare(ours, theirs, {})
    assert not found.explanation
    [found] = compare(ours, replace(theirs, damage="cut short"), {})
    assert found.explanation == "tshark stopped early: cut short"


@pytest.mark.parametrize(
    ("evidence", "explanation"),
    [
        (None, ""),
        (SEEN, ""),
        (replace(SEEN, methods=frozenset({"BYE"}), to_tag_requests=frozenset({"BYE"})), "joined late: only BYE"),
        (replace(SEEN, methods=frozenset({"OPTIONS"})), ""),
    ],
)
def test_a_call_that_only_we_list(evidence: SipEvidence | None, explanation: str) -> None:
    theirs = replace(EMPTY, sip={"b": SEEN} | ({"a": evidence} if evidence else {}))
    found = compare(replace(NOTHING, sip_calls=frozenset({"a", "b"})), theirs, {})
    if evidence is SEEN:
        assert found == ()
    else:
        assert [(d.name, d.ours, d.tshark) for d in found] == [("a", 1, 0)]
        assert found[0].explanation.startswith(explanation)
        assert bool(found[0].explanation) is bool(explanation)


@pytest.mark.parametrize(
    ("evidence", "explanation"),
    [
        (SEEN, ""),
        (replace(SEEN, sound=False), "malformed"),
        (replace(SEEN, invite_statuses=frozenset({100, 183})), ""),
        (replace(SEEN, invite_statuses=frozenset({180, 486})), ""),
        (
            replace(SEEN, invited=False, invite_statuses=frozenset({407, 100})),
            "no INVITE with this Call-ID was captured",
        ),
        (replace(SEEN, invited=False, invite_statuses=frozenset({100, 200})), ""),
    ],
)
def test_a_call_that_only_tshark_lists(evidence: SipEvidence, explanation: str) -> None:
    found, *_ = compare(NOTHING, replace(EMPTY, sip={"a": evidence}), {})
    assert found.subject is Subject.CALL
    assert found.explanation.startswith(explanation)
    assert bool(found.explanation) is bool(explanation)


def test_answers() -> None:
    ours = replace(NOTHING, sip_calls=frozenset("abc"), answered=frozenset("ab"))
    answered = replace(SEEN, invite_statuses=frozenset({200}))
    confirmed = replace(SEEN, methods=frozenset({"INVITE", "BYE"}), to_tag_requests=frozenset({"BYE"}))
    found = compare(ours, replace(EMPTY, sip={"a": SEEN, "b": confirmed, "c": answered}), {})
    assert {d.name: d.explanation for d in found} == {
        "a": "",
        "b": "no 2xx was captured; answered is concluded from BYE",
        "c": "",
    }


def test_call_ids_are_compared_without_the_bytes_that_are_decoded_differently() -> None:
    assert comparable("4465\ufffdd775@host ") == comparable("4465\xe9\x80d775@host")
    assert comparable("a@b") != comparable("a@c")


def test_pieces_of_a_stream_add_up() -> None:
    both = figures(packets=10, lost=1) + replace(figures(packets=5, lost=None, duplicates=2), codec="G722")
    assert both == StreamFigures(packets=15, lost=1, duplicates=2, reordered=0, codec="PCMU, G722")


class TestRecount:
    def test_counts_across_the_wrap_and_late_packets(self) -> None:
        counted = recount([65_533, 65_534, 65_536, 65_535, 65_537, 65_539])
        assert (counted.packets, counted.lost, counted.duplicates, counted.restarts) == (6, 1, 0, 0)

    def test_a_first_packet_that_came_late_is_inside(self) -> None:
        counted = recount([11, 10, 12])
        assert (counted.packets, counted.lost) == (3, 0)

    def test_timestamps_that_do_not_go_on_with_the_sequence(self) -> None:
        counted = Recount()
        for number, timestamp, payload_type in (
            (1, 0, 99),
            (2, 160, 0),
            (3, 8, 0),
            (4, 168, 0),
            (6, 0, 0),
            (7, 9000, 8),
        ):
            counted.add(number, timestamp, payload_type)
        assert (counted.voice_steps, counted.steady_steps) == (3, 1)
        assert recount(list(range(65_530, 65_540))).steady_steps == 9
        [found] = of_stream(None, PLAIN, counted.settle())
        assert found.explanation.startswith("in 2 of 3 steps from a G.711 packet to the next in sequence")

    def test_the_longest_run(self) -> None:
        assert recount([1, 2, 3, 9, 10, 20]).longest_run == 3
        assert recount([]).longest_run == 0


@pytest.fixture
def differences() -> list[Difference]:
    return [
        Difference(subject=Subject.CALL, name="[x]@h", ours=0, tshark=1, explanation="malformed"),
        Difference(subject=Subject.PACKETS, name="", ours=1, tshark=2),
    ]


def test_report(differences: list[Difference], capsys: pytest.CaptureFixture[str]) -> None:
    auditreport.show(Console(width=160), NOTHING, EMPTY, differences)
    printed = capsys.readouterr().out
    assert "[x]@h" in printed
    assert "2 differences, 1 unexplained" in printed
    assert auditreport.exit_code(differences) == 3
    assert auditreport.exit_code(differences[:1]) == 0


def test_document(differences: list[Difference]) -> None:
    document = auditreport.document(NOTHING, EMPTY, differences)
    assert document["unexplained"] == 1
    assert document["differences"][0]["name"] == "[x]@h"
    assert document["differences"][1]["explanation"] is None
    assert document["totals"]["packets"] == {"rokubox": 0, "tshark": 0}


def account_by_truth(capture: Path) -> Account:
    """What a perfect import would say of the streams of a capture; packets and calls as tshark has them."""
    theirs = read_account(capture)
    return Account(
        packets=theirs.packets,
        sip_calls=frozenset(call_id for call_id, seen in theirs.sip.items() if "INVITE" in seen.methods),
        answered=frozenset(call_id for call_id, seen in theirs.sip.items() if 200 in seen.invite_statuses),
        streams={
            StreamKey(int(row.key.ssrc, 16), row.key.source, row.key.destination): StreamFigures(
                packets=row.all_packets - row.duplicates, lost=row.lost, duplicates=row.duplicates, codec=row.codec
            )
            for row in truth()
            if row.file == capture.name and row.check != "srtp"
        },
    )


@pytest.mark.skipif(not CAPTURES, reason=ABSENT)
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize(
    ("name", "explanations"),
    [
        ("cisco-sip-basic-eo-180.pcapng", set()),
        ("voipshark-sip-srtp-sdes.pcap", set()),
        (
            "cisco-sccp-fxs-inbound.pcapng",
            {"tshark counts 2 duplicates as packets", "tshark takes 2 duplicates off its loss"},
        ),
        ("cisco-dtmf-relay-asymm.pcapng", {"holds no audio, only telephone-event or comfort noise"}),
        ("sipnab-codec-switch-g722.pcap", {"codec not recorded: g722"}),
        ("sipnab-reinvite-codec-change.pcap", {"codec not recorded: opus"}),
    ],
)
def test_the_truth_held_against_tshark(name: str, explanations: set[str]) -> None:
    _theirs, found = hold_against(CORPUS / name, account_by_truth(CORPUS / name))
    assert {difference.explanation for difference in found} == explanations
