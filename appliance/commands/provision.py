"""`rokubox provision`: configuration and keys from a medium."""

import argparse
from pathlib import Path

from appliance.commands.arguments import Commands, tell
from appliance.failures import OK, OUTPUT

DIRECTORY = Path("/etc/rokubox")

EPILOG = """\
MEDIUM holds rokubox.toml, and what it names as DIR/keys/NAME in a folder keys/. Everything is checked before anything
is changed; rokubox-result.txt on the medium says what came of it. At the first boot a medium labelled ROKUBOX is taken
by itself. 設定と鍵を媒体から取り込みます。問題があれば何も変更せず、媒体の rokubox-result.txt に書き出します。

examples:
  rokubox provision /media/usb --archive /var/lib/rokubox
"""


def add(commands: Commands) -> None:
    """Declare `rokubox provision`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "provision",
        help="take configuration and keys from a medium",
        description="Check configuration and keys on a medium as a whole, and put them in place.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("medium", type=Path, metavar="MEDIUM", help="folder with rokubox.toml")
    parser.add_argument("--into", type=Path, default=DIRECTORY, metavar="DIR", help="where it goes (%(default)s)")
    parser.add_argument("--archive", required=True, metavar="DIR", help="where the archive has to lie on this box")
    parser.add_argument(
        "--once", type=Path, metavar="FILE", help="only while the configuration is still FILE, which the box came with"
    )
    parser.add_argument("--mounted", action="store_true", help="MEDIUM has to be mounted, else it cannot be read")
    parser.add_argument("--told", type=Path, metavar="DIR", help="folder for what came of it, for the status page")
    parser.set_defaults(run=_run, archive_code=OUTPUT, interrupted="run it again")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.errors import ConfigurationError, MediumError
    from appliance.provisioning import taking
    from appliance.provisioning.outcome import TITLES, Outcome
    from appliance.provisioning.taking import Wanted

    wanted = Wanted(
        medium=arguments.medium,
        into=arguments.into,
        archive=arguments.archive,
        once=arguments.once,
        mounted=arguments.mounted,
    )
    told = taking.take(wanted)
    if not told.answered:
        tell(f"{arguments.medium}: the result cannot be written there")
    if arguments.told is not None and not taking.tell(arguments.told, told):
        tell(f"{arguments.told}: the result cannot be written there")
    title = TITLES[told.outcome]
    if told.outcome in (Outcome.ACCEPTED, Outcome.SAME):
        print(f"{title.en} / {title.ja} {told.digest[:16]}".strip())
        return OK
    if told.outcome is Outcome.REFUSED:
        raise ConfigurationError("\n".join(told.problems))
    raise MediumError("; ".join((f"{arguments.medium}: {title.en}", *told.problems)))
