"""`rokubox alarms`: what is wrong with the box, and what to do with an alarm."""

import argparse
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import INPUT, OK
from storage.archive import Archive

if TYPE_CHECKING:
    from appliance.alarms.alarm import Fact

ACTIONS = ("list", "history", "explain", "ack", "shelve", "unshelve", "test", "report", "over")
EPILOG = """\
  list                  what stands, the worst first (the default)       発生中の警報
  history               the last changes, the newest first               履歴
  explain [ALARM]       cause and remedy, by number, type or id          原因と対処
  ack ALARM             take note; what has to be notified counts as notified  確認
  shelve ALARM          bother nobody with it for --hours                 一時保留
  unshelve ALARM        take it from the shelf
  test TYPE             raise a test alarm of this type for --seconds     試験発報
  report, over TYPE     for other programs of the box: update_failed, with --comment

ALARM is an id, or a number when only one alarm of that number stands. Listing reads the agent's file; the others ask
rokubox-agent, which must run. docs/alarms.md lists every alarm there is.

examples:
  rokubox alarms --archive archive
  rokubox alarms ack 302 --comment "disk ordered" --archive archive
  rokubox alarms shelve no_frames-3f2a90c1d2 --hours 4 --comment "works at the switch" --archive archive
  rokubox alarms test no_frames --archive archive
"""


def add(commands: Commands) -> None:
    """Declare `rokubox alarms`."""
    parser = command(
        commands,
        "alarms",
        help="list alarms, acknowledge and shelve them 警報",
        description="Show what is wrong with the box; acknowledge alarms, shelve them, try them out.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="see below (default: list)")
    parser.add_argument("alarm", nargs="?", default="", metavar="ALARM", help="id, number or type")
    parser.add_argument("--who", default=None, metavar="NAME", help="of ack and shelve: who (default: the login name)")
    parser.add_argument("--comment", default="", help="of ack, shelve, report: what else there is to say")
    parser.add_argument("--hours", type=int, default=8, metavar="N", help="of shelve: 1 to 168 (default: 8)")
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="of test: 1 to 3600 (default: 60)")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="of history: so many changes (default: 50)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="what was told so far is in force")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.agent import alarmbook
    from appliance.errors import ConfigurationError
    from appliance.presentation import alarmstable
    from appliance.telemetry import statefile

    if arguments.action == "explain":
        alarmstable.explain(arguments.alarm)
        return OK
    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    agent = archive.root / statefile.DIRECTORY
    if arguments.action == "list":
        alarmstable.show(alarmbook.standing(agent), configuration.zone, as_json=arguments.json)
    elif arguments.action == "history":
        changes = alarmbook.history(agent, max(1, arguments.limit))
        alarmstable.show_history(changes, configuration.zone, as_json=arguments.json)
    elif not arguments.alarm:
        raise ConfigurationError(f"alarms {arguments.action}: say which alarm")
    else:
        _order(arguments, archive)
    return OK


def _order(arguments: argparse.Namespace, archive: Archive) -> None:
    from appliance.agent import agentsocket
    from appliance.agent.agentsocket import Asked
    from appliance.custody import attribution
    from appliance.telemetry.statefile import DIRECTORY

    given: dict[str, Fact]
    match arguments.action:
        case "test":
            given = {"type": arguments.alarm, "seconds": arguments.seconds}
        case "report":
            given = {"type": arguments.alarm, "what": arguments.comment}
        case "over":
            given = {"type": arguments.alarm}
        case "shelve":
            given = {"alarm": arguments.alarm, "hours": arguments.hours, "comment": arguments.comment}
        case "ack":
            given = {"alarm": arguments.alarm, "comment": arguments.comment}
        case _:
            given = {"alarm": arguments.alarm}
    asked = Asked(order=arguments.action, by=attribution.who(arguments), arguments=given)
    outcome = agentsocket.ask(archive.root / DIRECTORY, asked)
    print(f"{outcome.facts.get('alarm', arguments.alarm)}: {arguments.action}")
