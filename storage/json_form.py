"""Records to canonical JSON and back: UTF-8, fields in the order of declaration, indented by one, newline at the end.

The same record always gives the same bytes; they are hashed and never rewritten. Pure.
"""

from typing import TypeVar

import msgspec

from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.late_record import LateRecord
from storage.part_record import PartRecord

Record = TypeVar("Record", PartRecord, CallRecord, LateRecord)


def to_json(record: PartRecord | CallRecord | LateRecord) -> bytes:
    """The bytes to store. A lone surrogate in a text (from undecodable signalling) becomes U+FFFD."""
    return msgspec.json.format(_compact(record), indent=1) + b"\n"


def to_json_line(record: PartRecord | CallRecord | LateRecord) -> bytes:
    """The record on one line, for programs that read many."""
    return _compact(record) + b"\n"


def _compact(record: PartRecord | CallRecord | LateRecord) -> bytes:
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:
        return msgspec.json.encode(encodable(msgspec.to_builtins(record)))


def from_json(stored: bytes, kind: type[Record]) -> Record:
    """Read what `to_json` wrote. Raises DamagedRecordError for anything that is not a whole, valid record."""
    try:
        return msgspec.json.decode(stored, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecordError(f"not a {kind.__name__}: {error}") from error


def encodable(value: object) -> object:
    """`value`, made of builtins, with every text encodable as UTF-8."""
    match value:
        case str():
            return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
        case dict():
            return {key: encodable(item) for key, item in value.items()}
        case list() | tuple():
            return [encodable(item) for item in value]
        case _:
            return value
