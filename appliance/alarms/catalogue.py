"""The closed catalogue of alarms: `catalogue.toml`, which is part of the program."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

import msgspec

from appliance.alarms.kind import AlarmKind, AlarmName


@cache
def catalogue() -> Mapping[AlarmName, AlarmKind]:
    """Every kind of alarm there is, in order of their numbers."""
    text = resources.files("appliance.alarms").joinpath("catalogue.toml").read_text("utf-8")
    rows = msgspec.convert(tomllib.loads(text), dict[AlarmName, AlarmKind])
    return MappingProxyType(dict(sorted(rows.items(), key=lambda row: row[1].number)))
