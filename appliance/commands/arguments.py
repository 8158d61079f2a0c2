"""What the commands have in common: how one is declared, which configuration and archive it works on, what it tells."""

import argparse
from pathlib import Path
from typing import Any

from appliance import config
from appliance.assembly.settings import Record
from appliance.config import Configuration
from appliance.errors import ConfigurationError
from appliance.presentation import terminal
from appliance.presentation.terminal import printable

Commands = Any
"""What `add_subparsers` returns; argparse has no public name for it."""


def command(commands: Commands, name: str, *, help: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Declare a command, with the configuration file that every command takes."""
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


def archive_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the archive of a command that reads one or changes what is there."""
    parser.add_argument("--archive", type=_directory, metavar="DIR", help="archive (default: [storage] archive)")


def output_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the archive of a command that records into one."""
    parser.add_argument(
        "--output",
        "--archive",
        dest="archive",
        type=_directory,
        metavar="DIR",
        help="archive (default: [storage] archive)",
    )


def _directory(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("no directory is named by an empty text")
    return Path(text)


def configuration_of(arguments: argparse.Namespace) -> Configuration:
    """Return what `--config` holds, the defaults without one. Raises ConfigurationError."""
    return Configuration() if arguments.config is None else config.read(arguments.config)


def archive_of(arguments: argparse.Namespace, configuration: Configuration) -> Path:
    """Return the archive's directory. Raises ConfigurationError when none is named."""
    if arguments.archive is not None:
        return Path(arguments.archive)
    if not configuration.storage.archive:
        raise ConfigurationError("no archive: give --archive DIR, or [storage] archive in --config FILE")
    return Path(configuration.storage.archive)


def check_rules(configuration: Configuration, record: Record | None) -> None:
    """Raise ConfigurationError when rules are to decide and there are none."""
    wanting = (table.lines or table.rules.unsignalled for table in configuration.enterprise)
    if record is Record.RULES and not any(wanting):
        raise ConfigurationError("--record rules: there are none; give them as [[enterprise]] in --config FILE")


def tell(line: str) -> None:
    """Say something about the command on stderr."""
    terminal.errors().print(f"rokubox: {printable(line)}")
