"""`rokubox search`: calls by line, number, time and whatever else the index knows of them."""

import argparse
import math
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from appliance.commands import periods
from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.errors import ConfigurationError
from appliance.failures import INPUT, OK
from storage.archive import Archive
from storage.errors import CursorError
from storage.vocabulary import Direction, Outcome, Reason

if TYPE_CHECKING:
    from storage.index.query import NumberMatch, Query
    from storage.index.reader import IndexReader

DEFAULT_LIMIT = 50
MOST = 1000
EPILOG = """\
Every condition given must hold. Numbers may be written in any way: 03-1234-5678, 0312345678 and +81 3 1234 5678 are one
number, and 184, 186 and 1311 before it do not matter. Times are local ones of the site: 2026-01-02, 2026-01-02T15:04.
番号はどの表記でも検索できます（市外局番から、または +81 から。184・186 は無視されます）。

examples:
  rokubox search --archive archive --number 03-1234-5678 --from 2026-01-01
  rokubox search --archive archive --line 0355501234 --outcome partly --outcome not_recorded
  rokubox search --archive archive --prefix 0120 --longer-s 600 --sort length
  rokubox search --archive archive --mos-below 3.6 --sort quality --reverse --csv
"""


def add(commands: Commands) -> None:
    """Declare `rokubox search`."""
    parser = command(
        commands,
        "search",
        help="find calls by line, number, time and more",
        description="Find calls in the index of an archive, newest first, a page at a time.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    _who(parser.add_argument_group("who"))
    periods.arguments(parser.add_argument_group("when"))
    _what(parser.add_argument_group("what became of the call"))
    _answers(parser.add_argument_group("answers"))
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="the list is not whole")


def _who(group: Any) -> None:
    group.add_argument("--line", action="append", default=[], metavar="NUMBER", help="contracted line; may be repeated")
    group.add_argument("--enterprise", metavar="ID", help="enterprise ID of the line")
    number = group.add_mutually_exclusive_group()
    number.add_argument("--number", metavar="NUMBER", help="a number on either side, also one that diverted the call")
    number.add_argument("--prefix", metavar="DIGITS", help="the beginning of such a number")
    group.add_argument("--side", choices=("caller", "callee"), help="whose the number is (default: anybody's)")
    group.add_argument("--direction", action="append", default=[], choices=[direction.value for direction in Direction])


def _what(group: Any) -> None:
    group.add_argument("--outcome", action="append", default=[], choices=[outcome.value for outcome in Outcome])
    group.add_argument(
        "--reason",
        action="append",
        default=[],
        choices=[reason.value for reason in Reason],
        metavar="REASON",
        help=f"why it is not recorded, or not whole: {', '.join(Reason)}",
    )
    group.add_argument("--longer-s", type=_figure, metavar="S", help="length from answer to end, at least")
    group.add_argument("--shorter-s", type=_figure, metavar="S", help="the same, at most")
    group.add_argument("--mos-above", type=_figure, metavar="MOS", help="listening quality of the worse side, at least")
    group.add_argument("--mos-below", type=_figure, metavar="MOS", help="the same, at most")
    yes_no = argparse.BooleanOptionalAction
    group.add_argument("--dtmf", action=yes_no, help="keys were pressed, or not")
    group.add_argument("--held", action=yes_no, help="one party put the other on hold, or not")
    group.add_argument("--legal-hold", action=yes_no, help="protected from erasure, or not")
    group.add_argument("--in-progress", action=yes_no, help="has recordings and has not ended, or the contrary")


def _answers(group: Any) -> None:
    group.add_argument("--sort", choices=("time", "length", "quality"), default="time")
    group.add_argument("--reverse", action="store_true", help="oldest, shortest or poorest first")
    group.add_argument(
        "--limit", type=_limit, default=DEFAULT_LIMIT, metavar="N", help=f"calls in a page (default: {DEFAULT_LIMIT})"
    )
    group.add_argument("--after", metavar="PLACE", help="go on where an earlier page ended; it says so at its end")
    shown_as = group.add_mutually_exclusive_group()
    shown_as.add_argument("--json", action="store_true", help="one JSON object a line")
    shown_as.add_argument("--csv", action="store_true", help="a table for spreadsheets")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST):
        raise argparse.ArgumentTypeError(f"a page has 1 to {MOST} calls")
    return int(text)


def _figure(text: str) -> float:
    try:
        figure = float(text)
    except ValueError:
        figure = math.nan
    if not 0 <= figure < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return figure


def _run(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    from appliance.presentation import searchtable
    from storage.index import cursor
    from storage.index.reader import IndexReader

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    query = _query(arguments, configuration.zone)
    with IndexReader(archive.index) as index:
        _tell_if_behind(archive, index)
        if arguments.after is not None:
            try:
                query = replace(query, after=cursor.from_text(arguments.after, query.sort, index.generation))
            except CursorError as error:
                raise ConfigurationError(f"--after: {error}") from error
        page = index.search(query)
        place = cursor.to_text(page.after, query.sort, index.generation) if page.after else ""
    if arguments.json:
        searchtable.print_json(page.hits)
    elif arguments.csv:
        searchtable.print_csv(page.hits)
    else:
        searchtable.show(page.hits)
    if place:
        tell(f"there is more: --after {place}")
    return OK


def _tell_if_behind(archive: Archive, index: "IndexReader") -> None:
    from storage.ledger.view import LedgerView

    behind = LedgerView(archive.ledger).size - index.ledger_size
    if behind > 0:
        tell(f"the index is {behind:,} ledger entries behind; the newest calls may be missing")


def _query(arguments: argparse.Namespace, zone: ZoneInfo) -> "Query":
    """What is asked for. Raises ConfigurationError."""
    from storage.index.numbers import searchable
    from storage.index.query import Query, Sort

    first_ns, end_ns = periods.instants(arguments, zone)
    return Query(
        number=_number(arguments),
        lines=tuple(searchable(line) for line in arguments.line),
        enterprise=arguments.enterprise,
        from_ns=first_ns,
        to_ns=end_ns,
        directions=tuple(map(Direction, arguments.direction)),
        outcomes=tuple(map(Outcome, arguments.outcome)),
        reasons=tuple(map(Reason, arguments.reason)),
        least_ms=_milliseconds(arguments.longer_s),
        most_ms=_milliseconds(arguments.shorter_s),
        least_mos=arguments.mos_above,
        most_mos=arguments.mos_below,
        dtmf=arguments.dtmf,
        holds=arguments.held,
        legal_hold=arguments.legal_hold,
        in_progress=arguments.in_progress,
        sort=Sort(arguments.sort),
        descending=not arguments.reverse,
        limit=arguments.limit,
    )


def _number(arguments: argparse.Namespace) -> "NumberMatch | None":
    from storage.index.numbers import searchable, searchable_prefix
    from storage.index.query import NumberMatch
    from storage.index.rows import Role

    asked = arguments.number if arguments.prefix is None else arguments.prefix
    if asked is None:
        if arguments.side is not None:
            raise ConfigurationError("--side: whose number? give --number or --prefix")
        return None
    form = searchable(asked) if arguments.prefix is None else searchable_prefix(asked)
    if not form:
        raise ConfigurationError(f"--{'number' if arguments.prefix is None else 'prefix'}: there is nothing in it")
    roles = {None: Role.CALLER | Role.CALLEE | Role.DIVERTING, "caller": Role.CALLER, "callee": Role.CALLEE}
    return NumberMatch(searchable=form, prefix=arguments.prefix is not None, roles=roles[arguments.side])


def _milliseconds(seconds: float | None) -> int | None:
    """For a length in seconds; one beyond a year is a year, so that it fits into the database."""
    return None if seconds is None else round(min(seconds, 366 * 86_400.0) * 1000)
