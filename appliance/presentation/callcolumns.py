"""How tables of calls are laid out: the columns that all have, and figures where there is room for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from appliance.presentation.terminal import printable

FULL_WIDTH = 110
"""From this many columns on there is room for the figures too."""
ONE_LINE_WIDTH = 150
"""From this many columns on the reasons stand beside the outcome, not below it."""
RIGHT = frozenset({"complete", "MOS", "parts"})
"""Figures that stand under each other by their last digit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLine:
    """A call in a table."""

    started: str
    """Local time of its start, without the offset."""
    offset: str
    """The offset from UTC of that."""
    direction: str
    caller: str
    callee: str
    """Numbers, as they came over the wire; empty when unknown."""
    length_s: float
    outcome: str
    reasons: Sequence[str]
    """The deciding one first."""
    figures: tuple[str, ...]
    """What else is shown where there is room."""


def table(calls: Sequence[CallLine], width: int, figures: Sequence[str]) -> Table:
    """Lay out calls for people in `width` columns; a long number goes on in the next line of its cell.

    Args:
        calls: The calls.
        width: Columns of the terminal.
        figures: Headings of their figures.

    Returns:
        The table.
    """
    offsets = {call.offset for call in calls}
    zone = offsets.pop() if len(offsets) == 1 else ""
    shown = Table(box=None, padding=(0, 2 if width >= FULL_WIDTH else 1, 0, 0), pad_edge=False, header_style="bold")
    shown.add_column(f"started {zone}".strip(), no_wrap=True)
    shown.add_column("dir", no_wrap=True)
    shown.add_column("caller", overflow="fold")
    shown.add_column("callee", overflow="fold")
    shown.add_column("length", justify="right", no_wrap=True)
    shown.add_column("outcome", no_wrap=True)
    for name in figures if width >= FULL_WIDTH else ():
        shown.add_column(name, justify="right" if name in RIGHT else "left", no_wrap=True)
    for call in calls:
        row = (
            f"{call.started}{'' if zone else call.offset}",
            call.direction,
            printable(call.caller) or "-",
            printable(call.callee) or "-",
            length_text(call.length_s),
            outcome_text(call.outcome, call.reasons, one_line=width >= ONE_LINE_WIDTH),
            *call.figures,
        )
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
