"""`rokubox status`: the page of the box's screen, in any terminal."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.commands.arguments import Commands, archive_argument, command
from appliance.failures import INPUT, OK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

DEFAULT_CONFIG = Path("/etc/rokubox/rokubox.toml")
FONT = Path("/usr/share/unifont/unifont_jp.hex")
LONG = 1000
"""Lines where nobody's screen ends."""
EPILOG = """\
What a technician wants to know: addresses, frames a second at each mirror port, calls, completeness, disk, verdict,
alarms with their remedies, and what came of a medium with a configuration. It only reads what the services tell.
状態画面です。--watch で数秒ごとに更新します。

examples:
  rokubox status
  rokubox status --watch --language ja
"""


def add(commands: Commands) -> None:
    """Declare `rokubox status`."""
    parser = command(
        commands,
        "status",
        help="show the box's status page 状態画面",
        description="Show how the box is, as its screen and its serial port do.",
        epilog=EPILOG,
    )
    archive_argument(parser)
    parser.add_argument("--watch", action="store_true", help="draw it again and again until stopped")
    parser.add_argument("--every", type=float, default=3.0, metavar="S", help="of --watch: seconds (default: 3)")
    parser.add_argument(
        "--console", action="store_true", help="of --watch: this terminal is the box's own screen or serial port"
    )
    parser.add_argument("--language", choices=("ja", "en", "both"), default="both", help="default: both")
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.presentation import terminal as consoles
    from appliance.show.labels import Language
    from appliance.statuspage import console, looking, page, terminal

    file = arguments.config or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    language, every_s = Language(arguments.language), max(0.5, arguments.every)

    def now(told: Language, columns: int, rows: int) -> "Sequence[Text]":
        return page.page(looking.look(file, arguments.archive), told, columns, rows)

    if arguments.watch and arguments.console:
        console.watch(now, language, every_s, FONT)
    elif arguments.watch:
        terminal.watch(lambda columns, rows: now(language, columns, rows), every_s)
    columns = terminal.size(sys.stdout.fileno())[0] if sys.stdout.isatty() else terminal.COLUMNS
    for line in now(language, columns, LONG):
        consoles.output().print(line, soft_wrap=True)
    return OK
