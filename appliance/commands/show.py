"""`rokubox show`: one call as text, and as a picture."""

import argparse
from pathlib import Path

from appliance.commands.arguments import Commands, archive_argument, archive_of, command, configuration_of
from appliance.errors import ConfigurationError
from appliance.failures import INPUT, OK
from appliance.show.labels import Language
from storage.archive import Archive

EPILOG = """\
The picture shows both channels over time, what is missing and why, holds, keys pressed and parts. It holds numbers.
両チャネルの波形、欠落とその原因、保留、キー操作を一枚の図（SVG）にします。

examples:
  rokubox show 7c18cb116a --archive archive
  rokubox show 7c18cb116a --archive archive --svg call.svg --lang ja
"""


def add(commands: Commands) -> None:
    """Declare `rokubox show`."""
    parser = command(
        commands,
        "show",
        help="show one call: figures, gaps, and a picture of both channels",
        description="Show everything that is known of one call.",
        epilog=EPILOG,
    )
    parser.add_argument("call", metavar="CALL", help="its id, the first digits of that, or a part's file")
    archive_argument(parser)
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw it into this file, too")
    parser.add_argument(
        "--lang",
        choices=[language.value for language in Language],
        default=Language.BOTH.value,
        help="Japanese, English, or both (default)",
    )
    parser.set_defaults(run=_run, archive_code=INPUT, interrupted="nothing was changed")


def _run(arguments: argparse.Namespace) -> int:
    from appliance.presentation import terminal
    from appliance.show import finding, gathering, picture, sheet

    archive = Archive(archive_of(arguments, configuration_of(arguments)))
    language = Language(arguments.lang)
    found = finding.find(archive, arguments.call)
    view = gathering.gather(found, picture.WAVE_WIDTH if arguments.svg else 0)
    if arguments.svg:
        _write(arguments.svg, picture.draw(view, language))
    sheet.show(terminal.output(), view, language)
    return INPUT if any(part.problem for part in view.parts) else OK


def _write(path: Path, drawn: str) -> None:
    """Write the picture. Raises ConfigurationError: the file was named by who called."""
    try:
        path.write_text(drawn, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"--svg: cannot write {path}: {error.strerror}") from error
