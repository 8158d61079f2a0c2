"""The `rokubox` command: arguments in, exit code out. Errors become one line and an exit code here and nowhere else."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from appliance import archiveaccount, auditreport, callstable, config, summary
from appliance.assembly.settings import AssemblySettings, Record
from appliance.config import Configuration
from appliance.errors import ApplianceError, ConfigurationError, ToolFailedError, ToolMissingError
from appliance.importer import ImportReport, Progress, import_files
from appliance.progress import shown
from appliance.tsharkaccount import hold_against
from capture.errors import CaptureError, CaptureFileError
from storage.archive import Archive
from storage.errors import StorageError
from storage.vocabulary import Form

OK, INTERNAL, USAGE, INPUT, OUTPUT, PERMISSION, TOOL = 0, 1, 2, 3, 4, 5, 6

DESCRIPTION = "Call recorder for a SPAN port: exact stereo recordings, and an account of every call."
EPILOG = """\
exit codes: 0 ok, 1 internal error, 2 usage or configuration, 3 input unreadable or damaged, 4 output or disk,
5 permission, 6 a needed tool is missing"""


def software() -> str:
    """Name and version of this product."""
    return f"rokubox {version('rokubox')}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        return int(arguments.run(arguments))
    except (ApplianceError, CaptureError, StorageError, OSError) as error:
        for line in str(error).splitlines() or [type(error).__name__]:
            console.print(f"rokubox: {line}", markup=False)
        return _exit_code(error)
    except KeyboardInterrupt:
        console.print("rokubox: interrupted; what is in the archive is complete", markup=False)
        return INTERNAL
    except BrokenPipeError:
        return OK


def _exit_code(error: Exception) -> int:
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, PermissionError):
        return PERMISSION
    for kind, code in (
        (ConfigurationError, USAGE),
        (ToolMissingError, TOOL),
        (ToolFailedError, INPUT),
        (CaptureFileError, INPUT),
        (StorageError, OUTPUT),
        (OSError, OUTPUT),
    ):
        if isinstance(error, kind):
            return code
    return INTERNAL


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


def _import_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "import",
        help="make recordings and call records from capture files",
        description="Make recordings and call records from capture files (pcap, pcapng, either gzipped).",
        epilog="Several files are one input, merged by packet time. Importing the same files again changes nothing.\n"
        "example: rokubox import monday.pcapng.gz --output /srv/calls",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="capture file")
    parser.add_argument("--output", "--archive", type=Path, metavar="DIR", help="archive (default: [storage] archive)")
    parser.add_argument("--form", type=Form, choices=list(Form), help="one ZIP a part, or bare WAV and JSON (default: zip)")
    parser.add_argument(
        "--record",
        type=Record,
        choices=list(Record),
        help="every call, or those the configured rules ask for (default: rules when lines are configured, else all)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration, rokubox.toml")
    parser.set_defaults(run=_import)


def _calls_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "calls",
        help="list the call records of an archive",
        description="List the call records of an archive: every call seen, recorded or not, and why.",
    )
    parser.add_argument("--archive", type=Path, metavar="DIR", help="archive (default: [storage] archive)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration, rokubox.toml")
    parser.add_argument("--json", action="store_true", help="the whole records, one JSON object a line")
    parser.set_defaults(run=_calls)


def _audit_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "audit",
        help="hold our account of a capture against tshark's",
        description="Hold our account of a capture file against tshark's: calls, streams, packets, loss. Every difference is "
        "explained; exit code 3 when one cannot be.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="capture file")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration, rokubox.toml")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_audit)


def _configuration(path: Path | None) -> Configuration:
    return Configuration() if path is None else config.read(path)


def _archive(path: Path | None, configuration: Configuration) -> Path:
    if path is not None:
        return path
    if not configuration.storage.archive:
        raise ConfigurationError("no archive: give --archive DIR (or --output DIR), or [storage] archive in --config FILE")
    return Path(configuration.storage.archive)


def _import(arguments: argparse.Namespace) -> int:
    configuration = _configuration(arguments.config)
    output = _archive(arguments.output, configuration)
    os.umask(0o027)
    settings = configuration.assembly(record=arguments.record, form=arguments.form, software=software())
    with shown("importing") as progress:
        report = _run_import(arguments.files, output, settings, configuration, progress)
    summary.show(Console(soft_wrap=True, highlight=False), report, Archive(output))
    return INPUT if any(file.damage for file in report.files) else OK


def _run_import(
    files: Sequence[Path], output: Path, settings: AssemblySettings, configuration: Configuration, progress: Progress
) -> ImportReport:
    return import_files(files, output, settings, configuration.sip_ports, progress)


def _calls(arguments: argparse.Namespace) -> int:
    archive = Archive(_archive(arguments.archive, _configuration(arguments.config)))
    damaged = callstable.show(archive, as_json=arguments.json)
    return INPUT if damaged else OK


def _audit(arguments: argparse.Namespace) -> int:
    configuration = _configuration(arguments.config)
    settings = configuration.assembly(record=Record.ALL, form=Form.WAV, software=software())
    with tempfile.TemporaryDirectory(prefix="rokubox-audit-") as scratch, shown("importing") as progress:
        report = _run_import([arguments.file], Path(scratch), settings, configuration, progress)
        ours = archiveaccount.read_account(Archive(Path(scratch)), packets=report.intake.counters.frames)
    theirs, differences = hold_against(arguments.file, ours)
    if arguments.json:
        Console(soft_wrap=True).print_json(data=auditreport.document(ours, theirs, differences))
    else:
        auditreport.show(Console(), ours, theirs, differences)
    return auditreport.exit_code(differences)


if __name__ == "__main__":
    sys.exit(main())
