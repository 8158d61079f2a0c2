"""`rokubox ledger`: what a person can do when the ledger is broken."""

import argparse
import time

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.custody import attribution
from appliance.failures import INPUT, OK
from storage.archive import Archive

EPILOG = """\
A ledger that contradicts its own checkpoint is never signed again: recording goes on, nothing is entered. Look first,
with `rokubox verify`. If only files of it were lost or damaged, put ledger/ back from a backup; what was recorded since
is entered by itself. If not, `rokubox ledger repair` begins another log: its first line names who, why, and the last
checkpoint of the broken log, which is kept in quarantine/; then come the lines that can be read. `rokubox verify` tells
of it from then on. Stop the recorder before.
台帳が壊れた場合の手順です。壊れた台帳は quarantine/ に保存され、新しい台帳が続きます。

examples:
  rokubox verify --archive archive
  rokubox ledger repair --why "disk failure on 3 March, looked at by Suzuki" --archive archive
"""


def add(commands: Commands) -> None:
    """Declare `rokubox ledger`."""
    parser = command(
        commands,
        "ledger",
        help="go on after the ledger broke",
        description="Begin another log after a broken ledger.",
        epilog=EPILOG,
    )
    parser.add_argument("act", choices=["repair"], help="keep the broken ledger aside, and go on with another log")
    archive_argument(parser)
    attribution.arguments(parser, needs_why=True)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="a repair goes on when it is asked for again")


def _run(arguments: argparse.Namespace) -> int:
    from storage.disk import Disk
    from storage.ledger.settings import Attribution
    from storage.repair import Repairer
    from storage.volume import volume
    from storage.writer import ArchiveWriter

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    volume.require(archive.root, configuration.storage.volume_uuid)
    by = Attribution(who=attribution.who(arguments), why=arguments.why)
    books = configuration.books(archive, time.time_ns)
    with ArchiveWriter(archive):
        done = Repairer(archive, books.ledger, Disk()).repair(by, time.time_ns())
    with ArchiveWriter(archive, books=books) as writer:
        while writer.has_news:  # the index, from the new log
            writer.sync()
    for count, what in ((done.damaged, "could not be read"), (done.entered, "entered for files without one")):
        if count:
            tell(f"{count:,} line{'s' * (count != 1)} {what}")
    print(f"{done.lines:,} lines taken over / 行を引き継ぎました; quarantine/{done.kept_as}")
    return OK
