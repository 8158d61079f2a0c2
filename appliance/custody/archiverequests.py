"""What the archive's owner is asked, and what it answers: one line of JSON each. Pure."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from appliance.errors import RequestError
from storage.ledger.entries import Day, DeliveredPart, Name, Text
from storage.vocabulary import CallId, PartNumber, Sha256

MAX_REQUEST_BYTES = 1 << 20
"""No request is longer; more is asked in several."""
MAX_CALLS = 200
"""Calls that one request may name: bounds what a step of the archive's owner costs."""

CallDay = tuple[CallId, Day]
"""A call, and the local date of its start, in whose folder its record lies."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """A request or an answer."""


class Erase(_Message, frozen=True, tag="erase"):
    """Erase whole calls; those that are held, pending or going on are left."""

    calls: Annotated[tuple[CallDay, ...], Meta(min_length=1, max_length=MAX_CALLS)]
    rule: Text
    who: Text
    why: Text


class Account(_Message, frozen=True, tag="account"):
    """Tell what has become of calls that were to be erased: everything asked before is done then."""

    calls: Annotated[tuple[CallDay, ...], Meta(min_length=1, max_length=MAX_CALLS)]
    first: Annotated[int, Meta(ge=0)]
    """Lines that the ledger had before."""
    who: Text
    why: Text
    """Why they were to be erased: what was erased for another reason does not count."""


class Hold(_Message, frozen=True, tag="hold"):
    """Set a legal hold on calls, or release it."""

    calls: Annotated[tuple[CallId, ...], Meta(min_length=1, max_length=MAX_CALLS)]
    released: bool
    name: Text
    who: Text
    why: Text


class Export(_Message, frozen=True, tag="export"):
    """Say in the ledger that recordings are given out."""

    calls: Annotated[tuple[CallId, ...], Meta(min_length=1, max_length=MAX_CALLS)]
    options: dict[Name, Text]
    who: Text
    why: Text


class Trial(_Message, frozen=True, tag="trial"):
    """Say in the ledger what came of a call that was made to try the box."""

    calls: Annotated[tuple[CallId, ...], Meta(max_length=MAX_CALLS)]
    outcome: Literal["passed", "failed"]
    checks: dict[Name, Text]
    who: Text
    why: Text


class Receipt(_Message, frozen=True, tag="receipt"):
    """Say in the ledger that a target holds recordings, or that delivery was given up; what it says already is left."""

    target: Text
    address: Text
    outcome: Literal["delivered", "given_up"]
    proof: Literal["checksum", "read_back"] | None
    parts: Annotated[tuple[DeliveredPart, ...], Meta(min_length=1, max_length=MAX_CALLS)]
    who: Text
    why: Text


class DeliveredFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that the carrier has delivered; its WAV lies in `upload/stage/`, named by its hash."""

    part: PartNumber
    wav_sha256: Sha256
    zip_sha256: Sha256


class TakeIn(_Message, frozen=True, tag="take_in"):
    """Take a delivered call in; what is there already and is the same changes nothing."""

    call_id: CallId
    started_ns: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    caller: Annotated[str, Meta(max_length=64)]
    callee: Annotated[str, Meta(max_length=64)]
    files: Annotated[tuple[DeliveredFile, ...], Meta(min_length=1, max_length=MAX_CALLS)]
    """In order."""
    missing: Annotated[tuple[PartNumber, ...], Meta(max_length=10_000)]
    """Parts that did not come."""
    joined: CallId | None
    """The call that was seen and is the same."""
    who: Text
    why: Text
    """What they have in common."""


class ConfirmClock(_Message, frozen=True, tag="confirm_clock"):
    """A person says that the wall clock is right."""

    who: Text
    why: Text


class RotateKey(_Message, frozen=True, tag="rotate_key"):
    """Replace the device key by a new one."""

    who: Text
    why: Text


class TakeIndex(_Message, frozen=True, tag="take_index"):
    """Put the index that was made anew in the place of the one in use."""

    who: Text


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the ledger, with its proof."""

    line: str
    """The entry as stored."""
    proof: str
    """Inclusion in the newest checkpoint's log, C2SP tlog-proof."""


class Erased(_Message, frozen=True, tag="erased"):
    """What became of an `Erase`."""

    entry: LedgerLine | None
    """None when nothing was erased."""
    erased: tuple[CallId, ...]
    parts: int
    bytes: int
    left: dict[CallId, str]
    """Calls that are left, each with the reason: held, pending, open, damaged."""


class Accounted(_Message, frozen=True, tag="accounted"):
    """What became of an `Account`."""

    entries: tuple[LedgerLine, ...]
    """The erasures, in the ledger's order."""
    left: dict[CallId, str]
    """Calls that are still there, each with the reason: held, pending, open, damaged, interrupted."""


class Done(_Message, frozen=True, tag="done"):
    """What became of any other request."""

    entry: LedgerLine | None
    """None when it changed nothing in the ledger."""
    calls: int = 0
    """Calls that it changed."""


class Refused(_Message, frozen=True, tag="refused"):
    """It was not done."""

    problem: str
    """Why, in one line."""
    input: bool = False
    """It was the request that was wrong, not the archive."""


Request = Erase | Account | Hold | Export | Trial | Receipt | TakeIn | ConfirmClock | RotateKey | TakeIndex
Answer = Erased | Accounted | Done | Refused
_REQUESTS = msgspec.json.Decoder(Request)
_ANSWERS = msgspec.json.Decoder(Answer)


def line(message: Request | Answer) -> bytes:
    """The message as it goes over the socket, newline included."""
    return msgspec.json.encode(message) + b"\n"


def parse_request(received: bytes) -> Request:
    """Read a request. Raises RequestError."""
    try:
        request: Request = _REQUESTS.decode(received)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"not a request: {error}") from error
    return request


def parse_answer(received: bytes) -> Answer:
    """Read an answer. Raises RequestError."""
    try:
        answer: Answer = _ANSWERS.decode(received)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"not an answer: {error}") from error
    return answer
