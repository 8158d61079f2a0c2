"""`rokubox calls`: the call records of an archive as a table, or as JSON."""

import sys
from collections.abc import Sequence

from rich.table import Table

from appliance.presentation import callcolumns, terminal
from appliance.presentation.callcolumns import CallLine
from appliance.presentation.terminal import printable
from storage.archive import Archive
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.json_form import to_json_line
from storage.layout import ID_DIGITS

FIGURES = ("complete", "MOS", "parts", "id")
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


def table(calls: Sequence[CallRecord], width: int) -> Table:
    """Lay out calls for people in `width` columns."""
    return callcolumns.table([_line(call) for call in calls], width, FIGURES)


def _line(call: CallRecord) -> CallLine:
    started = call.started_at
    heard = [side.mos for side in call.sides if side.mos is not None]
    return CallLine(
        started=f"{started[:10]} {started[11:19]}",
        offset=started[_OFFSET_AT:],
        direction=call.direction.value,
        caller=call.caller.number,
        callee=call.callee.number or call.dialled,
        length_s=call.duration_s,
        outcome=call.outcome.value,
        reasons=call.reasons,
        figures=(
            "-" if call.completeness is None else f"{call.completeness:.2f} %",
            f"{min(heard):.2f}" if heard else "-",
            str(len(call.parts)),
            call.call_id[:ID_DIGITS],
        ),
    )
