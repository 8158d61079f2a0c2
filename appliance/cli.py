"""The `rokubox` command: arguments in, exit code out. Errors become one line and an exit code here and nowhere else."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance import config, terminal
from appliance.assembly.settings import Record
from appliance.config import Configuration
from appliance.errors import ConfigurationError
from appliance.failures import INPUT, OK, OUTPUT, failure
from appliance.terminal import printable
from appliance.version import software
from storage.archive import Archive
from storage.vocabulary import Form

if TYPE_CHECKING:
    from appliance.audit import Difference

DESCRIPTION = "Call recorder for a SPAN port: exact stereo recordings, and an account of every call."
EPILOG = """\
examples:
  rokubox import monday.pcapng --output archive        make recordings and call records
  rokubox record --interface enp2s0 --output archive   record a mirror port until stopped
  rokubox calls --archive archive                      list every call, recorded or not
  rokubox audit monday.pcapng                          hold the account against tshark's
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
RECORD_EPILOG = """\
Needs CAP_NET_RAW and, to prepare the port, CAP_NET_ADMIN. The port is set up so that it never sends: no ARP, no IPv6;
one that has an address is refused. Ended by SIGTERM or Ctrl-C: calls that have ended are finished, calls in progress
stay in the journal and go on with the next start. What happens is told on stderr.

examples:
  rokubox record --interface enp2s0 --output archive
  rokubox record --interface enp2s0 --interface enp3s0 --config rokubox.toml
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


def _tell(line: str) -> None:
    terminal.errors().print(f"rokubox: {printable(line)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rokubox", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=software())
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _import_parser(commands)
    _record_parser(commands)
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
    _output_argument(parser)
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


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("no directory is named by an empty text")
    return Path(text)


def _output_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", "--archive", type=_directory, metavar="DIR", help="archive (default: [storage] archive)"
    )


def _record_parser(commands: Parsers) -> None:
    parser = _command(
        commands,
        "record",
        help="record mirror ports until stopped",
        description="Record mirror (SPAN) ports in the foreground; prints one line, `ready`, when recording has begun.",
        epilog=RECORD_EPILOG,
    )
    parser.add_argument(
        "--interface",
        action="append",
        default=[],
        metavar="NAME",
        help="mirror port, a network interface without addresses; repeat for several (default: [[span]] interface)",
    )
    _output_argument(parser)
    parser.add_argument(
        "--record", choices=[choice.value for choice in Record], help="all, or what the contracted lines ask for"
    )
    parser.set_defaults(run=_record, archive_code=OUTPUT, interrupted="calls in progress stay in the journal")


def _calls_parser(commands: Parsers) -> None:
    parser = _command(
        commands,
        "calls",
        help="list the call records of an archive",
        description="List the call records of an archive: every call seen, recorded or not, and why.",
        epilog=CALLS_EPILOG,
    )
    parser.add_argument("--archive", type=_directory, metavar="DIR", help="archive (default: [storage] archive)")
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


def _check_rules(configuration: Configuration, record: Record | None) -> None:
    wanting = (table.lines or table.rules.unsignalled for table in configuration.enterprise)
    if record is Record.RULES and not any(wanting):
        raise ConfigurationError("--record rules: there are none; give them as [[enterprise]] in --config FILE")


def _archive(path: Path | None, configuration: Configuration) -> Path:
    if path is not None:
        return path
    if not configuration.storage.archive:
        raise ConfigurationError("no archive: give --archive DIR, or [storage] archive in --config FILE")
    return Path(configuration.storage.archive)


# Every command loads what it needs itself: an import of a few calls is over in less time than loading the rest takes.


def _import(arguments: argparse.Namespace) -> int:
    from appliance import summary
    from appliance.importer import import_files
    from appliance.progress import shown

    configuration = _configuration(arguments.config)
    output = _archive(arguments.output, configuration)
    record = Record(arguments.record) if arguments.record else None
    _check_rules(configuration, record)
    form = Form(arguments.form) if arguments.form else None
    settings = configuration.assembly(record=record, form=form, software=software())
    with shown("importing") as progress:
        report = import_files(arguments.files, output, settings, configuration.sip_ports, progress)
    summary.show(terminal.output(), report, Archive(output))
    for file in report.files:
        if file.damage:
            _tell(f"{file.path}: {file.damage}; what lies before it was imported")
    return INPUT if any(file.damage for file in report.files) else OK


def _record(arguments: argparse.Namespace) -> int:
    from appliance import recording

    configuration = _configuration(arguments.config)
    archive = Archive(_archive(arguments.output, configuration))
    if not arguments.interface and not any(span.interface for span in configuration.span):
        raise ConfigurationError("no mirror port: give --interface NAME, or [[span]] interface in --config FILE")
    _check_rules(configuration, Record(arguments.record) if arguments.record else None)
    return recording.run(
        archive, interfaces=arguments.interface, config_file=arguments.config, record=arguments.record or ""
    )


def _calls(arguments: argparse.Namespace) -> int:
    from appliance import callstable

    archive = Archive(_archive(arguments.archive, _configuration(arguments.config)))
    damaged = callstable.show(archive, as_json=arguments.json)
    return INPUT if damaged else OK


def _audit(arguments: argparse.Namespace) -> int:
    from appliance import archiveaccount, auditreport, tsharkaccount
    from appliance.importer import import_files
    from appliance.progress import shown

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


def _show_frames(capture: Path, differences: Sequence["Difference"]) -> None:
    from appliance import auditreport, framefilter, tsharkaccount

    console = terminal.output()
    for difference in differences:
        if chosen := framefilter.display_filter(difference):
            auditreport.show_frames(console, difference, chosen, tsharkaccount.frames(capture, chosen))
