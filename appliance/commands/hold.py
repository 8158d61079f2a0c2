"""`rokubox hold`: legal holds on calls, which go before every retention rule and every erasure."""

import argparse

from appliance.commands import selection
from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.custody import attribution
from appliance.failures import INPUT, OK
from storage.archive import Archive

EPILOG = """\
A call stays held until the last of its holds is released. Without --set or --release the holds in force are listed.
法的保全（リーガルホールド）中の通話は、解除されるまで消去されません。

examples:
  rokubox hold --archive archive
  rokubox hold --set case-2026-17 --number 03-1234-5678 --why "court order 2026-17" --archive archive
  rokubox hold --release case-2026-17 --why "case closed" --archive archive
"""


def add(commands: Commands) -> None:
    """Declare `rokubox hold`."""
    parser = command(
        commands,
        "hold",
        help="protect calls from every erasure",
        description="Set, release and list legal holds.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--set", type=_name, metavar="NAME", help="put a hold of this name on the calls")
    what.add_argument(
        "--release", type=_name, metavar="NAME", help="take it from the calls, from all when none is named"
    )
    selection.arguments(parser)
    attribution.arguments(parser, needs_why=False)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="what was told so far is in force")


def _name(text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise argparse.ArgumentTypeError("a hold is called by 1 to 200 characters")
    return text.strip()


def _run(arguments: argparse.Namespace) -> int:
    from appliance.custody import holding
    from appliance.custody.archiveclient import asking
    from appliance.errors import ConfigurationError

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    name = arguments.set or arguments.release
    if not name:
        holding.show(archive)
        return OK
    if not arguments.why:
        raise ConfigurationError("say why, with --why; it stands in the ledger")
    if arguments.release and not selection.is_given(arguments):
        concerned = holding.named(archive, name)
    else:
        concerned = [call.call_id for call in selection.selected(arguments, archive)]
    with asking(archive, configuration) as ask:
        changed = holding.change(
            ask,
            concerned,
            name=name,
            released=bool(arguments.release),
            who=attribution.who(arguments),
            why=arguments.why,
        )
    done = "released / 解除" if arguments.release else "held / 保全"
    print(f"{name}: {changed:,} call{'s' * (changed != 1)} {done}")
    return OK
