"""Outcome, reasons and completeness by contracts.md's rules, from what one call's parts found."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.assembly.account import Ending, account
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import NS, AssemblySettings
from appliance.assembly.work import SideTotals, Work
from capture.endpoint import Endpoint
from capture.rules import Decision, RuleReason
from capture.sipcall import CallState, EndCause, Hold, Side, SipCall
from storage.archive import Archive
from storage.call_record import CallRecord, PartEntry, UnrecordedStream
from storage.records import Links
from storage.vocabulary import Reason
from storage.writer import ArchiveWriter

ANSWER_NS = 1_767_287_045 * NS
TALK_S = 1000
RATE = 8000
END = TALK_S * RATE
WANTED = Decision(wanted=True, reason=RuleReason.NONE, rule="record all")


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    with ArchiveWriter(Archive(tmp_path)) as writer:
        yield Publisher(settings=AssemblySettings(), writer=writer)


def sip_call() -> SipCall:
    here = Endpoint(b"\x0a\0\0\1", 5060)
    return SipCall(
        call_id="a@b",
        from_tag="1",
        first_ns=ANSWER_NS - 2 * NS,
        last_ns=ANSWER_NS + TALK_S * NS,
        invite_source=here,
        invite_destination=here,
        state=CallState.ENDED,
        answered_ns=ANSWER_NS,
        answer_seen=True,
        ended_ns=ANSWER_NS + TALK_S * NS,
        end_cause=EndCause.BYE,
        bye_seen=True,
    )


def side(packets: int = 5000, **changes: object) -> SideTotals:
    totals = SideTotals(packets=packets, spans=[(0, END)] if packets else [])
    for name, value in changes.items():
        setattr(totals, name, value)
    return totals


def work(**changes: object) -> Work:
    made = Work(
        call_id="ab" * 32, first_ns=ANSWER_NS - 2 * NS, decision=WANTED, sip_key="a@b\x1f1", origin_ns=ANSWER_NS
    )
    name = "20260102T020405+0900_unk_1_2_ababababab_p01.zip"
    made.parts = [PartEntry(name=name, number=1, wav_sha256="0" * 64, call_json_sha256="0" * 64, first_sample=0,
                            samples=END)]  # fmt: skip
    made.totals = {Side.CALLER: side(), Side.CALLEE: side()}
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def lost(first_s: float, seconds: float) -> SideTotals:
    """A side with one gap of network loss."""
    span = (round(first_s * RATE), round((first_s + seconds) * RATE))
    return side(network_spans=[span], longest_gap_ms=1000 * seconds, lost=round(50 * seconds))


def lost_packets(count: int) -> SideTotals:
    """A side that lost single packets here and there."""
    return side(network_spans=[(n * 16_000, n * 16_000 + 160) for n in range(count)], longest_gap_ms=20.0, lost=count)


BYE = Ending(cause=EndCause.BYE, ended_ns=ANSWER_NS + TALK_S * NS)


def told(publisher: Publisher, made: Work, call: SipCall | None = None, ending: Ending = BYE) -> CallRecord:
    return account(publisher, made, call or sip_call(), Links(), ending, lambda _interfaces: [])


def with_caller(totals: SideTotals) -> Work:
    return work(totals={Side.CALLER: totals, Side.CALLEE: side()})


Case = tuple[str, Callable[[], Work], str, list[str], float | None]
CASES: list[Case] = [
    ("whole", work, "recorded", [], 100.0),
    ("0.09 % lost", lambda: with_caller(lost_packets(45)), "recorded", [], 99.955),
    ("0.11 % lost", lambda: with_caller(lost_packets(55)), "partly", ["network_loss"], 99.945),
    ("a gap of 200 ms", lambda: with_caller(lost(10, 0.2)), "recorded", [], 99.99),
    ("a gap over 200 ms", lambda: with_caller(lost(10, 0.22)), "partly", ["network_loss"], 99.989),
    ("5 % lost", lambda: with_caller(lost(10, 50)), "partly", ["network_loss"], 97.5),
    ("loss after the end", lambda: with_caller(side(network_spans=[(END, END + 800)])), "recorded", [], 100.0),
    (
        "lost by the recorder",
        lambda: with_caller(side(capture_spans=[(0, 80_000)], longest_gap_ms=10_000.0)),
        "partly",
        ["capture_loss"],
        99.5,
    ),
    (
        "lost by both",
        lambda: with_caller(side(network_spans=[(0, 80_000)], capture_spans=[(80_000, 160_000)])),
        "partly",
        ["network_loss", "capture_loss"],
        99.0,
    ),
    ("one way", lambda: with_caller(side(packets=0)), "partly", ["one_way"], 50.0),
    (
        "silent for the last half",
        lambda: with_caller(side(packets=2500, spans=[(0, END // 2)])),
        "partly",
        ["network_loss"],
        75.0,
    ),
    ("begins a second late", lambda: with_caller(side(spans=[(8000, END)])), "recorded", [], 100.0),
    ("begins three seconds late", lambda: with_caller(side(spans=[(24_000, END)])), "partly", ["network_loss"], 99.85),
    ("ends a second early", lambda: with_caller(side(spans=[(0, END - 8000)])), "recorded", [], 100.0),
    ("ends three seconds early", lambda: with_caller(side(spans=[(0, END - 24_000)])), "partly",
     ["network_loss"], 99.85),
    ("changes its stream for a second", lambda: with_caller(side(spans=[(0, 80_000), (88_000, END)])),
     "recorded", [], 100.0),
    ("is silent when nobody speaks", lambda: with_caller(side(spans=[(8000, END)], suppressed=True)),
     "recorded", [], 100.0),
    ("journal damaged", lambda: work(damaged=True, missing=[(ANSWER_NS, ANSWER_NS + NS)]), "partly",
     ["journal_damaged"], 100.0),
    ("disk full in the middle", lambda: work(failed=Reason.DISK_FULL), "partly", ["disk_full"], 100.0),
    ("nothing heard", lambda: work(parts=[], origin_ns=None, totals={s: side(packets=0) for s in Side}),
     "not_recorded", ["no_media"], 0.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "outcome", "reasons", "completeness"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_outcome(
    publisher: Publisher, made: Callable[[], Work], outcome: str, reasons: list[str], completeness: float | None
) -> None:
    record = told(publisher, made())
    assert (record.outcome, list(record.reasons)) == (outcome, reasons)
    assert record.completeness == pytest.approx(completeness, abs=0.001)


def test_figures_add_up(publisher: Publisher) -> None:
    record = told(publisher, with_caller(lost(10, 5)))
    assert record.expected_samples == 2 * END == sum(each.expected_samples for each in record.sides)
    assert record.network_lost_samples == 5 * RATE
    assert record.completeness == pytest.approx(99.75)
    assert (record.capture_lost_samples, record.capture_completeness) == (0, 100.0)
    assert record.duration_s == TALK_S


@pytest.mark.parametrize("end_s", [70, None], ids=["taken back", "until the end"])
def test_hold_is_not_expected(publisher: Publisher, end_s: int | None) -> None:
    call = sip_call()
    end_ns = None if end_s is None else ANSWER_NS + end_s * NS
    call.holds = [Hold(start_ns=ANSWER_NS + 40 * NS, end_ns=end_ns, by=Side.CALLEE)]
    quiet = side(spans=[(0, 40 * RATE), ((end_s or TALK_S) * RATE, END)])
    record = told(publisher, with_caller(quiet), call)
    held = ((end_s or TALK_S) - 40) * RATE
    assert record.expected_samples == 2 * (END - held)
    assert (record.outcome, record.completeness) == ("recorded", 100.0)
    assert [tuple(hold) for hold in record.holds] == [(40 * RATE, held, "callee")]


@pytest.mark.parametrize(
    ("ending", "bye_seen", "reasons"),
    [
        (replace(BYE, joined_late=True), True, ["recorder_joined_late"]),
        (replace(BYE, cause=EndCause.CAPTURE_ENDED), False, ["capture_ended"]),
        (replace(BYE, cause=EndCause.MEDIA_TIMEOUT), False, ["bye_not_seen"]),
        (replace(BYE, cause=EndCause.SESSION_EXPIRED), False, ["bye_not_seen"]),
        (
            replace(BYE, cause=EndCause.CAPTURE_ENDED, joined_late=True),
            False,
            ["recorder_joined_late", "capture_ended"],
        ),
    ],
)
def test_calls_whose_beginning_or_end_is_missing(
    publisher: Publisher, ending: Ending, bye_seen: bool, reasons: list[str]
) -> None:
    call = sip_call()
    call.bye_seen = bye_seen
    record = told(publisher, work(), call, ending)
    assert (record.outcome, list(record.reasons)) == ("partly", reasons)
    assert record.end_cause == ending.cause.value


@pytest.mark.parametrize("reason", [r for r in RuleReason if r])
def test_calls_that_no_rule_wants(publisher: Publisher, reason: RuleReason) -> None:
    decision = Decision(wanted=False, reason=reason, rule="a rule")
    record = told(publisher, work(decision=decision, parts=[], origin_ns=None))
    assert (record.outcome, list(record.reasons), record.rule) == ("not_expected", [reason.value], "a rule")
    assert (record.expected_samples, record.completeness, record.capture_completeness) == (0, None, None)


def test_unanswered_call(publisher: Publisher) -> None:
    call = sip_call()
    call.answered_ns, call.state, call.bye_seen = None, CallState.FAILED, False
    record = told(publisher, work(parts=[], origin_ns=None), call, replace(BYE, cause=EndCause.CANCELLED))
    assert (record.outcome, list(record.reasons)) == ("not_expected", ["not_answered"])
    assert (record.duration_s, record.expected_samples) == (0.0, 0)


def unrecorded(packets: int, reason: Reason) -> UnrecordedStream:
    at = "2026-01-02T02:04:05.000000000+09:00"
    return UnrecordedStream(
        side=None, ssrc="0x00000001", source="10.0.0.1:1", destination="10.0.0.2:2", payload_type=18, codec="G729",
        packets=packets, first_at=at, last_at=at, reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize("reason", [Reason.UNSUPPORTED_CODEC, Reason.ENCRYPTED])
def test_media_that_cannot_be_recorded(publisher: Publisher, reason: Reason) -> None:
    nothing = work(parts=[], origin_ns=None, unrecorded=[unrecorded(5000, reason)])
    assert told(publisher, nothing).reasons == (reason,)
    assert told(publisher, nothing).outcome == "not_recorded"
    assert told(publisher, work(unrecorded=[unrecorded(500, reason)])).reasons == (reason,)
    assert told(publisher, work(unrecorded=[unrecorded(5, reason)])).outcome == "recorded"
    assert "G729" in told(publisher, nothing).codecs


def test_answer_that_was_not_seen_is_flagged(publisher: Publisher) -> None:
    call = sip_call()
    call.answer_seen = False
    assert "answer_not_seen" in told(publisher, work(), call).flags
