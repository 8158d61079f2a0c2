"""`rokubox bom` as a table."""

from collections.abc import Sequence

from rich.table import Table

from appliance.bom.component import Component
from appliance.presentation import terminal
from appliance.presentation.terminal import printable

_KINDS = {"deb": "Debian", "pypi": "Python"}


def print_table(components: Sequence[Component]) -> None:
    """Print one line a package."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in ("kind", "package", "version", "licence"):
        shown.add_column(title, overflow="fold")
    for each in sorted(components):
        kind = _KINDS.get(each.ecosystem, each.ecosystem)
        shown.add_row(kind, printable(each.name), printable(each.version), printable(", ".join(each.licences)) or "-")
    terminal.output().print(shown)
    terminal.output().print(f"{len(components)} packages")
