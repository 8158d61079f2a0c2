"""`rokubox prove`: the proof that a recording is in the ledger, to be given out with it."""

import argparse
import sys
from pathlib import Path

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import INPUT, OK

EPILOG = """\
The proof is text, and says itself how to use it: with `rokubox verify`, or with unzip, coreutils and openssl alone.

examples:
  rokubox prove archive/recordings/2026/01/02/NAME.zip --archive archive | tee NAME.proof.txt
"""


def add(commands: Commands) -> None:
    """Declare `rokubox prove`."""
    parser = command(
        commands,
        "prove",
        help="print the proof that a recording is in the ledger",
        description="Print the proof that a part is in the ledger: its place, the hashes up to the root, and the "
        "signed checkpoint.",
        epilog=EPILOG,
    )
    parser.add_argument("part", type=Path, metavar="PART", help="the part's file, ZIP or WAV")
    archive_argument(parser)
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="no proof was made")


def _run(arguments: argparse.Namespace) -> int:
    from storage import partreader
    from storage.errors import LedgerError
    from storage.ledger import prooftext
    from storage.verify import proofcheck, proving

    archive = archive_of(arguments, configuration_of(arguments))
    record = partreader.read_record(arguments.part)
    found = proving.prove(archive / "ledger", record.call_id, record.part)
    if not proofcheck.is_proved(arguments.part, found):
        raise LedgerError("this recording is not the one in the ledger: it was altered")
    sys.stdout.buffer.write(prooftext.to_text(found))
    return OK
