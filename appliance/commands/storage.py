"""`rokubox storage`: the disk under the archive, its room, its health, and how long it will do."""

import argparse
import json

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import INPUT, OK, OUTPUT
from storage.archive import Archive

EPILOG = """\
Health is what the disk says of itself (smartctl; needs root). The latency is measured now, with a few small files in
the archive's spool. While `rokubox record` runs, this is looked at every hour: run/storage.json of the archive says
what was found, and what of it is a concern. 録音用ディスクの状態、空き容量、満杯までの日数を表示します。

examples:
  rokubox storage --archive archive
  rokubox storage --config rokubox.toml --json | jq .days_until_full
"""


def add(commands: Commands) -> None:
    """Declare `rokubox storage`."""
    parser = command(
        commands,
        "storage",
        help="show the archive's disk",
        description="Show the disk under the archive: which it is, room, health, write latency, days until it is full.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parser.add_argument("--observe", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.condition import disklook, observed
    from appliance.presentation import storagereport, terminal

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if arguments.observe:
        return OK if observed.write(archive.run, observed.DISK, disklook.look(archive)) else OUTPUT
    report = storagereport.look(archive, configuration)
    if arguments.json:
        print(json.dumps(storagereport.document(report), indent=2))
    else:
        terminal.output().print(storagereport.table(report))
    return OK
