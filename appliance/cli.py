"""The `rokubox` command: arguments in, exit code out. Errors become one line and an exit code here and nowhere else.

Every command loads what it needs when it runs: an import of a few calls is over sooner than loading all would take.
"""

import argparse
from collections.abc import Sequence

from appliance.commands import (
    alarms,
    audit,
    backup,
    bom,
    box_settings,
    calls,
    capture_import,
    certificates,
    erase,
    export,
    first_call,
    hold,
    inbox,
    ledger,
    noc,
    operations,
    outages,
    prove,
    provision,
    record,
    reindex,
    report,
    restore,
    retention,
    rotate_key,
    scrub,
    search,
    selftest,
    share_config,
    show,
    status,
    storage,
    support_bundle,
    totals,
    update,
    uploads,
    verify,
)
from appliance.commands.arguments import tell
from appliance.failures import failure
from appliance.version import software

DESCRIPTION = "Call recorder for a SPAN port: exact stereo recordings, and an account of every call."
EPILOG = """\
examples:
  rokubox import monday.pcapng --output archive        make recordings and call records
  rokubox record --interface enp2s0 --output archive   record a mirror port until stopped
  rokubox calls --archive archive                      list every call, recorded or not
  rokubox search --archive archive --prefix 03         find calls by number, line, time and more
  rokubox audit monday.pcapng                          hold the account against tshark's
  rokubox verify --archive archive                     prove that nothing was altered or removed
`rokubox COMMAND --help` tells more of each.

exit codes:
  0 ok                          4 output or disk
  1 internal error              5 permission
  2 usage or configuration      6 a needed tool is missing
  3 input unreadable or damaged
  10 to 16: what `rokubox verify` has found, 20 to 29: what `rokubox selftest` has, see their --help
"""
COMMANDS = (
    capture_import,
    record,
    first_call,
    status,
    selftest,
    report,
    support_bundle,
    outages,
    operations,
    calls,
    audit,
    search,
    totals,
    show,
    export,
    verify,
    prove,
    scrub,
    retention,
    hold,
    erase,
    storage,
    uploads,
    inbox,
    backup,
    restore,
    rotate_key,
    ledger,
    share_config,
    reindex,
    alarms,
    certificates,
    noc,
    provision,
    bom,
    box_settings,
    update,
)
"""In the order of `--help`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; KeyboardInterrupt goes on to the caller once it was told."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        tell(f"interrupted; {arguments.interrupted}")
        raise
    except Exception as error:
        code, lines = failure(error, archive_code=arguments.archive_code)
        for line in lines:
            tell(line)
        return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="rokubox", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=software())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
