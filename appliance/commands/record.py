"""`rokubox record`: mirror ports into an archive, live."""

import argparse

from appliance.assembly.settings import Record
from appliance.commands.arguments import Commands, archive_of, check_rules, command, configuration_of, output_argument
from appliance.errors import ConfigurationError
from appliance.failures import OUTPUT
from storage.archive import Archive

EPILOG = """\
Needs CAP_NET_RAW and, to prepare the port, CAP_NET_ADMIN. The port is set up so that it never sends: no ARP, no IPv6;
one that has an address is refused. Ended by SIGTERM or Ctrl-C: calls that have ended are finished, calls in progress
stay in the journal and go on with the next start. What happens is told on stderr.

examples:
  rokubox record --interface enp2s0 --output archive
  rokubox record --interface enp2s0 --interface enp3s0 --config rokubox.toml
"""


def add(commands: Commands) -> None:
    """Declare `rokubox record`."""
    parser = command(
        commands,
        "record",
        help="record mirror ports until stopped",
        description="Record mirror (SPAN) ports in the foreground; prints one line, `ready`, when recording has begun.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--interface",
        action="append",
        default=[],
        metavar="NAME",
        help="mirror port, a network interface without addresses; repeat for several (default: [[span]] interface)",
    )
    output_argument(parser)
    parser.add_argument(
        "--record", choices=[choice.value for choice in Record], help="all, or what the contracted lines ask for"
    )
    parser.set_defaults(run=_run, archive_code=OUTPUT, interrupted="calls in progress stay in the journal")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.supervision import recording

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if not arguments.interface and not any(span.interface for span in configuration.span):
        raise ConfigurationError("no mirror port: give --interface NAME, or [[span]] interface in --config FILE")
    check_rules(configuration, Record(arguments.record) if arguments.record else None)
    return recording.run(
        archive,
        interfaces=arguments.interface,
        config_file=arguments.config,
        record=arguments.record or "",
        delivers=configuration.delivers,
    )
