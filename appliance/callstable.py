"""`rokubox calls`: the call records of an archive as a table, or as JSON."""

import sys

from rich import box
from rich.console import Console
from rich.table import Table

from storage.archive import Archive
from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.json_form import to_json_line


def show(archive: Archive, *, as_json: bool) -> int:
    """Print every call record; return how many could not be read."""
    damaged: list[DamagedRecordError] = []
    if as_json:
        for call in archive.calls(damaged.append):
            sys.stdout.buffer.write(to_json_line(call))
        sys.stdout.flush()
    else:
        calls = list(archive.calls(damaged.append))
        console = Console()
        console.print(table(calls))
        console.print(f"{len(calls):,} calls")
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    for error in damaged:
        errors.print(f"rokubox: {error}", markup=False)
    return len(damaged)


def table(calls: list[CallRecord]) -> Table:
    """Lay out calls for people."""
    shown = Table(box=box.SIMPLE)
    for name, justify in (
        ("started", "left"),
        ("dir", "left"),
        ("caller", "left"),
        ("callee", "left"),
        ("length", "right"),
        ("outcome", "left"),
        ("reason", "left"),
        ("complete", "right"),
        ("MOS", "right"),
        ("parts", "right"),
        ("id", "left"),
    ):
        shown.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
    for call in calls:
        shown.add_row(*_row(call))
    return shown


def _row(call: CallRecord) -> tuple[str, ...]:
    started = call.started_at
    minutes, seconds = divmod(round(call.duration_s), 60)
    heard = [side.mos for side in call.sides if side.mos is not None]
    return (
        f"{started[:10]} {started[11:19]}{started[29:]}",
        call.direction.value,
        call.caller.number or "-",
        call.callee.number or call.dialled or "-",
        f"{minutes}:{seconds:02d}",
        call.outcome.value,
        ", ".join(reason.value for reason in call.reasons) or "-",
        "-" if call.completeness is None else f"{call.completeness:.2f} %",
        "-" if not heard else f"{min(heard):.2f}",
        str(len(call.parts)),
        call.call_id[:10],
    )
