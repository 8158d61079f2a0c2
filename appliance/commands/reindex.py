"""`rokubox reindex`: the index made anew from the files alone."""

import argparse
import os

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of, tell
from appliance.custody import attribution
from appliance.failures import INPUT, OK, OUTPUT
from storage.archive import Archive

EPILOG = """\
Recording goes on meanwhile, and so does searching, in the old index until the new one takes its place. Interrupted, the
next run goes on where this one was. A damaged file is named, left out, and gives exit code 3.
録音を止めずに索引を作り直します。中断しても、次回は続きから再開します。

examples:
  rokubox reindex --archive archive
"""


_PATIENT = 10
"""What is done in the background leaves the processors to recording."""


def add(commands: Commands) -> None:
    """Declare `rokubox reindex`."""
    parser = command(
        commands,
        "reindex",
        help="make the index anew from the files",
        description="Make the index of an archive anew from call records, recordings and ledger.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    for task in ("--purge", "--swap"):  # what the archive's owner has done by a process of its own
        parser.add_argument(task, action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=_run, who=None, archive_code=OUTPUT, interrupted="run it again, it goes on where it was")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.custody.archiveclient import asking, checked
    from appliance.custody.archiverequests import TakeIndex
    from appliance.presentation.progress import counted
    from storage.errors import DamagedRecordError
    from storage.index import purging, swap
    from storage.index.rebuild import path_of, rebuild
    from storage.ledger.view import LedgerView

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if arguments.purge:
        os.nice(_PATIENT)
        return OK if purging.purge_beside(archive) else OUTPUT
    if arguments.swap:
        swap.put_in_place(path_of(archive), archive.index)
        return OK
    damaged: list[DamagedRecordError] = []
    size = LedgerView(archive.ledger).size
    with counted("reading call records") as progress:
        calls = rebuild(archive, size, lambda first: LedgerView(archive.ledger).lines(first), damaged.append, progress)
    for error in damaged:
        tell(str(error))
    with asking(archive, configuration) as ask:
        checked(ask(TakeIndex(who=attribution.who(arguments))))
    print(f"{calls:,} call{'s' * (calls != 1)} in the index / {calls:,} 件を索引に登録しました")
    return INPUT if damaged else OK
