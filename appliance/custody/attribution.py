"""Who causes something, and why: `--who` and `--why` of the commands that change an archive."""

import argparse
import getpass
import os


def arguments(parser: argparse.ArgumentParser, *, needs_why: bool) -> None:
    """Declare `--who` and `--why`."""
    parser.add_argument(
        "--who",
        type=_said,
        default=None,
        metavar="NAME",
        help="who causes it (default: the login name, also behind sudo)",
    )
    parser.add_argument(
        "--why",
        type=_said,
        required=needs_why,
        default=None,
        metavar="TEXT",
        help="why; stands in the ledger for ever, so name no caller's number",
    )


def who(arguments: argparse.Namespace) -> str:
    """Return who causes what the command does."""
    return str(arguments.who or os.environ.get("SUDO_USER") or getpass.getuser())


def _said(text: str) -> str:
    said = " ".join(text.split())
    if not said or len(said) > 500 or not said.isprintable():
        raise argparse.ArgumentTypeError("say it in 1 to 500 characters")
    return said
