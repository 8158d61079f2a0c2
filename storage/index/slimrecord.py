"""Of a call record what the index takes, read several times as fast as all of it. Pure.

Whether the rest is as the schema has it is `verify`'s business.
"""

import msgspec

from storage.call_record import CallRecord
from storage.errors import DamagedRecordError
from storage.vocabulary import Direction, Outcome, Reason


class _Slim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A record of which not all fields are read."""


class SlimParty(_Slim, frozen=True, kw_only=True, gc=False):
    """One end of the call."""

    number: str


class SlimLink(_Slim, frozen=True, kw_only=True, gc=False):
    """An earlier call."""

    call_id: str | None


class SlimLinks(_Slim, frozen=True, kw_only=True, gc=False):
    """Calls that this one follows from."""

    replaces: SlimLink | None
    transferred_from: SlimLink | None
    second_leg_of: SlimLink | None


class SlimSide(_Slim, frozen=True, kw_only=True, gc=False):
    """One side over the whole call."""

    mos: float | None


class SlimPart(_Slim, frozen=True, kw_only=True, gc=False):
    """The entry for a part."""

    name: str
    number: int
    samples: int


class SlimRecord(_Slim, frozen=True, kw_only=True, gc=False):
    """A call record; the fields are those of `CallRecord`."""

    schema: str
    call_id: str
    outcome: Outcome
    reasons: tuple[Reason, ...]
    started_at: str
    ended_at: str
    duration_s: float
    completeness: float | None
    direction: Direction
    enterprise: str | None
    line: str | None
    caller: SlimParty
    callee: SlimParty
    dialled: str
    asserted: tuple[str, ...]
    diversion: tuple[str, ...]
    links: SlimLinks
    holds: tuple[msgspec.Raw, ...]
    dtmf: tuple[msgspec.Raw, ...]
    sides: tuple[SlimSide, ...]
    parts: tuple[SlimPart, ...]


AnyRecord = CallRecord | SlimRecord
_DECODER = msgspec.json.Decoder(SlimRecord)
_SCHEMA = "rokubox.call/1"


def slim(stored: bytes) -> SlimRecord:
    """Read what is needed of a call record. Raises DamagedRecordError when it is none."""
    try:
        record = _DECODER.decode(stored)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedRecordError(f"not a CallRecord: {error}") from error
    if record.schema != _SCHEMA:
        raise DamagedRecordError(f"not a CallRecord: its schema is not {_SCHEMA}")
    return record
