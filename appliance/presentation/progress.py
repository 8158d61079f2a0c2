"""A progress bar for long work, on a terminal only."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from appliance.importer import Progress as Report
from appliance.presentation import terminal


def shown(what: str) -> AbstractContextManager[Report]:
    """Show bytes done of bytes in all on standard error while the block runs."""
    return _shown(what, DownloadColumn())


def counted(what: str) -> AbstractContextManager[Report]:
    """Show how many are done of how many in all."""
    return _shown(what, MofNCompleteColumn())


@contextmanager
def _shown(what: str, amount: ProgressColumn) -> Iterator[Report]:
    console = terminal.errors()
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
