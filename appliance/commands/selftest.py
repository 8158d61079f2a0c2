"""`rokubox selftest`: the ladder of checks, and whose fault it is."""

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.failures import INPUT, OK

if TYPE_CHECKING:
    from appliance.config import Configuration
    from appliance.diagnosis.evidence import Evidence
    from storage.archive import Archive

QUICK_S = 14.0
"""Probes that have not answered by then are unknown: no longer than the slowest of them takes."""
LOOK_S = 32.0
"""A mirror port on which nothing comes is looked at for so long before that means something."""

EPILOG = """\
Asks from the management port only, a few packets each, and reads what capture saw at the mirror. Own side first:
neither VPN nor carrier is named while a check on our own side fails or is unknown. Needs no root; a few checks say
"unknown" without it. What a box cannot observe is declared in [probe] not_observable. The known call of --full takes a
network and a folder of its own: customers' recordings are not touched. Its result counts for a day.
障害の切り分けを行います。自社側の検査が終わるまで、VPN や通信事業者を原因とは判定しません。

examples:
  rokubox selftest --config rokubox.toml
  rokubox selftest --config rokubox.toml --full --json | jq .domains

exit codes:
  0 no fault found              24 carrier
  20 lan: customer's equipment  25 vpn or carrier
  21 mirror                     26 lan or vpn
  22 appliance                  27 endpoint: one telephone
  23 vpn                        28 several others
  29 not observable: something is wrong, and whose it is cannot be told
"""


def add(commands: Commands) -> None:
    """Declare `rokubox selftest`."""
    parser = command(
        commands,
        "selftest",
        help="check everything, and tell whose fault a fault is 切り分け",
        description="Check the box, the way out and the mirror, bottom up, and tell whose fault it is.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--interface", action="append", default=[], help="mirror port (default: [[span]] interface)")
    parser.add_argument("--full", action="store_true", help="first put a known call through the whole pipeline (10 s)")
    parser.add_argument("--known-call-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="where tests write, on the archive's disk (default: its spool)"
    )
    parser.add_argument("--json", action="store_true", help="verdict and evidence as one JSON object")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.diagnosis.endtoend import testcall
    from appliance.diagnosis.verdict import verdict
    from appliance.presentation import terminal, verdicttable
    from storage.archive import Archive

    configuration = configuration_of(arguments)
    archive = Archive(archive_of(arguments, configuration))
    if arguments.full or arguments.known_call_only:
        testcall.run(archive, arguments.scratch or archive.spool)
    if arguments.known_call_only:  # its result is kept; whoever asks next is told
        return OK
    evidence = gather(configuration, archive, tuple(arguments.interface), arguments.scratch)
    found = verdict(evidence)
    if arguments.json:
        print(json.dumps(verdicttable.document(found, evidence), ensure_ascii=False, indent=2))
    else:
        terminal.output().print(verdicttable.table(found, configuration.zone))
    return found.exit_code


def gather(
    configuration: "Configuration", archive: "Archive", interfaces: tuple[str, ...], scratch: Path | None = None
) -> "Evidence":
    """Ask everything once; a mirror port on which nothing comes is watched for a while longer."""
    from appliance.diagnosis.observing import Watch

    watch = Watch(configuration, archive, interfaces, scratch=scratch)
    try:
        began = time.monotonic()
        watch.observe()
        evidence = watch.observe(wait_s=QUICK_S)
        while _may_be_quiet(evidence) and time.monotonic() - began < LOOK_S:
            time.sleep(1.0)
            evidence = watch.observe()
    finally:
        watch.close()
    return evidence


def _may_be_quiet(evidence: "Evidence") -> bool:
    from appliance.diagnosis.evidence import Role

    ports = [port for port in evidence.ports if port.role is Role.SPAN and port.link_up]
    return evidence.wire is None and any(not port.received for port in ports)
