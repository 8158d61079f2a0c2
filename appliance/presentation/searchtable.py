"""What `rokubox search` found: as a table for people, as JSON lines and as CSV for programs."""

import csv
import sys
from collections.abc import Sequence

import msgspec
from rich.table import Table

from appliance.presentation import callcolumns, terminal
from appliance.presentation.callcolumns import CallLine
from appliance.presentation.spreadsheet import cell
from storage.index.reader import Hit
from storage.layout import ID_DIGITS

FIELDS = (
    "call_id",
    "started_at",
    "direction",
    "enterprise",
    "line",
    "caller",
    "callee",
    "length_s",
    "outcome",
    "reasons",
    "mos",
    "completeness",
    "parts",
    "bytes",
    "dtmf",
    "holds",
    "legal_holds",
)
FIGURES = ("MOS", "parts", "marks", "id")
IN_PROGRESS = "in_progress"


def fields(hit: Hit) -> dict[str, object]:
    """A call for programs, its `FIELDS` by name."""
    return {
        "call_id": hit.call_id,
        "started_at": hit.started_at.isoformat(timespec="milliseconds"),
        "direction": hit.direction.value,
        "enterprise": hit.enterprise,
        "line": hit.line,
        "caller": hit.caller,
        "callee": hit.callee,
        "length_s": hit.length_ms / 1000,
        "outcome": hit.outcome.value if hit.outcome else IN_PROGRESS,
        "reasons": [reason.value for reason in hit.reasons],
        "mos": hit.mos,
        "completeness": hit.completeness,
        "parts": len(hit.parts),
        "bytes": sum(part.size_bytes for part in hit.parts),
        "dtmf": hit.dtmf,
        "holds": hit.holds,
        "legal_holds": list(hit.legal_holds),
    }


def print_json(hits: Sequence[Hit]) -> None:
    """One object a line."""
    for hit in hits:
        sys.stdout.buffer.write(msgspec.json.encode(fields(hit)) + b"\n")
    sys.stdout.buffer.flush()


def print_csv(hits: Sequence[Hit]) -> None:
    """A heading and a line for each call; several reasons or holds in one cell, with spaces or semicolons."""
    writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\r\n")
    writer.writeheader()
    for hit in hits:
        row = fields(hit) | {"reasons": " ".join(hit.reasons), "legal_holds": "; ".join(hit.legal_holds)}
        writer.writerow({name: cell(value) for name, value in row.items()})


def show(hits: Sequence[Hit]) -> None:
    """Print a table."""
    console = terminal.output()
    if hits:
        console.print(table(hits, console.width))
    console.print(f"{len(hits):,} call{'s' * (len(hits) != 1)}")


def table(hits: Sequence[Hit], width: int) -> Table:
    """Lay out calls for people in `width` columns."""
    return callcolumns.table([_line(hit) for hit in hits], width, FIGURES)


def _line(hit: Hit) -> CallLine:
    return CallLine(
        started=hit.started_at.strftime("%Y-%m-%d %H:%M:%S"),
        offset=hit.started_at.strftime("%z"),
        direction=hit.direction.value,
        caller=hit.caller,
        callee=hit.callee,
        length_s=hit.length_ms / 1000,
        outcome=hit.outcome.value if hit.outcome else "in progress",
        reasons=hit.reasons,
        figures=(
            "-" if hit.mos is None else f"{hit.mos:.2f}",
            str(len(hit.parts)),
            " ".join(_marks(hit)) or "-",
            hit.call_id[:ID_DIGITS],
        ),
    )


def _marks(hit: Hit) -> list[str]:
    marks = [("dtmf", bool(hit.dtmf)), ("hold", bool(hit.holds)), ("legal", bool(hit.legal_holds))]
    return [name for name, is_set in marks if is_set]
