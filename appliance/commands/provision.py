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
    parser.set_defaults(run=_run, archive_code=OUTPUT, interrupted="run it again")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.errors import ConfigurationError
    from appliance.provisioning import medium

    try:
        brought = medium.read(arguments.medium, arguments.into, arguments.archive)
    except ConfigurationError as error:
        if not medium.answer(arguments.medium, None, str(error)):
            tell(f"{arguments.medium}: the result cannot be written there")
        raise
    medium.put_in_place(brought, arguments.into)
    medium.answer(arguments.medium, brought, "")
    print(f"accepted / 受け付けました: {brought.digest[:16]}, {len(brought.keys)} keys")
    return OK
