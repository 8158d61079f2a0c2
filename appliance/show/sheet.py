"""One call as text for a terminal: what it was, each side's figures, parts, gaps, holds, keys, links."""

from collections import defaultdict
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from appliance.presentation.callcolumns import length_text
from appliance.presentation.terminal import printable
from appliance.show.labels import Language, Words, label
from appliance.show.scale import clock
from appliance.show.view import SIDES, CallView
from storage.call_record import CallRecord, SideSummary
from storage.records import Party
from storage.vocabulary import SAMPLE_RATE_HZ, FillCause, Side

MOST_LISTED = 20
"""Holds and the like; the picture has them all."""
FIGURES = (
    "packets パケット",
    "lost 網内損失",
    "capture lost 記録側損失",
    "late 遅延",
    "jitter ジッター",
    "gap 最長欠落",
    "MOS",
    "silence 無音",
    "clipping クリップ",
)
"""Names of what is told of each side."""
_Rows = Iterator[tuple[str, str]]


def show(console: Console, view: CallView, language: Language) -> None:
    """Print everything that is known of a call."""
    console.print(_pairs([*_who_and_when(view, language), *_what(view, language)]))
    if view.record is not None:
        console.print()
        console.print(_sides(view.record, language))
    if view.parts:
        console.print()
        console.print(_parts(view))
    told = [*_gaps(view, language), *_events(view, language), *_links(view)]
    if told:
        console.print()
        console.print(_pairs(told))


def _pairs(rows: list[tuple[str, str]]) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in rows:
        shown.add_row(name, printable(value))
    return shown


def _who_and_when(view: CallView, language: Language) -> _Rows:
    head = view.head
    yield "id", head.call_id
    yield label(Side.CALLER, language), _party(head.caller)
    yield label(Side.CALLEE, language), _party(head.callee, head.dialled)
    if head.dialled and head.dialled != head.callee.number:
        yield "dialled 発信番号", head.dialled
    yield "direction 方向", label(head.direction, language)
    if head.line or head.enterprise:
        yield "line 回線", "  ".join(text for text in (head.line, head.enterprise) if text)
    yield "started 開始", _time(head.started_at)
    if head.answered_at:
        yield label(Words.ANSWER, language), _time(head.answered_at)
    if head.ended_at:
        yield "ended 終話", _time(head.ended_at)


def _what(view: CallView, language: Language) -> _Rows:
    head, record = view.head, view.record
    outcome = label(head.outcome or Words.IN_PROGRESS, language)
    reasons = ", ".join(label(reason, language) for reason in head.reasons)
    yield "outcome 結果", f"{outcome}: {reasons}" if reasons else outcome
    if record is not None:
        yield "length 通話時間", length_text(record.duration_s)
        if record.completeness is not None:
            yield "complete 完全性", f"{record.completeness:.3f} %"
        yield "end 終話要因", record.end_cause.value
        if record.rule:
            yield "rule 規則", record.rule
        if record.flags:
            yield "flags", ", ".join(record.flags)
        clock_state = {True: "yes", False: "no", None: "unknown"}[record.clock.synchronised]
        yield "clock 時計同期", f"{clock_state} ({record.clock.source})"
    if view.legal_holds:
        yield "legal hold 法的保全", ", ".join(view.legal_holds)


def _party(party: Party, dialled: str = "") -> str:
    number = party.number or dialled or "-"
    return f"{number}  {party.display}" if party.display else number


def _time(text: str) -> str:
    return f"{text[:10]} {text[11:23]} {text[29:]}"


def _sides(record: CallRecord, language: Language) -> Table:
    """A row for each figure: both languages of all names do not fit a terminal side by side."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    shown.add_column("", no_wrap=True)
    for side in record.sides:
        shown.add_column(label(side.side, language), justify="right", no_wrap=True)
    for name, *figures in zip(FIGURES, *(_figures(side) for side in record.sides), strict=True):
        shown.add_row(name, *figures)
    return shown


def _figures(side: SideSummary) -> tuple[str, ...]:
    return (
        f"{side.packets:,}",
        f"{side.lost:,}",
        f"{side.capture_lost:,}",
        f"{side.too_late:,}",
        f"{side.jitter_max_ms:.1f} ms",
        f"{side.longest_gap_ms:.0f} ms",
        "-" if side.mos is None else f"{side.mos:.2f}",
        f"{side.silence_share:.0%}",
        f"{side.clipping_share:.2%}",
    )


def _parts(view: CallView) -> Table:
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    shown.add_column("part パート", no_wrap=True)
    for name in ("from 開始", "length 長さ"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("form", no_wrap=True)
    shown.add_column("codecs", no_wrap=True)
    for part in view.parts:
        codecs = dict.fromkeys(
            stream.codec for channel in (part.record.channels if part.record else ()) for stream in channel.streams
        )
        form = part.record.form.value if part.record else part.problem or "not in the archive 保管なし"
        times = (clock(part.first / SAMPLE_RATE_HZ), clock(part.samples / SAMPLE_RATE_HZ))
        shown.add_row(f"p{part.number:02d}", *times, form, " ".join(codecs))
    return shown


def _gaps(view: CallView, language: Language) -> _Rows:
    for side in SIDES:
        found: defaultdict[FillCause, list[int]] = defaultdict(list)
        for gap in view.gaps(side):
            found[gap.cause].append(gap.samples)
        for cause, samples in sorted(found.items()):
            longest = max(samples) / SAMPLE_RATE_HZ
            told = f"{len(samples):,}×, {sum(samples) / SAMPLE_RATE_HZ:.2f} s, longest {longest:.2f} s"
            yield f"{label(side, language)}: {label(cause, language)}", told


def _events(view: CallView, language: Language) -> _Rows:
    holds = [
        f"{clock(hold.first_sample / SAMPLE_RATE_HZ)} + {clock(hold.samples / SAMPLE_RATE_HZ)}"
        f" ({label(hold.side, language)})"
        for hold in view.head.holds
    ]
    if holds:
        more = len(holds) - MOST_LISTED
        yield label(Words.HOLD, language), ", ".join(holds[:MOST_LISTED]) + (f", and {more} more" if more > 0 else "")
    for side in SIDES:
        keys = "".join(key.digit for key in view.head.dtmf if key.side is side)
        if keys:
            yield f"{label(side, language)}: {label(Words.DTMF, language)}", keys
    for stream in view.record.unrecorded if view.record else ():
        told = f"{stream.codec or '-'} {stream.packets:,} packets: {label(stream.reason, language)}"
        yield "not in a part 未収録", told


def _links(view: CallView) -> _Rows:
    links = view.record.links if view.record else None
    if links is not None:
        for name, link in (
            ("replaces", links.replaces),
            ("transferred from", links.transferred_from),
            ("second leg of", links.second_leg_of),
        ):
            if link is not None:
                yield name, link.call_id or f"SIP call {link.sip_call_id}, not seen here"
    for kind, call_id in view.followers:
        yield f"followed by ({kind.replace('_', ' ')})", call_id
