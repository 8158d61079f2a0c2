"""`rokubox totals`: traffic and call detail summed up."""

import argparse

from appliance.commands import periods
from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.errors import ConfigurationError
from appliance.failures import INPUT, OK
from storage.archive import Archive

GROUPS = ("line", "outcome")
EPILOG = """\
A call counts on the local date of its start. Seconds are from answer to end. The peak is the most calls at one time,
from first packet to end; that of a month is the highest of its days. Calls in progress, and what was erased, count
nowhere. 通話数・通話時間・同時通話数の集計です（日別・月別、回線別・結果別）。

examples:
  rokubox totals --archive archive --from 2026-01-01 --to 2026-01-31
  rokubox totals --archive archive --per month --by line,outcome --csv
  rokubox totals --archive archive --line 0355501234 --per month --json
"""


def add(commands: Commands) -> None:
    """Declare `rokubox totals`."""
    parser = command(
        commands,
        "totals",
        help="sum up calls by day or month, line and outcome",
        description="Sum up the calls of an archive: calls, seconds and the most at one time.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    periods.arguments(parser)
    parser.add_argument("--per", choices=("day", "month", "all"), default="day", help="time of each sum (default: day)")
    parser.add_argument(
        "--by", type=_groups, default=(), metavar="GROUPS", help=f"apart by {' and '.join(GROUPS)}: line,outcome"
    )
    parser.add_argument(
        "--line", action="append", default=[], metavar="NUMBER", help="only this contracted line; may be repeated"
    )
    shown_as = parser.add_mutually_exclusive_group()
    shown_as.add_argument("--json", action="store_true", help="one JSON object a line")
    shown_as.add_argument("--csv", action="store_true", help="a table for spreadsheets")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="the sums are not whole")


def _groups(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if any(name not in GROUPS for name in names):
        raise argparse.ArgumentTypeError(f"{text!r}: give {', '.join(GROUPS)} or both with a comma")
    return names


def _run(arguments: argparse.Namespace) -> int:
    from appliance.presentation import totalstable
    from storage.index.numbers import searchable
    from storage.index.reader import IndexReader
    from storage.index.totals import Per, TotalsQuery

    archive = Archive(archive_of(arguments, configuration_of(arguments)))
    first, last = periods.dates(arguments)
    if any(not searchable(line) for line in arguments.line):
        raise ConfigurationError("--line: there is nothing in it")
    query = TotalsQuery(
        first_day=first,
        last_day=last,
        per=Per(arguments.per),
        by_line="line" in arguments.by,
        by_outcome="outcome" in arguments.by,
        lines=tuple(searchable(line) for line in arguments.line),
    )
    with IndexReader(archive.index) as index:
        found = index.totals(query)
    if arguments.json:
        totalstable.print_json(found, query)
    elif arguments.csv:
        totalstable.print_csv(found, query)
    else:
        totalstable.show(found, query)
    return OK
