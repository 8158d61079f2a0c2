"""A parsed TOML tree turned into frozen dataclasses, every problem noted with its key path. Pure.

The dataclasses declare the form: a field is a key, its type (with msgspec's `Meta` for bounds) says what may stand
there, a tuple of dataclasses is a list of tables, and a default makes the key optional. TOML has no null: what may be
None is so when the key is absent.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T")

NOT_IN_FILE = {"in_file": False}
"""Metadata of a field that is no key."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Check:
    """What a value must fulfil beyond its type; stands in `Annotated`."""

    problem: Callable[[str], str]
    """What is wrong with a value; empty when nothing is."""


def build(tree: dict[str, Any], kind: type[T]) -> tuple[T | None, list[str]]:
    """Return the record that `tree` describes, or None, and every problem, in the order of the file."""
    problems: list[str] = []
    return _table(tree, kind, "", problems), problems


def repeated(tree: dict[str, Any], *names: str, form: Callable[[str], str] = str) -> list[str]:
    """Find texts that stand twice under a row of names through lists of tables; `form` makes the same text alike."""
    first: dict[str, str] = {}
    problems = []
    for path, value in _texts(tree, names, ""):
        before = first.setdefault(form(value), path)
        if before != path and form(value):
            problems.append(f"{path}: {value!r} is there already, at {before}")
    return problems


def _texts(value: Any, names: tuple[str, ...], path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, names, f"{path}[{index}]")
    elif names and isinstance(value, dict):
        yield from _texts(value.get(names[0]), names[1:], _join(path, names[0]))
    elif not names and isinstance(value, str):
        yield path, value


def _table(value: Any, kind: type, path: str, problems: list[str]) -> Any:
    """Build one table; note every key that is unknown, missing or of the wrong kind."""
    if not isinstance(value, dict):
        problems.append(f"{path}: must be a table")
        return None
    hints = get_type_hints(kind, include_extras=True)
    known = {entry.name: entry for entry in dataclasses.fields(kind) if entry.metadata != NOT_IN_FILE}
    before = len(problems)
    unknown = [key for key in value if key not in known]
    problems += [f"{_join(path, key)}: unknown key; known here: {', '.join(known)}" for key in unknown]
    arguments = {key: _value(value[key], hints[key], _join(path, key), problems) for key in known if key in value}
    for key, entry in known.items():
        has_default = entry.default is not dataclasses.MISSING or entry.default_factory is not dataclasses.MISSING
        if key not in value and not has_default:
            problems.append(f"{_join(path, key)}: is missing")
    return None if len(problems) > before else kind(**arguments)


def _value(value: Any, kind: Any, path: str, problems: list[str]) -> Any:
    kind = _given(kind)
    if dataclasses.is_dataclass(kind):
        return _table(value, kind, path, problems)  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        return _list(value, get_args(kind)[0], path, problems)
    try:
        converted = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        problems.append(f"{path}: {_plain(str(error), kind)}")
        return None
    checks = [check for check in getattr(kind, "__metadata__", ()) if isinstance(check, Check)]
    problems += [f"{path}: {problem}" for check in checks if (problem := check.problem(converted))]
    return converted


def _given(kind: Any) -> Any:
    """The type of a value that is there: `X` of `X | None`."""
    if get_origin(kind) is not UnionType:
        return kind
    [given] = (one for one in get_args(kind) if one is not NoneType)
    return given


def _list(value: Any, item: Any, path: str, problems: list[str]) -> tuple[Any, ...]:
    if not isinstance(value, list):
        written = f"an array of tables, [[{path}]]" if dataclasses.is_dataclass(item) else "an array"
        problems.append(f"{path}: must be {written}")
        return ()
    return tuple(_value(one, item, f"{path}[{index}]", problems) for index, one in enumerate(value))


def _plain(message: str, kind: Any) -> str:
    """Say it as a person would, and name what is allowed where that is a closed list."""
    plain = (message[:1].lower() + message[1:]).replace("`", "")
    closed = isinstance(kind, type) and issubclass(kind, StrEnum)
    return f"{plain}; one of {', '.join(kind)}" if closed else plain


def _join(path: str, key: str) -> str:
    shown = key if _BARE_KEY.fullmatch(key) else json.dumps(key)
    return f"{path}.{shown}" if path else shown
