"""`rokubox bom`: what the software of this box consists of."""

import argparse
import sys
from pathlib import Path

from appliance.commands.arguments import Commands
from appliance.failures import INPUT, OK

DELIVERED = Path("/usr/share/rokubox/bom.cdx.json")

EPILOG = """\
An image has its list with it. On any other Debian, or with --scan, the system is looked at: everything that is
installed there, and the Python packages that rokubox runs with. Licences are named as each package names them.
構成ソフトウェアの一覧（名称・版・ライセンス）を表示します。--json は CycloneDX 1.5 形式です。

examples:
  rokubox bom
  rokubox bom --json > rokubox.cdx.json
"""


def add(commands: Commands) -> None:
    """Declare `rokubox bom`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "bom",
        help="list every package of this box 構成一覧",
        description="List every package that the software of this box consists of, with version and licence.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="CycloneDX 1.5")
    parser.add_argument("--scan", action="store_true", help="look at this system, also where a list was delivered")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="run it again")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.bom import cyclonedx, debian, python
    from appliance.presentation import bomtable
    from appliance.version import VERSION

    if DELIVERED.exists() and not arguments.scan:
        octets = DELIVERED.read_bytes()
        components = cyclonedx.parse(octets)
    else:
        components = [*debian.installed(), *python.installed()]
        octets = cyclonedx.serialize(components, VERSION)
    if arguments.json:
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
    else:
        bomtable.print_table(components)
    return OK
