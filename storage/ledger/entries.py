"""What the ledger says, one record a line: compact JSON with the fields in the order of declaration. Pure.

The ledger is for ever and numbers must be erasable: no entry names a caller, a line or a file. What a person caused
says who and why.

The leaf of a `part` is the SHA-256 of its `call.json` and that of its WAV, 64 bytes, so that a recording can be proved
without its ledger line. All others are the SHA-256 of the line without its newline, 32 bytes. A `seal` ends every
batch and holds the hash of all its lines: no byte of a `part` line is without cover.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from storage.errors import LedgerError
from storage.vocabulary import CallId, Count, Form, PartNumber, Sha256, Ssrc, Timestamp

MAX_ENTRY_BYTES: Final = 1 << 20
MAX_CALLS: Final = 8000
"""Calls and parts that one entry may name; more are told in several entries."""
MAX_DELIVERED: Final = 5000
"""Parts that one receipt may name."""

Day = Annotated[str, Meta(pattern="^[0-9]{4}-[01][0-9]-[0-3][0-9]$", max_length=10)]
Origin = Annotated[str, Meta(pattern=r"^rokubox/[0-9A-Za-z._-]{1,64}$", max_length=72)]
PublicKey = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{43}=$", max_length=44)]
"""Base64 of the 32 bytes of an Ed25519 public key (RFC 8032)."""
Signature = Annotated[str, Meta(pattern="^[A-Za-z0-9+/]{86}==$", max_length=88)]
"""Base64 of the 64 bytes of an Ed25519 signature."""
Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Name = Annotated[str, Meta(pattern="^[a-z0-9_]{1,64}$", max_length=64)]
Calls = Annotated[tuple[CallId, ...], Meta(max_length=MAX_CALLS)]
PartNames = Annotated[tuple[tuple[CallId, PartNumber], ...], Meta(max_length=MAX_CALLS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """The first entry: which log this is."""

    kind: Literal["log"] = "log"
    origin: Origin
    """Name of the log, for good: `rokubox/<serial>` or `rokubox/<8 hex digits of the first key's hash>`."""
    public_key: PublicKey
    """The key that signs the first checkpoints."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextLog:
    """The first entry of a log that goes on after a broken one, whose lines follow as far as they could be read."""

    kind: Literal["next_log"] = "next_log"
    origin: Origin
    """Name of this log."""
    public_key: PublicKey
    """The key that signs the first checkpoints."""
    previous_origin: Annotated[str, Meta(max_length=72)]
    """Name of the log before; empty when that could not be read."""
    previous_checkpoint: Annotated[str, Meta(max_length=10_000)]
    """The last checkpoint that the log before was signed with, a signed note; empty when none is left."""
    kept_as: Annotated[str, Meta(pattern="^ledger-[0-9]{8}T[0-9]{6}Z$", max_length=23)]
    """Folder in `quarantine/` with everything that was there of the log before."""
    who: Text
    """Who had it begun."""
    why: Text
    """Why."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A finished part of a recording."""

    kind: Literal["part"] = "part"
    call_id: CallId
    """The call's id."""
    part: PartNumber
    """Number of the part."""
    day: Day
    """Local date of the part's start, which names its folder."""
    form: Form
    """How it is stored."""
    call_json_sha256: Sha256
    """SHA-256 of `call.json` or of the sidecar, as stored."""
    wav_sha256: Sha256
    """SHA-256 of the WAV as stored."""
    at: Timestamp
    """When this line was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An immutable call record."""

    kind: Literal["call"] = "call"
    call_id: CallId
    """The call's id."""
    day: Day
    """Local date of the call's start, which names its folder."""
    record_sha256: Sha256
    """SHA-256 of the record as stored."""
    at: Timestamp
    """When this line was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A record of packets that came after the end of their call."""

    kind: Literal["late"] = "late"
    call_id: CallId
    """The call's id."""
    day: Day
    """Local date of the first packet, which names its folder."""
    ssrc: Ssrc
    """The stream."""
    first_ns: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    """Capture time of the first packet, in nanoseconds since 1970; with call and stream it names the file."""
    record_sha256: Sha256
    """SHA-256 of the record as stored."""
    at: Timestamp
    """When this line was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Recordings are no longer there, and are not to be."""

    kind: Literal["erasure"] = "erasure"
    call_ids: Calls = ()
    """Calls of which everything is erased: every part, the call record, records of late packets."""
    parts: PartNames = ()
    """Single parts that are erased."""
    rule: Text
    """The rule that asked for it."""
    who: Text
    """Who caused it: a person, or the policy."""
    why: Text
    """Why."""
    counts: dict[Name, Count]
    """What it came to, such as parts, calls, samples and bytes."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A legal hold on calls, or its end."""

    kind: Literal["hold"] = "hold"
    call_ids: Calls
    """The calls concerned."""
    hold: Literal["set", "released"]
    """Which of the two."""
    name: Text
    """Name of the hold, such as a case number."""
    who: Text
    """Who caused it."""
    why: Text
    """Why."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Another configuration is in force."""

    kind: Literal["configuration"] = "configuration"
    digest: Sha256 | None
    """SHA-256 of its text; null without a configuration."""
    who: Text
    """Who caused it."""
    why: Text
    """Why."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Another device key signs from here on."""

    kind: Literal["key"] = "key"
    public_key: PublicKey
    """The new key."""
    previous_checkpoint: Annotated[str, Meta(min_length=1, max_length=10_000)]
    """The last checkpoint of the key before, a signed note."""
    signature: Signature
    """The new key's signature over that note's text."""
    who: Text
    """Who caused it."""
    why: Text
    """Why: rotation, or replacement of the box."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Recordings were given out."""

    kind: Literal["export"] = "export"
    call_ids: Calls
    """The calls concerned."""
    options: dict[Name, str]
    """How, such as masking and redaction."""
    who: Text
    """Who caused it."""
    why: Text
    """Why."""
    at: Timestamp
    """When."""


class DeliveredPart(NamedTuple):
    """A part that was to be delivered: `[call_id, part, sha256]`."""

    call_id: CallId
    """The call's id."""
    part: PartNumber
    """Number of the part."""
    sha256: Sha256 | None
    """SHA-256 of the ZIP that the target holds; null when delivery was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The receipt: a target has proved to hold recordings. Or the record that delivery was given up."""

    kind: Literal["delivery"] = "delivery"
    target: Text
    """Name of the target in the configuration."""
    address: Text
    """Which server or directory that is."""
    outcome: Literal["delivered", "given_up"]
    """Which of the two."""
    proof: Literal["checksum", "read_back"] | None
    """How it was proved: by a checksum that the target computed, or by reading everything back; null when given up."""
    parts: Annotated[tuple[DeliveredPart, ...], Meta(min_length=1, max_length=MAX_DELIVERED)]
    """What."""
    who: Text
    """Who caused it: the policy, or a person."""
    why: Text
    """Why."""
    at: Timestamp
    """When this line was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A technician tried the box with a call, and this came of it."""

    kind: Literal["trial"] = "trial"
    call_ids: Calls
    """The call that was made; none when none was seen."""
    outcome: Literal["passed", "failed"]
    """Which of the two."""
    checks: dict[Name, Text]
    """What was looked at, and what it came to."""
    who: Text
    """Who tried."""
    why: Text
    """Why."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """A call was taken in from the carrier's file delivery."""

    kind: Literal["inbox"] = "inbox"
    call_id: CallId
    """The call's id."""
    files: Annotated[tuple[Sha256, ...], Meta(min_length=1, max_length=MAX_CALLS)]
    """SHA-256 of each file as it was delivered, in order."""
    joined: CallId | None
    """The call that the recorder has seen itself and that is the same; null when there is none."""
    who: Text
    """Who caused it."""
    why: Text
    """What the two calls have in common, or why none was found."""
    at: Timestamp
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The end of a batch of lines, before a checkpoint; written by the ledger itself."""

    kind: Literal["seal"] = "seal"
    entries: Annotated[int, Meta(ge=1)]
    """Lines since the seal before."""
    sha256: Sha256
    """SHA-256 of those lines, newlines included."""
    at: Timestamp
    """When the batch was brought to the disk."""


Filed: TypeAlias = Part | Call | Late
"""What is said of a file of the archive."""
OWN: Final = (Log, NextLog, Key, Seal)
"""What is said of the log itself: a log that goes on after it takes none of it over."""
FILED: Final = (Part, Call, Late)
Entry: TypeAlias = (
    Log | NextLog | Filed | Erasure | Hold | Configuration | Key | Export | Delivery | Inbox | Trial | Seal
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A file of the archive, as the ledger names it: a call's record, unless one of the others is given."""

    call_id: str
    """The call's id."""
    part: int = 0
    """Number of the part."""
    late: tuple[str, int] | None = None
    """Stream and first packet, of late packets."""


def subject(entry: Filed) -> Subject:
    """The file that an entry speaks of."""
    match entry:
        case Part():
            return Subject(call_id=entry.call_id, part=entry.part)
        case Call():
            return Subject(call_id=entry.call_id)
        case Late():
            return Subject(call_id=entry.call_id, late=(entry.ssrc, entry.first_ns))


def is_erased_by(erasure: Erasure, one: Subject) -> bool:
    """Whether an erasure names this file, or its whole call."""
    return one.call_id in erasure.call_ids or (one.call_id, one.part) in erasure.parts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tag:
    kind: Literal[
        "log",
        "next_log",
        "part",
        "call",
        "late",
        "erasure",
        "hold",
        "configuration",
        "key",
        "export",
        "delivery",
        "inbox",
        "trial",
        "seal",
    ]


_TAG = msgspec.json.Decoder(_Tag)
# One decoder a kind: msgspec tells tagged unions apart for its own class only.
_DECODERS: Final[dict[str, msgspec.json.Decoder[Entry]]] = {
    "log": msgspec.json.Decoder(Log),
    "next_log": msgspec.json.Decoder(NextLog),
    "part": msgspec.json.Decoder(Part),
    "call": msgspec.json.Decoder(Call),
    "late": msgspec.json.Decoder(Late),
    "erasure": msgspec.json.Decoder(Erasure),
    "hold": msgspec.json.Decoder(Hold),
    "configuration": msgspec.json.Decoder(Configuration),
    "key": msgspec.json.Decoder(Key),
    "export": msgspec.json.Decoder(Export),
    "delivery": msgspec.json.Decoder(Delivery),
    "inbox": msgspec.json.Decoder(Inbox),
    "trial": msgspec.json.Decoder(Trial),
    "seal": msgspec.json.Decoder(Seal),
}


def serialize(entry: Entry) -> bytes:
    """The stored bytes: the line without its newline.

    Raises LedgerError when a field is not what it must be, so that what is written can be read again.
    """
    try:
        stored = msgspec.json.encode(entry)
    except UnicodeEncodeError as error:
        raise LedgerError(f"a {entry.kind} entry with a text that is not Unicode") from error
    parse(stored)
    return stored


def parse(stored: bytes) -> Entry:
    """Read what `serialize` made, and nothing that only resembles it. Raises LedgerError for anything else."""
    if len(stored) > MAX_ENTRY_BYTES:
        raise LedgerError("not a ledger entry: too long")
    try:
        entry = _DECODERS[_TAG.decode(stored).kind].decode(stored)
        if msgspec.json.encode(entry) != stored:
            raise LedgerError("not a ledger entry: another form of one")
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise LedgerError(f"not a ledger entry: {error}") from error
    return entry


def leaf(entry: Entry, stored: bytes) -> bytes:
    """The data of the entry's leaf in the Merkle tree."""
    if isinstance(entry, Part):
        return part_leaf(entry.call_json_sha256, entry.wav_sha256)
    return hashlib.sha256(stored).digest()


def part_leaf(call_json_sha256: str, wav_sha256: str) -> bytes:
    """The data of a part's leaf."""
    return bytes.fromhex(call_json_sha256) + bytes.fromhex(wav_sha256)
