"""What `rokubox totals` summed up: as a table for people, as JSON lines and as CSV for programs."""

import csv
import sys
from collections.abc import Sequence

import msgspec
from rich.table import Table

from appliance.presentation import terminal
from appliance.presentation.callcolumns import length_text
from appliance.presentation.spreadsheet import cell
from appliance.presentation.terminal import printable
from storage.index.totals import Per, Total, TotalsQuery

_HEADINGS = {
    "day": "day 日",
    "month": "month 月",
    "enterprise": "enterprise 企業ID",
    "line": "line 回線",
    "outcome": "outcome 結果",
    "calls": "calls 通話数",
    "incoming": "in 着信",
    "outgoing": "out 発信",
    "seconds": "time 通話時間",
    "peak": "peak 同時最大",
}
_TEXTS = ("day", "month", "enterprise", "line", "outcome")


def fields(total: Total, query: TotalsQuery) -> dict[str, object]:
    """A sum for programs: what it is of, then its figures."""
    by_line = query.by_line or bool(query.lines)
    return {
        **({query.per.value: period_text(total.period)} if query.per is not Per.ALL else {}),
        **({"enterprise": total.enterprise, "line": total.line} if by_line else {}),
        **({"outcome": total.outcome.value if total.outcome else None} if query.by_outcome else {}),
        "calls": total.calls,
        "incoming": total.incoming,
        "outgoing": total.outgoing,
        "seconds": total.length_ms / 1000,
        "peak": total.peak,
    }


def period_text(period: int) -> str:
    """`2026-01-02` or `2026-01`."""
    digits = str(period).zfill(8 if period > 999_999 else 6)
    return "-".join(filter(None, (digits[:4], digits[4:6], digits[6:])))


def print_json(totals: Sequence[Total], query: TotalsQuery) -> None:
    """One object a line."""
    for total in totals:
        sys.stdout.buffer.write(msgspec.json.encode(fields(total, query)) + b"\n")
    sys.stdout.buffer.flush()


def print_csv(totals: Sequence[Total], query: TotalsQuery) -> None:
    """A heading and a line for each sum."""
    nothing = Total(
        period=0, enterprise="", line="", outcome=None, calls=0, incoming=0, outgoing=0, length_ms=0, peak=0
    )
    writer = csv.DictWriter(sys.stdout, list(fields(nothing, query)), lineterminator="\r\n")
    writer.writeheader()
    for total in totals:
        writer.writerow({name: cell(value) for name, value in fields(total, query).items()})


def show(totals: Sequence[Total], query: TotalsQuery) -> None:
    """Print a table."""
    console = terminal.output()
    if not totals:
        console.print("no calls / 該当する通話はありません")
        return
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in fields(totals[0], query):
        shown.add_column(_HEADINGS[name], justify="left" if name in _TEXTS else "right", no_wrap=name != "line")
    for total in totals:
        shown.add_row(*(_text(name, value) for name, value in fields(total, query).items()))
    console.print(shown)


def _text(name: str, value: object) -> str:
    match value:
        case float() if name == "seconds":
            return length_text(value)
        case int():
            return f"{value:,}"
        case _:
            return printable(str(value or "")) or "-"
