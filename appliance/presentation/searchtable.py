"""What `rokubox search` found: as a table for people, as JSON lines and as CSV for programs."""

import csv
import sys
from collections.abc import Sequence

import msgspec
from rich.table import Table

from appliance.presentation import terminal
from appliance.presentation.callstable import FULL_WIDTH, ONE_LINE_WIDTH, length_text, outcome_text
from appliance.presentation.spreadsheet import cell
from appliance.presentation.terminal import printable
from storage.index.reader import Hit

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
    """Lay out calls for people in `width` columns; a long number goes on in the next line of its cell."""
    offsets = {hit.started_at.strftime("%z") for hit in hits}
    zone = offsets.pop() if len(offsets) == 1 else ""
    shown = Table(box=None, padding=(0, 2 if width >= FULL_WIDTH else 1, 0, 0), pad_edge=False, header_style="bold")
    shown.add_column(f"started {zone}".strip(), no_wrap=True)
    shown.add_column("dir", no_wrap=True)
    shown.add_column("caller", overflow="fold")
    shown.add_column("callee", overflow="fold")
    shown.add_column("length", justify="right", no_wrap=True)
    shown.add_column("outcome", no_wrap=True)
    if width >= FULL_WIDTH:
        shown.add_column("MOS", justify="right", no_wrap=True)
        shown.add_column("parts", justify="right", no_wrap=True)
        shown.add_column("marks", no_wrap=True)
        shown.add_column("id", no_wrap=True)
    for hit in hits:
        shown.add_row(*_row(hit, width=width, with_offset=not zone)[: len(shown.columns)])
    return shown


def _row(hit: Hit, *, width: int, with_offset: bool) -> tuple[str, ...]:
    outcome = hit.outcome.value if hit.outcome else "in progress"
    return (
        hit.started_at.strftime(f"%Y-%m-%d %H:%M:%S{'%z' if with_offset else ''}"),
        hit.direction.value,
        printable(hit.caller) or "-",
        printable(hit.callee) or "-",
        length_text(hit.length_ms / 1000),
        outcome_text(outcome, hit.reasons, one_line=width >= ONE_LINE_WIDTH),
        "-" if hit.mos is None else f"{hit.mos:.2f}",
        str(len(hit.parts)),
        " ".join(_marks(hit)) or "-",
        hit.call_id[:10],
    )


def _marks(hit: Hit) -> list[str]:
    marks = [("dtmf", bool(hit.dtmf)), ("hold", bool(hit.holds)), ("legal", bool(hit.legal_holds))]
    return [name for name, is_set in marks if is_set]
