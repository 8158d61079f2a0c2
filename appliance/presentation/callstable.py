"""`rokubox calls`: the call records of an archive as a table, or as JSON."""

import sys
from collections.abc import Sequence

from rich.table import Table

from appliance.presentation import terminal
from appliance.presentation.terminal import printable
from storage.archive import Archive
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.json_form import to_json_line

FULL_WIDTH = 110
"""From this many columns on there is room for the figures too."""
ONE_LINE_WIDTH = 150
"""From this many columns on the reasons stand beside the outcome, not below it."""
_OFFSET_AT = 29
"""Where the offset begins in a time of a record, behind nine digits of nanoseconds."""


def show(archive: Archive, *, as_json: bool) -> int:
    """Print every call record; return how many could not be read."""
    damaged: list[DamagedRecordError] = []
    if as_json:
        for call in archive.calls(damaged.append):
            sys.stdout.buffer.write(to_json_line(call))
    else:
        calls = list(archive.calls(damaged.append))
        console = terminal.output()
        if calls:
            console.print(table(calls, console.width))
        console.print(f"{len(calls):,} call{'s' * (len(calls) != 1)}")
        late = archive.late_records(damaged.append)
        packets = sum(record.packets for record in late)
        if packets:
            console.print(printable(f"{packets:,} packet(s) came after the end of their call: {archive.late}"))
    for error in damaged:
        terminal.errors().print(f"rokubox: {printable(str(error))}")
    return len(damaged)


def table(calls: list[CallRecord], width: int) -> Table:
    """Lay out calls for people in `width` columns; a long number goes on in the next line of its cell."""
    offsets = {call.started_at[_OFFSET_AT:] for call in calls}
    zone = offsets.pop() if len(offsets) == 1 else ""
    shown = Table(box=None, padding=(0, 2 if width >= FULL_WIDTH else 1, 0, 0), pad_edge=False, header_style="bold")
    shown.add_column(f"started {zone}".strip(), no_wrap=True)
    shown.add_column("dir", no_wrap=True)
    shown.add_column("caller", overflow="fold")
    shown.add_column("callee", overflow="fold")
    shown.add_column("length", justify="right", no_wrap=True)
    shown.add_column("outcome", no_wrap=True)
    if width >= FULL_WIDTH:
        shown.add_column("complete", justify="right", no_wrap=True)
        shown.add_column("MOS", justify="right", no_wrap=True)
        shown.add_column("parts", justify="right", no_wrap=True)
        shown.add_column("id", no_wrap=True)
    for call in calls:
        outcome = outcome_text(call.outcome.value, call.reasons, one_line=width >= ONE_LINE_WIDTH)
        row = (*_row(call, with_offset=not zone), outcome, *_figures(call))
        shown.add_row(*row[: len(shown.columns)])
    return shown


def length_text(seconds: float) -> str:
    """Return `1:02:05` or `2:05`, rounded to the second."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"


def outcome_text(outcome: str, reasons: Sequence[str], *, one_line: bool) -> str:
    """Return the outcome and why, the reasons beside it or below."""
    if not reasons:
        return outcome
    return f"{outcome}: {', '.join(reasons)}" if one_line else "\n".join((f"{outcome}:", *reasons))


def _row(call: CallRecord, *, with_offset: bool) -> tuple[str, ...]:
    started = call.started_at
    return (
        f"{started[:10]} {started[11:19]}{started[_OFFSET_AT:] if with_offset else ''}",
        call.direction.value,
        printable(call.caller.number) or "-",
        printable(call.callee.number or call.dialled) or "-",
        length_text(call.duration_s),
    )


def _figures(call: CallRecord) -> tuple[str, ...]:
    heard = [side.mos for side in call.sides if side.mos is not None]
    return (
        "-" if call.completeness is None else f"{call.completeness:.2f} %",
        f"{min(heard):.2f}" if heard else "-",
        str(len(call.parts)),
        call.call_id[:10],
    )
