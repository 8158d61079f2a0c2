"""Metadata without what tells who called whom. Pure."""

from dataclasses import replace
from typing import TypeVar

from storage.call_record import CallRecord
from storage.part_record import PartRecord
from storage.records import Links, Party, masked

_NOBODY = Party(number="", display="", uri="")
_Record = TypeVar("_Record", PartRecord, CallRecord)


def without_numbers(record: _Record) -> _Record:
    """Return the record without numbers, names, SIP addresses and Call-IDs, which often hold them.

    Call ids stay: they are hashes.
    """
    links = {
        name: replace(link, sip_call_id=None) if (link := getattr(record.links, name)) else None
        for name in ("replaces", "transferred_from", "second_leg_of")
    }
    plain = replace(
        record,
        caller=_NOBODY,
        callee=_NOBODY,
        dialled="",
        asserted=(),
        diversion=(),
        line=None,
        sip=None,
        links=Links(**links),
    )
    return replace(plain, parts=()) if isinstance(plain, CallRecord) else plain


def without_keys(record: _Record) -> _Record:
    """Return the record with every digit masked."""
    return replace(record, dtmf=masked(record.dtmf))
