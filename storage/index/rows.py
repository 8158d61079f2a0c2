"""Call records and parts as the index stores them. Pure.

Closed sets become small numbers (0: none), sets of reasons and roles become bits; callers' names, keys pressed and file
names do not come into the index at all.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntFlag, StrEnum
from functools import lru_cache
from typing import Final, TypeVar

from storage.index.numbers import searchable
from storage.index.slimrecord import AnyRecord, SlimLinks
from storage.part_record import PartRecord
from storage.records import Links
from storage.timestamps import NS_PER_S, instant_ns
from storage.vocabulary import SAMPLE_RATE_HZ, Direction, Outcome, Reason

MAX_TEXT_CHARACTERS = 128
"""Longer numbers are cut: only hostile signalling has them."""
_DAY_S = 86_400
_EPOCH = date(1970, 1, 1)
_SURROGATES = re.compile("[\ud800-\udfff]")
MAX_DAYS: Final = 366
LATEST_NS: Final = (1 << 63) - 1
"""2262-04-11, the last instant that a database can hold in nanoseconds."""
OUTCOMES: Final = tuple(Outcome)
DIRECTIONS: Final = tuple(Direction)
REASONS: Final = tuple(Reason)
_Term = TypeVar("_Term", bound=StrEnum)


class Role(IntFlag):
    """What a number has to do with a call."""

    CALLER = 1
    """From, or asserted by the network (RFC 3325)."""
    CALLEE = 2
    """To, or dialled."""
    DIVERTING = 4
    """Diverted the call (RFC 5806)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """A part that is in the archive."""

    number: int
    """Its number, from 1."""
    day: int
    """Local date of its start and so its folder, as YYYYMMDD."""
    samples: int
    """Samples per channel."""
    size_bytes: int
    """Size of its ZIP, or of WAV and sidecar together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRow:
    """A call as the index knows it."""

    call_id: bytes
    """32 bytes."""
    started_ns: int
    """First packet of the call, nanoseconds since 1970."""
    ended_ns: int
    """Its end; of a call in progress the end of its last part."""
    offset_min: int
    """Offset of its local time from UTC in minutes."""
    day: int
    """Local date of its start, as YYYYMMDD."""
    enterprise: str
    """Enterprise ID; empty without one."""
    line: str
    """Contracted line; empty without one."""
    direction: int
    """Place in `DIRECTIONS`, from 1."""
    outcome: int
    """Place in `OUTCOMES`, from 1; 0 while the call is in progress."""
    reasons: int
    """A bit for each of `REASONS`."""
    deciding: int
    """Place in `REASONS` of the deciding one, from 1; 0 without one."""
    length_ms: int
    """Answer to end; of a call in progress what is recorded so far."""
    mos: float | None
    """The worse side's listening quality; None without packets, and while the call is in progress."""
    completeness: float | None
    """Percent; None when nothing was expected."""
    dtmf: int
    """Keys pressed."""
    holds: int
    """Negotiated holds."""
    caller: str
    """Caller's number as signalled."""
    callee: str
    """Number called as signalled."""
    numbers: tuple[tuple[str, int], ...]
    """Searchable form of every number concerned with its `Role` bits."""
    links: tuple[tuple[str, bytes], ...]
    """Earlier calls of this archive: kind and call id."""
    parts: tuple[PartRow, ...]
    """Parts that are there, in order."""


def place(term: _Term, terms: Sequence[_Term]) -> int:
    """The number that stands for a term: its place from 1."""
    return terms.index(term) + 1


def bits(reasons: Iterable[Reason]) -> int:
    """The number that stands for a set of reasons."""
    return sum(1 << REASONS.index(reason) for reason in set(reasons))


def places(reasons: int) -> tuple[int, ...]:
    """The places from 1 of the reasons in such a set."""
    return tuple(at for at in range(1, len(REASONS) + 1) if reasons >> (at - 1) & 1)


def day_number(text: str) -> int:
    """20260102 for a time, a date or a file name that begins with this date."""
    return int(text.replace("-", "")[:8])


def call_row(record: AnyRecord, parts: tuple[PartRow, ...]) -> CallRow:
    """The row of a call that has ended. Raises ValueError when a time of the record is none."""
    heard = [side.mos for side in record.sides if side.mos is not None]
    started_ns, offset_min = _instant_ns(record.started_at), _offset_min(record.started_at)
    return CallRow(
        call_id=bytes.fromhex(record.call_id),
        started_ns=started_ns,
        ended_ns=max(_instant_ns(record.ended_at), started_ns),
        offset_min=offset_min,
        day=_local_days(started_ns, started_ns, offset_min)[0],
        enterprise=_text(record.enterprise or ""),
        line=_text(record.line or ""),
        direction=place(record.direction, DIRECTIONS),
        outcome=place(record.outcome, OUTCOMES),
        reasons=bits(record.reasons),
        deciding=place(record.reasons[0], REASONS) if record.reasons else 0,
        length_ms=round(record.duration_s * 1000),
        mos=min(heard) if heard else None,
        completeness=record.completeness,
        dtmf=len(record.dtmf),
        holds=len(record.holds),
        caller=_text(record.caller.number),
        callee=_text(record.callee.number or record.dialled),
        numbers=_numbers(record),
        links=_links(record.links),
        parts=parts,
    )


def open_row(part: PartRecord, parts: tuple[PartRow, ...]) -> CallRow:
    """The row of a call that has no record yet, from its newest part; `parts` are all of them."""
    started_ns, offset_min = _instant_ns(part.started_at), _offset_min(part.started_at)
    end_s = (part.first_sample + part.samples) / SAMPLE_RATE_HZ
    return CallRow(
        call_id=bytes.fromhex(part.call_id),
        started_ns=started_ns,
        ended_ns=max(min(_instant_ns(part.origin_at) + round(end_s * NS_PER_S), LATEST_NS), started_ns),
        offset_min=offset_min,
        day=_local_days(started_ns, started_ns, offset_min)[0],
        enterprise=_text(part.enterprise or ""),
        line=_text(part.line or ""),
        direction=place(part.direction, DIRECTIONS),
        outcome=0,
        reasons=0,
        deciding=0,
        length_ms=round(end_s * 1000),
        mos=None,
        completeness=None,
        dtmf=len(part.dtmf),
        holds=len(part.holds),
        caller=_text(part.caller.number),
        callee=_text(part.callee.number or part.dialled),
        numbers=_numbers(part),
        links=_links(part.links),
        parts=parts,
    )


def days_after(row: CallRow) -> tuple[int, ...]:
    """Local dates after the first in which the call was still going on, as YYYYMMDD; at most a year of them."""
    return _local_days(row.started_ns, row.ended_ns, row.offset_min)[1:]


def _local_days(first_ns: int, last_ns: int, offset_min: int) -> tuple[int, ...]:
    first, last = ((ns // NS_PER_S + offset_min * 60) // _DAY_S for ns in (first_ns, last_ns))
    return tuple(map(_as_date, range(first, min(last, first + MAX_DAYS) + 1)))


@lru_cache(maxsize=1024)
def _as_date(day: int) -> int:
    """YYYYMMDD of a day counted from 1970-01-01."""
    return day_number((_EPOCH + timedelta(days=day)).isoformat())


def _instant_ns(time: str) -> int:
    """The instant of an RFC 3339 time, as far as it fits into 64 bits: forged captures carry later ones."""
    return min(max(instant_ns(time), 0), LATEST_NS)


def _offset_min(time: str) -> int:
    """Minutes of `...+09:00` at the end of an RFC 3339 time."""
    minutes = int(time[-5:-3]) * 60 + int(time[-2:])
    return -minutes if time[-6] == "-" else minutes


def _numbers(call: AnyRecord | PartRecord) -> tuple[tuple[str, int], ...]:
    roles: dict[str, int] = {}
    said = [(Role.CALLER, number) for number in (call.caller.number, *call.asserted)]
    said += [(Role.CALLEE, number) for number in (call.callee.number, call.dialled)]
    said += [(Role.DIVERTING, number) for number in call.diversion]
    for role, number in said:
        if form := _text(searchable(number)):
            roles[form] = roles.get(form, 0) | role.value
    return tuple(roles.items())


def _links(links: Links | SlimLinks) -> tuple[tuple[str, bytes], ...]:
    kinds = (
        ("replaces", links.replaces),
        ("transferred_from", links.transferred_from),
        ("second_leg_of", links.second_leg_of),
    )
    return tuple((kind, bytes.fromhex(link.call_id)) for kind, link in kinds if link and link.call_id)


def _text(text: str) -> str:
    """`text` as a database can hold it."""
    if text.isascii() and len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text[:MAX_TEXT_CHARACTERS])
