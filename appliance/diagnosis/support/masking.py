"""What is taken out of a support bundle: numbers of callers and lines always, names and carrier's details by default.

Pure. Nothing clever: keys that may hold such a thing are masked whatever they hold, in free text every row of digits.
"""

import re
from typing import Any, Final

MASK: Final = "***"
ALWAYS: Final = frozenset({"number", "allow_00", "proxy", "password", "secret", "token"})
"""Keys of the configuration whose values are never told."""
CONFIDENTIAL: Final = frozenset(
    {"customer", "site", "changed_by", "change_reason", "id", "address", "carrier_networks", "host"}
)
"""Keys whose values are told only when asked for; `address` of the management port is our own and stays."""
_OUR_OWN: Final = ("management",)
_DIGITS = re.compile(r"\+?[0-9](?:[ -]?[0-9]){5,}")
_ADDRESS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[0-9.:+Z-]*")


def masked(tree: Any, *, whole: bool, path: tuple[str, ...] = ()) -> Any:
    """The configuration's tree with what is not to be told replaced; `whole` leaves the confidential keys."""
    if isinstance(tree, dict):
        return {key: _value(key, value, whole=whole, path=path) for key, value in tree.items()}
    if isinstance(tree, list):
        return [masked(each, whole=whole, path=path) for each in tree]
    return tree


def _value(key: str, value: Any, *, whole: bool, path: tuple[str, ...]) -> Any:
    hidden = key in ALWAYS or (key in CONFIDENTIAL and not whole and path[:1] != _OUR_OWN)
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value)):
        return masked(value, whole=whole, path=(*path, key))
    if not hidden:
        return value
    return [MASK] * len(value) if isinstance(value, list) else MASK


def line(text: str) -> str:
    """A line of a log with every row of six digits or more replaced; times and IPv4 addresses stay."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\x00{chr(0xE000 + len(kept) - 1)}"

    shown = _DIGITS.sub(MASK, _ADDRESS.sub(keep, text[:4000]))
    return re.sub("\x00(.)", lambda found: kept[ord(found[1]) - 0xE000], shown)
