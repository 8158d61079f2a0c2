"""The `rokubox` command: arguments in, exit code out. Errors become one line and an exit code here and nowhere else."""

import argparse
import json
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from appliance import archiveaccount, auditreport, callstable, config, framefilter, summary, terminal, tsharkaccount
from appliance.assembly.settings import Record
from appliance.audit import Difference
from appliance.config import Configuration
from appliance.errors import ConfigurationError, ToolFailedError, ToolMissingError
from appliance.importer import import_files
from appliance.progress import shown
from appliance.terminal import printable
from capture.errors import CaptureFileError
from storage.archive import Archive
from storage.errors import StorageError
from storage.vocabulary import Form

OK, INTERNAL, USAGE, INPUT, OUTPUT, PERMISSION, TOOL = 0, 1, 2, 3, 4, 5, 6

DESCRIPTION = "Call recorder for a SPAN port: exact stereo recordings, and an account of every call."
EPILOG = """\
examples:
  rokubox import monday.pcapng --output archive   make recordings and call records
  rokubox calls --archive archive                 list every call, recorded or not
  rokubox audit monday.pcapng                     hold the account against tshark's
`rokubox COMMAND --help` tells more of each.

exit codes:
  0 ok                          4 output or disk
  1 internal error              5 permission
  2 usage or configuration      6 a needed tool is missing
  3 input unreadable or damaged
"""
IMPORT_EPILOG = """\
Several files are one input, merged by packet time. A damaged file gives exit code 3, and what lies before the damage is
imported. Importing the same files again changes nothing.

examples:
  rokubox import monday.pcapng.gz --output archive
  rokubox import port1.pcap port2.pcap --output archive --form wav
  rokubox import monday.pcapng --config rokubox.toml --record rules
"""
CALLS_EPILOG = """\
The table shows more figures in a wide terminal; --json shows everything.

examples:
  rokubox calls --archive archive
  rokubox calls --archive archive --json | jq -r 'select(.outcome != "recorded") | .call_id'
"""
AUDIT_EPILOG = """\
Nothing is kept of what the audit imports. Exit code 3 when a difference has no explanation.

examples:
  rokubox audit monday.pcapng
  rokubox audit monday.pcapng --frames
  rokubox audit monday.pcapng --json | jq .differences
"""

Parsers = Any
"""What `add_subparsers` returns; argparse has no public name for it."""


def software() -> str:
    """Name and version of this product."""
    return f"rokubox {version('rokubox')}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; KeyboardInterrupt goes on to the caller once it was told."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        _tell(f"interrupted; {arguments.interrupted}")
        raise
    except Exception as error:
        code, lines = failure(error, archive_code=arguments.archive_code)
        for line in lines:
            _tell(line)
        return code


def failure(error: Exception, *, archive_code: int) -> tuple[int, list[str]]:
    """Return the exit code of an error and what to say of it, a line for each problem.

    `archive_code` is that of trouble with the archive, which one command writes and the next one reads.
    """
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    for kind, code in (
        (ConfigurationError, USAGE),
        (ToolMissingError, TOOL),
        (ToolFailedError, INPUT),
        (CaptureFileError, INPUT),
        (StorageError, archive_code),
        (OSError, OUTPUT),
    ):
        if isinstance(error, kind):
            told = str(error.strerror or error) if isinstance(error, OSError) else str(error)
            lines = told.splitlines() if isinstance(error, ConfigurationError) else [told]
            return PERMISSION if isinstance(cause, PermissionError) else code, lines
    # Where it happened, not with what: an error's text may hold a caller's number.
    steps = traceback.extract_tb(error.__traceback__)[-3:]
    trail = " > ".join(f"{Path(step.filename).name}:{step.lineno}" for step in steps)
    return INTERNAL, [f"internal error: {type(error).__name__} at {trail or 'an unknown place'}; please report it"]


def _tell(line: str) -> None:
    terminal.errors().print(f"rokubox: {printable(line)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rokubox", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=software())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _import_parser(commands)
    _calls_parser(commands)
    _audit_parser(commands)
    return parser


def _command(commands: Parsers, name: str, *, help: str, description: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration in TOML; rokubox.sample.toml shows every key"
    )
    return parser


def _import_parser(commands: Parsers) -> None:
    parser = _command(
        commands,
        "import",
        help="make recordings and call records from capture files",
        description="Make recordings and call records from capture files (pcap, pcapng, either gzipped).",
        epilog=IMPORT_EPILOG,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="capture file")
    parser.add_argument("--output", "--archive", type=Path, metavar="DIR", help="archive (default: [storage] archive)")
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
        run=_import, archive_code=OUTPUT, interrupted="what is in the archive is whole; import again for the rest"
    )


def _calls_parser(commands: Parsers) -> None:
    parser = _command(
        commands,
        "calls",
        help="list the call records of an archive",
        description="List the call records of an archive: every call seen, recorded or not, and why.",
        epilog=CALLS_EPILOG,
    )
    parser.add_argument("--archive", type=Path, metavar="DIR", help="archive (default: [storage] archive)")
    parser.add_argument(
        "--json", action="store_true", help="the whole records (rokubox.call/1), one JSON object a line"
    )
    parser.set_defaults(run=_calls, archive_code=INPUT, interrupted="the list is not whole")


def _audit_parser(commands: Parsers) -> None:
    parser = _command(
        commands,
        "audit",
        help="hold our account of a capture against tshark's",
        description="Hold our account of a capture file against tshark's: calls, streams, packets, loss.\n"
        "Every difference is explained where the figures or the packets allow it.",
        epilog=AUDIT_EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="capture file")
    shown_as = parser.add_mutually_exclusive_group()
    shown_as.add_argument("--json", action="store_true", help="one JSON object, for programs")
    shown_as.add_argument(
        "--frames",
        action="store_true",
        help="also the first frames behind each difference, and the filter that shows all in Wireshark",
    )
    parser.set_defaults(run=_audit, archive_code=OUTPUT, interrupted="nothing was kept")


def _configuration(path: Path | None) -> Configuration:
    return Configuration() if path is None else config.read(path)


def _archive(path: Path | None, configuration: Configuration) -> Path:
    if path is not None:
        return path
    if not configuration.storage.archive:
        raise ConfigurationError("no archive: give --archive DIR, or [storage] archive in --config FILE")
    return Path(configuration.storage.archive)


def _import(arguments: argparse.Namespace) -> int:
    configuration = _configuration(arguments.config)
    output = _archive(arguments.output, configuration)
    record = Record(arguments.record) if arguments.record else None
    if record is Record.RULES and not configuration.enterprise:
        raise ConfigurationError("--record rules: there are none; give them as [[enterprise]] in --config FILE")
    form = Form(arguments.form) if arguments.form else None
    settings = configuration.assembly(record=record, form=form, software=software())
    with shown("importing") as progress:
        report = import_files(arguments.files, output, settings, configuration.sip_ports, progress)
    summary.show(terminal.output(), report, Archive(output))
    return INPUT if any(file.damage for file in report.files) else OK


def _calls(arguments: argparse.Namespace) -> int:
    archive = Archive(_archive(arguments.archive, _configuration(arguments.config)))
    damaged = callstable.show(archive, as_json=arguments.json)
    return INPUT if damaged else OK


def _audit(arguments: argparse.Namespace) -> int:
    tsharkaccount.tool()
    configuration = _configuration(arguments.config)
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


def _show_frames(capture: Path, differences: Sequence[Difference]) -> None:
    console = terminal.output()
    for difference in differences:
        if chosen := framefilter.display_filter(difference):
            auditreport.show_frames(console, difference, chosen, tsharkaccount.frames(capture, chosen))
