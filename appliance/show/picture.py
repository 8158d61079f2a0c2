"""One call as a picture (SVG): both channels, what is missing and why, holds, keys, parts, and the figures. Pure.

+----------------------------------------------------------------+
| time, parties, outcome                                         |
|          +---------------------------------------------------+ |
| caller   | waveform, gaps over it, holds behind it, keys     | |
|          +---------------------------------------------------+ |
|          |    0:00      0:05      0:10      time line        | |
|          +---------------------------------------------------+ |
| callee   | the same                                          | |
|          +---------------------------------------------------+ |
| what the colours mean, with how much of it there is            |
+----------------------------------------------------------------+
"""

from collections import defaultdict
from collections.abc import Iterator

from appliance.show import svg
from appliance.show.labels import Language, Words, label
from appliance.show.scale import Scale, clock
from appliance.show.view import SIDES, CallView, ShownPart
from dsp.envelope import Envelope
from storage.call_record import SideSummary
from storage.part_record import StreamRecord
from storage.records import Dtmf
from storage.timestamps import NS_PER_S, instant_ns
from storage.vocabulary import SAMPLE_RATE_HZ, Direction, FillCause, Outcome, Side

WIDTH = 1280
MARGIN = 28
LABEL_WIDTH = 172
WAVE_WIDTH = WIDTH - 2 * MARGIN - LABEL_WIDTH
HEAD_HEIGHT = 112
KEYS_HEIGHT = 26
LANE_HEIGHT = 132
AXIS_HEIGHT = 44
LEGEND_ROW = 24
LEGEND_COLUMNS = 3
LEAST_LOUD = 2048
"""A channel that is quieter than this (-24 dBFS) is not blown up to the full height."""
LEAST_WIDTH = 2.0
"""Pixels that a gap takes however short it is."""
INK, FAINT, PAPER, LANE = "#1f2933", "#66727f", "#ffffff", "#f4f6f8"
WAVES = {Side.CALLER: ("#9cc3ea", "#2563a8"), Side.CALLEE: ("#9ad6bd", "#1c7a57")}
GAPS = {
    FillCause.LOSS: "#d64545",
    FillCause.CAPTURE_LOSS: "#8a3ffc",
    FillCause.DISCONTINUITY: "#111827",
    FillCause.COMFORT_NOISE: "#a9b4c0",
    FillCause.SILENCE_SUPPRESSION: "#c5ccd4",
    FillCause.HOLD: "#e8b93c",
    FillCause.DTMF: "#3b82c4",
}
"""From what is wrong to what is meant to be; the first ones lie on top."""
WRONG = (FillCause.LOSS, FillCause.CAPTURE_LOSS, FillCause.DISCONTINUITY)
HOLD, KEY, MISSING = "#fbe9b7", "#245b94", "url(#missing)"
RIMS = {HOLD: "#c9a227", MISSING: "#aab4bf"}
BADGES = {
    Outcome.RECORDED: "#1c7a57",
    Outcome.PARTLY: "#b7791f",
    Outcome.NOT_RECORDED: "#c53030",
    Outcome.NOT_EXPECTED: "#66727f",
    None: "#2563a8",
}


def draw(view: CallView, language: Language) -> str:
    """The picture."""
    scale = Scale(left=MARGIN + LABEL_WIDTH, width=WAVE_WIDTH, samples=view.samples)
    above, below = (KEYS_HEIGHT * any(key.side is side for key in view.head.dtmf) for side in SIDES)
    tops = (HEAD_HEIGHT + above, HEAD_HEIGHT + above + LANE_HEIGHT + AXIS_HEIGHT)
    legend = list(_legend_entries(view, language))
    legend_top = tops[1] + LANE_HEIGHT + below + 24
    height = legend_top + LEGEND_ROW * -(-len(legend) // LEGEND_COLUMNS) + MARGIN
    body = [svg.rectangle(0, 0, WIDTH, height, fill=PAPER), _hatches(), *_head(view, language)]
    for number, (side, top) in enumerate(zip(SIDES, tops, strict=True)):
        body += _lane(view, side, top, scale, view.outlines[number] if view.outlines else None, language)
        body += _keys(view, side, top - 8 if number == 0 else top + LANE_HEIGHT + 19, scale)
    body += _parts(view, tops, scale)
    body += _axis(view, tops[0] + LANE_HEIGHT, scale, language)
    body += _legend(legend, legend_top)
    title = f"{view.head.started_at[:19]} {view.head.call_id[:10]}"
    return svg.document(WIDTH, height, title, body)


def _hatches() -> str:
    stripes = svg.line(0, 0, 0, 8, stroke="#aab4bf", stroke_width=3)
    turned = {"patternUnits": "userSpaceOnUse", "patternTransform": "rotate(45)"}
    pattern = svg.element("pattern", stripes, {"id": "missing", "width": 8, "height": 8, **turned})
    return svg.element("defs", pattern, {})


def _head(view: CallView, language: Language) -> Iterator[str]:
    head = view.head
    caller = head.caller.number or "-"
    callee = head.callee.number or head.dialled or "-"
    yield svg.text(MARGIN, 46, f"{caller}  →  {callee}", font_size=24, font_weight="bold", fill=INK)
    started = f"{head.started_at[:10]}  {head.started_at[11:19]}  {head.started_at[29:]}"
    yield svg.text(WIDTH - MARGIN, 46, started, font_size=20, text_anchor="end", fill=INK)
    outcome = label(head.outcome or Words.IN_PROGRESS, language)
    width = _text_width(outcome, 13) + 24
    yield svg.rectangle(MARGIN, 62, width, 26, rx=13, fill=BADGES[head.outcome])
    yield svg.text(MARGIN + width / 2, 80, outcome, text_anchor="middle", fill=PAPER, font_weight="bold")
    details = [label(reason, language) for reason in head.reasons]
    if head.direction is not Direction.UNK:
        details.append(label(head.direction, language))
    details += [text for text in (head.enterprise, head.line) if text]
    yield svg.text(MARGIN + width + 14, 80, "  ·  ".join(details), fill=INK)
    yield svg.text(WIDTH - MARGIN, 80, f"id {head.call_id[:16]}", text_anchor="end", fill=FAINT)


def _lane(
    view: CallView, side: Side, top: float, scale: Scale, outline: Envelope | None, language: Language
) -> Iterator[str]:
    yield svg.rectangle(scale.left, top, scale.width, LANE_HEIGHT, fill=LANE)
    holds = scale.spans([hold[:2] for hold in view.head.holds], LEAST_WIDTH)
    for left, width in holds:
        yield svg.rectangle(left, top, width, LANE_HEIGHT, fill=HOLD)
    middle = top + LANE_HEIGHT / 2
    if outline is not None:
        yield from _wave(outline, middle, scale, WAVES[side], _loudest(view))
    yield svg.line(scale.left, middle, scale.left + scale.width, middle, stroke=WAVES[side][1], stroke_width=0.6)
    by_cause: defaultdict[FillCause, list[tuple[int, int]]] = defaultdict(list)
    for gap in view.gaps(side):
        by_cause[gap.cause].append((gap.first, gap.samples))
    for cause in reversed(GAPS):
        for left, width in scale.spans(by_cause[cause], LEAST_WIDTH):
            # What is wrong goes through the whole lane; what is meant to be is a band at its foot.
            high, opacity = (LANE_HEIGHT, 0.75) if cause in WRONG else (10, 1.0)
            yield svg.rectangle(left, top + LANE_HEIGHT - high, width, high, fill=GAPS[cause], fill_opacity=opacity)
    if not view.parts:
        said = label(Words.NOTHING, language)
        yield svg.text(scale.left + scale.width / 2, middle - 8, said, text_anchor="middle", fill=FAINT, font_size=15)
    yield from _side_label(view, side, top, language)


def _side_label(view: CallView, side: Side, top: float, language: Language) -> Iterator[str]:
    party = view.head.caller if side is Side.CALLER else view.head.callee
    name = label(side, language)
    yield svg.text(MARGIN, top + 18, name, font_size=15, font_weight="bold", fill=WAVES[side][1])
    said = [party.display or party.number or (view.head.dialled if side is Side.CALLEE else "") or "-"]
    said += list(_figures(view, side))
    for row, line in enumerate(said):
        shown = line if len(line) <= 24 else f"{line[:23]}…"
        yield svg.text(MARGIN, top + 40 + row * 19, shown, fill=INK if row == 0 else FAINT, font_size=12.5)


def _figures(view: CallView, side: Side) -> Iterator[str]:
    """What a technician looks at first."""
    streams = [stream for part in view.parts for stream in _streams(part, side)]
    summary = view.record.sides[SIDES.index(side)] if view.record else None
    if not streams:
        return
    moses = [stream.mos for stream in streams if stream.mos is not None]
    mos = summary.mos if summary else min(moses, default=None)
    codecs = dict.fromkeys(stream.codec for stream in streams)
    yield f"{' '.join(codecs)} · MOS {'-' if mos is None else f'{mos:.2f}'}"
    lost, expected = _loss(streams, summary)
    yield f"loss {100 * lost / max(expected, 1):.2f} % ({lost:,}/{expected:,})"
    yield f"jitter ≤ {max(stream.jitter_max_ms for stream in streams):.1f} ms"
    drifts = [stream.drift_ppm for stream in streams if stream.drift_ppm is not None]
    if drifts:
        yield f"drift {max(drifts, key=abs):+.1f} ppm"


def _streams(part: ShownPart, side: Side) -> tuple[StreamRecord, ...]:
    channels = part.record.channels if part.record else ()
    return tuple(stream for channel in channels if channel.side is side for stream in channel.streams)


def _loss(streams: list[StreamRecord], summary: SideSummary | None) -> tuple[int, int]:
    """Packets lost, and sent as far as one knows."""
    if summary is not None:
        lost = summary.lost + summary.capture_lost
        return lost, lost + summary.packets
    lost = sum(stream.lost + stream.capture_lost for stream in streams)
    return lost, lost + sum(stream.packets for stream in streams)


def _loudest(view: CallView) -> int:
    """The greatest sample of both channels, so that one scale fits both and shows which is louder."""
    outlines = view.outlines or ()
    return max([LEAST_LOUD, *(max(int(one.high.max()), -int(one.low.min())) for one in outlines)])


def _wave(outline: Envelope, middle: float, scale: Scale, colours: tuple[str, str], loudest: int) -> Iterator[str]:
    """The channel: how far the samples go, light, and their loudness, dark."""
    x = [scale.at((first + last) / 2) for first, last in zip(outline.edges[:-1], outline.edges[1:], strict=True)]
    unit = (LANE_HEIGHT / 2 - 6) / loudest
    rms = outline.rms
    for high, low, colour in ((outline.high, outline.low, colours[0]), (rms, -rms, colours[1])):
        above = [(at, middle - float(value) * unit) for at, value in zip(x, high, strict=True)]
        below = [(at, middle - float(value) * unit) for at, value in zip(x, low, strict=True)]
        yield svg.polygon([*above, *reversed(below)], fill=colour)


def _keys(view: CallView, side: Side, base: float, scale: Scale) -> Iterator[str]:
    """Keys pressed by a side, those close together in one box."""
    boxes: list[tuple[float, list[Dtmf]]] = []
    for key in view.head.dtmf:
        if key.side is not side:
            continue
        at = scale.at(key.first_sample)
        if boxes and at < boxes[-1][0] + 10 * len(boxes[-1][1]) + 14:
            boxes[-1][1].append(key)
        else:
            boxes.append((at, [key]))
    for at, keys in boxes:
        digits = "".join(key.digit for key in keys)
        width = 9 * min(len(digits), 16) + 10
        left = min(at, scale.left + scale.width - width)
        yield svg.rectangle(left, base - 14, width, 18, rx=4, fill=KEY)
        shown = digits if len(digits) <= 16 else f"{digits[:15]}…"
        yield svg.text(left + width / 2, base, shown, text_anchor="middle", fill=PAPER, font_weight="bold")


def _parts(view: CallView, tops: tuple[float, float], scale: Scale) -> Iterator[str]:
    """Where one part ends and the next begins, and which are missing."""
    for part in view.parts:
        left, right = scale.at(part.first), scale.at(part.first + part.samples)
        if part.record is None:
            for top in tops:
                yield svg.rectangle(left, top, max(right - left, 1), LANE_HEIGHT, fill=MISSING)
        if len(view.parts) > 1:
            if part.first:
                yield svg.line(left, tops[0], left, tops[1] + LANE_HEIGHT, stroke=INK, stroke_dasharray="4 3")
            if right - left > 30:
                place, name = tops[1] + LANE_HEIGHT - 5, f"p{part.number:02d}"
                yield svg.text(left + 5, place, name, fill=INK, stroke=LANE, stroke_width=3, paint_order="stroke")


def _axis(view: CallView, top: float, scale: Scale, language: Language) -> Iterator[str]:
    """Time from the start of the recording, and by the clock at both ends."""
    end = scale.left + scale.width
    for x, name in scale.ticks(86):
        for y in (top, top + AXIS_HEIGHT):
            yield svg.line(x, y, x, y + (5 if y == top else -5), stroke=FAINT)
        anchor = "start" if x < scale.left + 12 else "end" if x > end - 12 else "middle"
        yield svg.text(x, top + 20, name, text_anchor=anchor, fill=INK)
    origin = view.head.origin_at or view.head.started_at
    last_ns = instant_ns(origin) + view.samples * NS_PER_S // SAMPLE_RATE_HZ
    yield svg.text(scale.left, top + 36, origin[11:23], fill=FAINT, font_size=11)
    yield svg.text(end, top + 36, _clock_after(origin, last_ns), text_anchor="end", fill=FAINT, font_size=11)
    answer = view.answer_sample
    if answer:
        x = scale.at(answer)
        colour = BADGES[Outcome.RECORDED]
        yield svg.line(x, top - LANE_HEIGHT, x, top + AXIS_HEIGHT + LANE_HEIGHT, stroke=colour)
        left = min(max(x + 4, scale.left + 80), end - 170)  # beside the clock times at both ends
        yield svg.text(left, top + 36, f"◂ {label(Words.ANSWER, language)}", fill=colour, font_size=11)


def _clock_after(origin: str, instant: int) -> str:
    """Local time of an instant, at the offset that held at the origin."""
    shift_ns = instant - instant_ns(origin)
    hours, minutes, seconds = (int(part) for part in (origin[11:13], origin[14:16], origin[17:19]))
    total_ms = (hours * 3600 + minutes * 60 + seconds) * 1000 + int(origin[20:23]) + shift_ns // 1_000_000
    seconds, ms = divmod(total_ms, 1000)
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{ms:03d}"


def _legend_entries(view: CallView, language: Language) -> Iterator[tuple[str, str]]:
    """Colours that occur, and what they mean, with how often and how long."""
    found: defaultdict[FillCause, list[int]] = defaultdict(list)
    for side in SIDES:
        for gap in view.gaps(side):
            found[gap.cause].append(gap.samples)
    for cause, colour in GAPS.items():
        if found[cause]:
            yield colour, f"{label(cause, language)}: {_amount(found[cause])}"
    if view.head.holds:
        yield HOLD, f"{label(Words.HOLD, language)}: {_amount([hold.samples for hold in view.head.holds])}"
    if any(part.record is None for part in view.parts):
        yield MISSING, label(Words.PART_MISSING, language)
    if view.head.dtmf:
        yield KEY, f"{label(Words.DTMF, language)}: {len(view.head.dtmf):,}"


def _amount(stretches: list[int]) -> str:
    seconds = sum(stretches) / SAMPLE_RATE_HZ
    length = f"{seconds:.2f} s" if seconds < 60 else clock(round(seconds))
    return f"{length}  ({len(stretches):,}×)"


def _legend(entries: list[tuple[str, str]], top: float) -> Iterator[str]:
    column = (WIDTH - 2 * MARGIN) / LEGEND_COLUMNS
    for number, (colour, said) in enumerate(entries):
        x, y = MARGIN + number % LEGEND_COLUMNS * column, top + number // LEGEND_COLUMNS * LEGEND_ROW
        yield svg.rectangle(x, y, 16, 14, rx=2, fill=colour, stroke=RIMS.get(colour, "none"))
        yield svg.text(x + 24, y + 12, said, fill=INK)


def _text_width(said: str, size: float) -> float:
    """About how many pixels a text takes: full-width characters are as wide as high."""
    return sum(size if ord(character) > 0x2E7F else size * 0.58 for character in said)
