"""The account of one call when it is over: outcome, reasons, completeness, figures. Every call gets one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from appliance.assembly import publish
from appliance.assembly.describe import mos, share_of
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import AssemblySettings
from appliance.assembly.work import SIDES, SideTotals, Work
from capture.sipcall import EndCause, MediaEpoch, Side, SipCall
from dsp import quality
from dsp.timeline import SAMPLE_NS
from storage.call_record import CallRecord, SideSummary, TooLate
from storage.records import Clock, Links
from storage.vocabulary import Direction, Flag, Outcome, Reason
from storage.vocabulary import EndCause as StoredEndCause
from storage.vocabulary import Side as StoredSide

Spans = list[tuple[int, int]]
OutagesOf = Callable[[frozenset[int]], Spans]
"""The recorder's outages that concern what came over these interfaces, samples of the call."""

TOLERATED_LOSS = 0.001
"""Share of a side that may be lost in a call that is still `recorded`, ..."""
TOLERATED_GAP_SAMPLES = 1600
"""... with no gap longer than this, 200 ms."""
TOLERATED_PACKETS = 10
"""Packets of another codec that do not make a call `partly`: 200 ms, or a gateway's own events."""
UNEXPLAINED_SAMPLES = 16_000
"""2 s: a side may begin, pause between two streams, and end by this much late or early."""
ACK_NS = 32_000_000_000
"""An answer is repeated until it is acknowledged, for this long (RFC 3261 section 13.3.1.4)."""

_UNREADABLE = {Reason.UNSUPPORTED_CODEC, Reason.ENCRYPTED}
"""Why media that came are in no recording."""
_ALWAYS: Spans = [(0, 1 << 62)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How and when a call ended."""

    cause: EndCause
    ended_ns: int
    joined_late: bool = False
    """The recorder came in when it was going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SideAccount:
    expected: int
    network: int
    capture: int
    longest: int = 0
    """Samples of the longest stretch that the network lost while speech was expected."""
    unheard: int = 0
    """Samples of the longest stretch outside of the side's streams in which it should have been heard."""
    silent: bool
    """Speech was expected and none came."""


def account(
    publisher: Publisher,
    work: Work,
    call: SipCall | None,
    links: Links,
    ending: Ending,
    outages_of: OutagesOf,
    *,
    clock: Clock = publish.IMPORT_CLOCK,
    clock_stepped: bool = False,
) -> CallRecord:
    """Make the record of a call that is over.

    `clock`, `clock_stepped`: what the clock of the capture was like while it went on, and whether it was set.
    """
    settings = publisher.settings_of(work)
    sides = {side: _side(work, call, side, ending, outages_of) for side in SIDES}
    outcome, reasons = _outcome(work, call, sides, ending)
    expected = sum(side.expected for side in sides.values())
    network, captured = (sum(getattr(side, name) for side in sides.values()) for name in ("network", "capture"))
    last = max((entry.first_sample + entry.samples for entry in work.parts), default=0)
    one_way = [side for side in SIDES if sides[side].silent]
    flags = [Flag.ONE_WAY] if len(one_way) == 1 else []
    if call is not None and call.answered_ns is not None and not call.answer_seen:
        flags.append(Flag.ANSWER_NOT_SEEN)
    if clock_stepped:
        flags.append(Flag.CLOCK_STEP)
    if publisher.book.lacks(work.config):
        flags.append(Flag.CONFIGURATION_MISSING)
    if settings.mask_dtmf:
        flags.append(Flag.DTMF_MASKED)
    zone = settings.zone
    begin_ns = _begin_ns(work, call)
    return CallRecord(
        software=settings.software,
        config_digest=settings.config_digest,
        source=settings.source,
        call_id=work.call_id,
        outcome=outcome,
        reasons=reasons,
        rule=work.decision.rule or None,
        end_cause=StoredEndCause(ending.cause.value),
        clock=clock,
        started_at=work.shown(work.first_ns, zone),
        answered_at=work.shown_if(call.answered_ns if call else None, zone),
        ended_at=work.shown(ending.ended_ns, zone),
        origin_at=work.shown_if(work.origin_ns if work.parts else None, zone),
        duration_s=0.0 if begin_ns is None else round(max(0, ending.ended_ns - begin_ns) / 1e9, 3),
        expected_samples=expected,
        network_lost_samples=network,
        capture_lost_samples=captured,
        completeness=_percent(expected - network - captured, expected),
        capture_completeness=_percent(expected - captured, expected),
        direction=Direction(work.decision.direction),
        enterprise=work.decision.enterprise or None,
        line=work.decision.line or None,
        caller=publish.party(call, Side.CALLER),
        callee=publish.party(call, Side.CALLEE),
        dialled=call.dialled if call else "",
        asserted=tuple(call.asserted) if call else (),
        diversion=tuple(call.diversion) if call else (),
        privacy=call.privacy if call else False,
        sip=publish.sip_of(work, call),
        links=links,
        holds=publish.holds_within(work, call, 0, last),
        dtmf=publisher.keys(work, call, work.digits, 0, last),
        codecs=tuple(dict.fromkeys([*work.codecs, *(stream.codec for stream in work.unrecorded if stream.codec)])),
        sides=(_summary(work, Side.CALLER, sides), _summary(work, Side.CALLEE, sides)),
        parts=tuple(work.parts),
        unrecorded=tuple(work.unrecorded),
        too_late=tuple(_too_late(work, settings)),
        flags=tuple(sorted(flags)),
    )


def _begin_ns(work: Work, call: SipCall | None) -> int | None:
    """Return when the time that counts began: the answer, or a medium's first packet."""
    return work.first_ns if call is None or not work.sip_key else call.answered_ns


def _percent(part: int, whole: int) -> float | None:
    return round(100 * max(0, part) / whole, 3) if whole else None


def _side(work: Work, call: SipCall | None, side: Side, ending: Ending, outages_of: OutagesOf) -> _SideAccount:
    """Hold one side against what was to be expected of it: answer to end, less hold."""
    begin_ns = _begin_ns(work, call)
    if begin_ns is None or not work.decision.wanted:
        return _SideAccount(expected=0, network=0, capture=0, silent=False)
    totals = work.totals[side]
    why = {stream.reason for stream in work.unrecorded if stream.side == side.value}
    if not totals.packets and why & _UNREADABLE:  # all of it may have come: no recording can tell
        return _SideAccount(expected=0, network=0, capture=0, silent=False)
    recorders_own = Reason.CAPTURE_LOSS in why or not work.is_written
    outages = _ALWAYS if recorders_own else outages_of(work.interfaces(side))
    if work.origin_ns is None:
        expected = max(0, (ending.ended_ns - begin_ns) // SAMPLE_NS)
        shift = (begin_ns - work.first_ns) // SAMPLE_NS
        unseen = _length(_within([(shift, shift + expected)], outages))
        return _SideAccount(expected=expected, network=expected - unseen, capture=unseen, silent=True)
    begin, end = max(0, work.sample_at(begin_ns)), work.sample_at(ending.ended_ns)
    held = _joined(
        (work.sample_at(h.start_ns), end if h.end_ns is None else work.sample_at(h.end_ns))
        for h in (call.holds if call and work.sip_key else ())
    )
    talking = _without([(begin, end)] if begin < end else [], held)
    if not totals.packets and not _should_speak(call if work.sip_key else None, side):
        return _SideAccount(expected=0, network=0, capture=0, silent=False)
    unexplained = _unexplained(work, call, side, talking)
    network = [*_within(talking, _joined(totals.network_spans)), *_without(unexplained, outages)]
    missed = [*_within(talking, _joined(totals.capture_spans)), *_within(unexplained, outages)]
    return _SideAccount(
        expected=_length(talking),
        network=_length(network),
        capture=_length(missed),
        longest=max((high - low for low, high in network), default=0),
        unheard=max((high - low for low, high in unexplained), default=0) if totals.packets else 0,
        silent=not totals.packets,
    )


def _unexplained(work: Work, call: SipCall | None, side: Side, talking: Spans) -> Spans:
    """Return where a side should have been heard and none of its streams reaches.

    A side may need a while to begin after the answer's ACK and may stop before its BYE, and nothing tells that a packet
    was lost there. So short stretches count for nothing.
    """
    heard = _joined(work.totals[side].spans)
    found = _without(talking, heard)
    if call is not None and work.sip_key and heard and found and found[0][0] == talking[0][0]:
        low, high = found[0]
        found = [(max(low, min(high, _heard_of_answer(work, call))), high), *found[1:]]
    return [(low, high) for low, high in found if high - low > UNEXPLAINED_SAMPLES]


def _heard_of_answer(work: Work, call: SipCall) -> int:
    """Sample at which both sides know of the answer: it may have been lost on its way, and come again."""
    if call.acked_ns is None or call.answered_ns is None:
        return 0
    return work.sample_at(min(call.acked_ns, call.answered_ns + ACK_NS))


def _should_speak(call: SipCall | None, side: Side) -> bool:
    """Whether a side that sent nothing was to send, by its last word on audio."""
    if call is None:
        return True
    audio: MediaEpoch | None = next((e for e in reversed(call.media) if e.media == "audio" and e.side is side), None)
    return audio is None or audio.direction in ("sendrecv", "sendonly")


def _outcome(
    work: Work, call: SipCall | None, sides: dict[Side, _SideAccount], ending: Ending
) -> tuple[Outcome, tuple[Reason, ...]]:
    if not work.decision.wanted:
        reasons = [Reason(work.decision.reason.value)]
        if call is not None and work.sip_key and call.answered_ns is None:
            reasons.append(Reason.NOT_ANSWERED)
        return Outcome.NOT_EXPECTED, tuple(reasons)
    if call is not None and work.sip_key and call.answered_ns is None:
        return Outcome.NOT_EXPECTED, (Reason.NOT_ANSWERED,)
    if not work.parts:
        return Outcome.NOT_RECORDED, _why_nothing(work, sides)
    partly = _why_partly(work, call, sides, ending)
    return (Outcome.PARTLY, partly) if partly else (Outcome.RECORDED, ())


def _why_nothing(work: Work, sides: dict[Side, _SideAccount]) -> tuple[Reason, ...]:
    if work.failed is not None:
        return (work.failed,)
    missed = sum(side.capture for side in sides.values())
    if work.overrun and (work.missing or missed):
        return (Reason.JOURNAL_OVERRUN,)
    if work.missing:
        return (Reason.DECODE_FAILED, Reason.JOURNAL_DAMAGED)
    found = dict.fromkeys(stream.reason for stream in work.unrecorded if stream.reason is not Reason.NO_MEDIA)
    if found:
        return tuple(found)
    if missed > sum(side.network for side in sides.values()):
        return (Reason.CAPTURE_LOSS, Reason.JOURNAL_DAMAGED) if work.damaged else (Reason.CAPTURE_LOSS,)
    return (Reason.NO_MEDIA,)


def _why_partly(
    work: Work, call: SipCall | None, sides: dict[Side, _SideAccount], ending: Ending
) -> tuple[Reason, ...]:
    reasons = [Reason.DECODE_FAILED] if work.aside else []
    silent = [side for side in SIDES if sides[side].silent and sides[side].expected]
    if len(silent) == 1:
        reasons.append(Reason.ONE_WAY)
    spoke = [side for side in SIDES if not sides[side].silent]
    longest = max((sides[side].longest for side in spoke), default=0)
    if any(sides[s].network > TOLERATED_LOSS * sides[s].expected for s in spoke) or longest > TOLERATED_GAP_SAMPLES:
        reasons.append(Reason.NETWORK_LOSS)
    if any(sides[side].capture for side in SIDES):
        reasons.append(Reason.CAPTURE_LOSS)
        if work.overrun:
            reasons.append(Reason.JOURNAL_OVERRUN)
        if work.damaged:
            reasons.append(Reason.JOURNAL_DAMAGED)
    if ending.joined_late:
        reasons.append(Reason.RECORDER_JOINED_LATE)
    if ending.cause is EndCause.CAPTURE_ENDED:
        reasons.append(Reason.CAPTURE_ENDED)
    elif call is not None and work.sip_key and not call.bye_seen:
        reasons.append(Reason.BYE_NOT_SEEN)
    if work.missing and not work.overrun:
        reasons.append(Reason.JOURNAL_DAMAGED)
    if work.failed is not None:
        reasons.append(work.failed)
    others = [stream for stream in work.unrecorded if stream.reason is not Reason.NO_MEDIA]
    reasons += [stream.reason for stream in others if stream.packets > TOLERATED_PACKETS]
    return tuple(dict.fromkeys(reasons))


def _summary(work: Work, side: Side, sides: dict[Side, _SideAccount]) -> SideSummary:
    totals: SideTotals = work.totals[side]
    other = sides[side.other]
    return SideSummary(
        side=StoredSide(side.value),
        expected_samples=sides[side].expected,
        network_lost_samples=sides[side].network,
        capture_lost_samples=sides[side].capture,
        packets=totals.packets,
        lost=totals.lost,
        capture_lost=totals.capture_lost,
        duplicates=totals.duplicates,
        reordered=totals.reordered,
        too_late=totals.too_late,
        jitter_max_ms=totals.jitter_max_ms,
        longest_gap_ms=max(totals.longest_gap_ms, round(sides[side].unheard / 8, 3)),
        mos=mos(totals.packets, totals.lost, totals.loss_runs, quality.BPL_CONCEALED),
        mos_unconcealed=mos(totals.packets, totals.lost, totals.loss_runs, quality.BPL_UNCONCEALED),
        silence_share=share_of(totals.silent_frames, totals.frames),
        clipping_share=share_of(totals.clipped, totals.samples),
        one_way=sides[side].silent and not other.silent,
    )


def _too_late(work: Work, settings: AssemblySettings) -> Iterable[TooLate]:
    for (_, _, ssrc), (packets, first_ns, last_ns) in work.too_late.items():
        first_at, last_at = (work.shown(ns, settings.zone) for ns in (first_ns, last_ns))
        yield TooLate(f"0x{ssrc:08x}", packets, first_at, last_at)


def _joined(spans: Iterable[tuple[int, int]]) -> Spans:
    """Sort spans and join those that touch."""
    out: Spans = []
    for low, high in sorted(spans):
        if low >= high:
            continue
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out


def _within(spans: Spans, limits: Spans) -> Spans:
    """Intersect two lists of disjoint, ascending spans."""
    return [(max(a, c), min(b, d)) for a, b in spans for c, d in limits if max(a, c) < min(b, d)]


def _without(spans: Spans, holes: Spans) -> Spans:
    """Take holes (disjoint, ascending) out of spans."""
    out: Spans = []
    for low, high in spans:
        cursor = low
        for begin, end in holes:
            if end <= cursor or begin >= high:
                continue
            if begin > cursor:
                out.append((cursor, begin))
            cursor = max(cursor, end)
        if cursor < high:
            out.append((cursor, high))
    return out


def _length(spans: Spans) -> int:
    return sum(high - low for low, high in spans)
