"""Which calls a command is about: ids, a person's number, a line, an enterprise."""

import argparse
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from appliance.commands.arguments import tell
from appliance.errors import ConfigurationError
from capture.numbers import canonical
from storage.archive import Archive
from storage.errors import DamagedRecordError

if TYPE_CHECKING:
    from appliance.custody.inventory import KnownCall

LEAST_DIGITS = 8


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what selects calls."""
    parser.add_argument(
        "calls", nargs="*", type=_id, metavar="CALL", help="id of a call, or its first digits (8 or more)"
    )
    parser.add_argument("--number", type=_number, metavar="NUMBER", help="every call of this number, on either side")
    parser.add_argument("--line", type=_number, metavar="NUMBER", help="every call of this contracted line")
    parser.add_argument("--enterprise", metavar="ID", help="every call of this enterprise ID")


def is_given(arguments: argparse.Namespace) -> bool:
    """Whether anything is selected."""
    return any((arguments.calls, arguments.number, arguments.line, arguments.enterprise))


def selected(arguments: argparse.Namespace, archive: Archive) -> "list[KnownCall]":
    """Return the calls that fulfil everything that is said, and tell of records that cannot be read.

    Raises:
        ConfigurationError: nothing is selected, or an id fits no call, or several.
        ArchiveError: the archive cannot be read.
    """
    from appliance.custody.inventory import calls, named

    if not is_given(arguments):
        raise ConfigurationError("which calls? give ids, --number, --line or --enterprise")
    damaged: list[DamagedRecordError] = []
    # Of a person, a line or a contract it must be all: that the records tell, not what is derived of them.
    known = named(archive, arguments.calls) if arguments.calls else None
    everything = calls(archive, damaged.append) if known is None else known
    found = [call for call in everything if _fits(arguments, call)]
    for error in damaged:
        tell(str(error))
    for wanted in arguments.calls:
        fitting = sum(call.call_id.startswith(wanted) for call in found)
        if fitting != 1:
            raise ConfigurationError(f"{wanted}: {fitting or 'no'} call{'s' * (fitting > 1)} with this id")
    return found


def described(arguments: argparse.Namespace) -> str:
    """Return in words what was selected, numbers included: for who asked, not for the ledger."""
    return ", ".join(_words(arguments))


def rule(arguments: argparse.Namespace) -> str:
    """Return in words how it was selected, without any number: for the ledger."""
    kinds = [name for name in ("number", "line") if getattr(arguments, name)]
    enterprise = [f"enterprise {arguments.enterprise}"] if arguments.enterprise else []
    return "request: " + ", ".join([*enterprise, *(f"by {kind}" for kind in kinds)] or ["by call"])


def _words(arguments: argparse.Namespace) -> Iterator[str]:
    if arguments.calls:
        yield f"calls {' '.join(wanted[:10] for wanted in arguments.calls)}"
    for name in ("enterprise", "line", "number"):
        if getattr(arguments, name):
            yield f"{name} {getattr(arguments, name)}"


def _fits(arguments: argparse.Namespace, call: "KnownCall") -> bool:
    from storage.index.numbers import searchable  # it knows every country's numbers

    return (
        (not arguments.calls or any(call.call_id.startswith(wanted) for wanted in arguments.calls))
        and (not arguments.number or searchable(arguments.number) in call.numbers)
        and (not arguments.line or canonical(arguments.line) == call.line)
        and (not arguments.enterprise or arguments.enterprise == call.enterprise)
    )


def _id(text: str) -> str:
    if not re.fullmatch(rf"[0-9a-f]{{{LEAST_DIGITS},64}}", text.lower()):
        raise argparse.ArgumentTypeError(f"{text!r} is no id: hexadecimal, {LEAST_DIGITS} to 64 digits")
    return text.lower()


def _number(text: str) -> str:
    if not canonical(text):
        raise argparse.ArgumentTypeError("no digits or letters in it")
    return text
