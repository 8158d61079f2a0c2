"""`rokubox import`: capture files into an archive."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.assembly.settings import Record
from appliance.commands.arguments import (
    Commands,
    archive_of,
    check_rules,
    command,
    configuration_of,
    output_argument,
    tell,
)
from appliance.failures import INPUT, INTERNAL, OK, OUTPUT
from appliance.presentation import terminal
from appliance.version import software
from storage.archive import Archive
from storage.vocabulary import Form

if TYPE_CHECKING:
    from appliance.importer import ImportReport

EPILOG = """\
Several files are one input, merged by packet time. A damaged file gives exit code 3, and what lies before the damage is
imported. A call that could not be made into a recording (decode_failed) gives 1, and all others are imported.
Importing the same files again changes nothing.

examples:
  rokubox import monday.pcapng.gz --output archive
  rokubox import port1.pcap port2.pcap --output archive --form wav
  rokubox import monday.pcapng --config rokubox.toml --record rules
"""


def add(commands: Commands) -> None:
    """Declare `rokubox import`."""
    parser = command(
        commands,
        "import",
        help="make recordings and call records from capture files",
        description="Make recordings and call records from capture files (pcap, pcapng, either gzipped).",
        epilog=EPILOG,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="capture file")
    output_argument(parser)
    parser.add_argument(
        "--form",
        choices=[form.value for form in Form],
        help="one ZIP a part, or bare WAV with JSON beside it (default: [recording] form, which is zip)",
    )
    parser.add_argument(
        "--record",
        choices=[record.value for record in Record],
        help="every call, or those the configured rules ask for (default: rules when lines are configured, else all)",
    )
    parser.set_defaults(
        run=_run, archive_code=OUTPUT, interrupted="what is in the archive is whole; import again for the rest"
    )


def _run(arguments: argparse.Namespace) -> int:
    from appliance.importer import import_files
    from appliance.presentation import summary
    from appliance.presentation.progress import shown
    from storage.volume import volume

    configuration = configuration_of(arguments)
    output = archive_of(arguments, configuration)
    record = Record(arguments.record) if arguments.record else None
    check_rules(configuration, record)
    form = Form(arguments.form) if arguments.form else None
    settings = configuration.assembly(record=record, form=form, software=software())
    volume.require(output, configuration.storage.volume_uuid)
    books = configuration.books(Archive(output), time.time_ns, begins=arguments.config is not None)
    with shown("importing") as progress:
        report = import_files(arguments.files, output, settings, configuration.sip_ports, progress, books)
    summary.show(terminal.output(), report, Archive(output))
    return conclude(report)


def conclude(report: "ImportReport") -> int:
    """Tell what was not imported as it should be, on stderr; return the exit code."""
    if report.alarm:
        tell(f"alarm: {report.alarm}")
    damaged = [file for file in report.files if file.damage]
    for file in damaged:
        tell(f"{file.path}: {file.damage}; what lies before it was imported")
    failed = report.assembly.isolation.told
    for line in failed:
        tell(f"internal error: {line}; please report it, the other calls were imported")
    return INTERNAL if failed else INPUT if damaged else OK
