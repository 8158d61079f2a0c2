"""`run/storage.json`: the condition of an archive, for the processes that watch over it. Pure.

It is the one place to read: what is wrong and since when, and what was seen. It names no caller's number.
"""

from dataclasses import dataclass
from typing import Literal

from appliance.condition.concerns import Concern
from appliance.condition.seen import Figures

NAME = "storage.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A concern that stands."""

    concern: Concern
    """Which."""
    part: str
    """Which of several; empty for most."""
    what: str
    """In words, without callers' numbers."""
    since_ns: int
    """When it was raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The condition of the archive as its owner knows it."""

    schema: Literal["rokubox.storage/1"] = "rokubox.storage/1"
    at_ns: int
    """When this was written. Older than a few minutes: the owner is not running, or its disk does not take it."""
    concerns: tuple[Standing, ...]
    """What is wrong at present."""
    figures: Figures | None
    """None while the archive cannot be kept, because its ledger cannot be used."""
