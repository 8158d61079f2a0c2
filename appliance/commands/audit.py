"""`rokubox audit`: our account of a capture against the one of tshark."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.assembly.settings import Record
from appliance.commands.arguments import Commands, command, configuration_of
from appliance.failures import OUTPUT
from appliance.presentation import terminal
from appliance.version import software
from storage.archive import Archive
from storage.vocabulary import Form

if TYPE_CHECKING:
    from appliance.auditing.audit import Difference

EPILOG = """\
Nothing is kept of what the audit imports. Exit code 3 when a difference has no explanation.

examples:
  rokubox audit monday.pcapng
  rokubox audit monday.pcapng --frames
  rokubox audit monday.pcapng --json | jq .differences
"""


def add(commands: Commands) -> None:
    """Declare `rokubox audit`."""
    parser = command(
        commands,
        "audit",
        help="hold our account of a capture against tshark's",
        description="Hold our account of a capture file against tshark's: calls, streams, packets, loss.\n"
        "Every difference is explained where the figures or the packets allow it.",
        epilog=EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="capture file")
    shown_as = parser.add_mutually_exclusive_group()
    shown_as.add_argument("--json", action="store_true", help="one JSON object, for programs")
    shown_as.add_argument(
        "--frames",
        action="store_true",
        help="also the first frames behind each difference, what is in them, and the filter that shows all of them",
    )
    parser.set_defaults(run=_run, archive_code=OUTPUT, interrupted="nothing was kept")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.auditing import archiveaccount, auditreport, tsharkaccount
    from appliance.importer import import_files
    from appliance.presentation.progress import shown

    tsharkaccount.tool()
    configuration = configuration_of(arguments)
    settings = configuration.assembly(record=Record.ALL, form=Form.WAV, software=software())
    with tempfile.TemporaryDirectory(prefix="rokubox-audit-") as scratch, shown("importing") as progress:
        report = import_files([arguments.file], Path(scratch), settings, configuration.sip_ports, progress)
        ours = archiveaccount.read_account(Archive(Path(scratch)), packets=report.intake.counters.frames)
    theirs, differences = tsharkaccount.hold_against(arguments.file, ours)
    if arguments.json:
        print(json.dumps(auditreport.document(ours, theirs, differences), indent=2))
    else:
        auditreport.show(terminal.output(), ours, theirs, differences)
    if arguments.frames:
        _show_frames(arguments.file, differences)
    return auditreport.exit_code(differences)


def _show_frames(capture: Path, differences: Sequence["Difference"]) -> None:
    from appliance.auditing import auditreport, dissector, framefilter, tsharkaccount

    console = terminal.output()
    for difference in differences:
        if chosen := framefilter.display_filter(difference):
            auditreport.show_frames(console, difference, chosen, tsharkaccount.frames(capture, chosen))
            auditreport.show_dissection(console, dissector.dissect(capture, chosen, tsharkaccount.READ_AS))
