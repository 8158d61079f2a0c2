"""What `rokubox audit` prints: a table for people or a document for programs, and the exit code that goes with it."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from appliance.auditing.audit import Account, Difference, TsharkAccount, unexplained
from appliance.auditing.dissector import Dissection
from appliance.presentation.terminal import printable

EXIT_AGREED = 0
"""Both accounts agree, or every difference is explained."""
EXIT_UNEXPLAINED = 3
"""At least one difference has no explanation: the input, or one of the two readings of it, is damaged."""


def exit_code(differences: Sequence[Difference]) -> int:
    """Return the exit code of an audit."""
    return EXIT_UNEXPLAINED if unexplained(differences) else EXIT_AGREED


def show(console: Console, ours: Account, theirs: TsharkAccount, differences: Sequence[Difference]) -> None:
    """Print both accounts side by side, each difference with its explanation, and the verdict."""
    console.print(_totals(ours, theirs))
    if theirs.damage:
        console.print(printable(f"tshark on the file: {theirs.damage}"))
    if differences:
        console.print(_differences(differences))
    console.print(_verdict(differences))


def show_frames(console: Console, difference: Difference, filter_text: str, frames: Iterable[str]) -> None:
    """Print the frames behind one difference, under the filter that shows all of them in Wireshark."""
    console.print()
    console.print(printable(f"{difference.subject}: {difference.name}"))
    console.print(printable(f"  filter: {filter_text}"))
    for frame in frames:
        console.print(printable(f"  {frame}"))


def show_dissection(console: Console, dissection: Dissection) -> None:
    """Print what is in the first of those frames, or why that cannot be told."""
    for frame in dissection.frames:
        console.print(printable(f"  frame {frame.number}: {' / '.join(frame.layers)}"))
        for field in frame.fields:
            console.print(printable(f"    {field}"))
    if dissection.trouble:
        console.print(printable(f"  {dissection.trouble}"))


def document(ours: Account, theirs: TsharkAccount, differences: Sequence[Difference]) -> dict[str, Any]:
    """Return the same as plain JSON values."""
    return {
        "totals": {name: {"rokubox": mine, "tshark": other} for name, mine, other in _figures(ours, theirs)},
        "differences": [
            {
                "subject": difference.subject.value,
                "name": difference.name,
                "rokubox": difference.ours,
                "tshark": difference.tshark,
                "explanation": difference.explanation or None,
            }
            for difference in differences
        ],
        "unexplained": len(unexplained(differences)),
        "damage": theirs.damage or None,
        "unreadable_lines": theirs.unreadable,
    }


def _figures(ours: Account, theirs: TsharkAccount) -> tuple[tuple[str, int, int], ...]:
    invited = sum("INVITE" in seen.methods for seen in theirs.sip.values())
    answered = sum(any(200 <= status < 300 for status in seen.invite_statuses) for seen in theirs.sip.values())
    return (
        ("packets", ours.packets, theirs.packets),
        ("calls", len(ours.sip_calls), invited),
        ("answered calls", len(ours.answered), answered),
        ("RTP streams", len(ours.streams), len(theirs.streams)),
        ("RTP packets", sum(s.packets for s in ours.streams.values()), sum(s.packets for s in theirs.streams.values())),
        (
            "RTP packets lost",
            sum(s.lost or 0 for s in ours.streams.values()),
            sum(s.lost for s in theirs.streams.values()),
        ),
    )


def _totals(ours: Account, theirs: TsharkAccount) -> Table:
    table = Table(title="Account of the capture", title_justify="left", box=box.SIMPLE)
    table.add_column("figure")
    table.add_column("rokubox", justify="right")
    table.add_column("tshark", justify="right")
    for name, mine, other in _figures(ours, theirs):
        table.add_row(name, f"{mine:,}", f"{other:,}")
    return table


def _differences(differences: Sequence[Difference]) -> Table:
    table = Table(title="Differences", title_justify="left", box=box.SIMPLE)
    table.add_column("what", no_wrap=True)
    table.add_column("which", overflow="fold")
    for heading in ("rokubox", "tshark"):
        table.add_column(heading, justify="right")
    table.add_column("explanation", overflow="fold")
    for difference in differences:
        table.add_row(
            difference.subject.value,
            Text(printable(difference.name)),
            f"{difference.ours:,}",
            f"{difference.tshark:,}",
            Text(printable(difference.explanation)) if difference.explanation else Text("unexplained", "bold red"),
        )
    return table


def _verdict(differences: Sequence[Difference]) -> str:
    if not differences:
        return "no differences"
    return f"{len(differences)} difference{'s' * (len(differences) != 1)}, {len(unexplained(differences))} unexplained"
