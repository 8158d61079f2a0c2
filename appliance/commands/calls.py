"""`rokubox calls`: the account of every call."""

import argparse

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import INPUT, OK
from storage.archive import Archive

EPILOG = """\
The table shows more figures in a wide terminal; --json shows everything. Packets that came after the end of their call
are counted below the table; the files under late/ of the archive tell more.

examples:
  rokubox calls --archive archive
  rokubox calls --archive archive --json | jq -r 'select(.outcome != "recorded") | .call_id'
"""


def add(commands: Commands) -> None:
    """Declare `rokubox calls`."""
    parser = command(
        commands,
        "calls",
        help="list the call records of an archive",
        description="List the call records of an archive: every call seen, recorded or not, and why.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument(
        "--json", action="store_true", help="the whole records (rokubox.call/1), one JSON object a line"
    )
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="the list is not whole")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.presentation import callstable

    archive = Archive(archive_of(arguments, configuration_of(arguments)))
    damaged = callstable.show(archive, as_json=arguments.json)
    return INPUT if damaged else OK
