"""Signed notes, C2SP signed-note v1: a text, an empty line, and a signature line for each key. Pure.

    text, its last newline included
    <empty line>
    — <key name> base64(key id, 4 bytes || Ed25519 signature, 64 bytes)

Only Ed25519 (signature type 0x01) is written and verified; lines of other keys are kept and mean nothing.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from storage.errors import LedgerError

MAX_BYTES = 64 << 10
MAX_SIGNATURES = 100
_ED25519 = b"\x01"
_ID_BYTES = 4
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


class Signer(Protocol):
    """A private key, wherever it is."""

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes (RFC 8032)."""

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature line."""

    name: str
    """Name of the key."""
    key_id: bytes
    """Which key of that name and which algorithm, 4 bytes."""
    signature: bytes
    """What the key made of the text; 64 bytes for Ed25519."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A text and the signatures under it, verified or not."""

    text: str
    """The text, ending in a newline."""
    signatures: tuple[Signature, ...]
    """At least one."""


def key_id(name: str, public_key: bytes) -> bytes:
    """The id of an Ed25519 key, 4 bytes."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_ID_BYTES]


def sign(text: str, name: str, signer: Signer) -> Signature:
    """Sign a note's text."""
    return Signature(name=name, key_id=key_id(name, signer.public_key), signature=signer.sign(text.encode()))


def is_signed_by(note: Note, name: str, public_key: bytes) -> bool:
    """Whether the note has a signature of this key, and every one of this key is good."""
    wanted = key_id(name, public_key)
    ours = [line.signature for line in note.signatures if line.name == name and line.key_id == wanted]
    return bool(ours) and all(is_signature(public_key, signature, note.text.encode()) for signature in ours)


def is_signature(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether `signature` is this Ed25519 key's over `data`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def serialize(note: Note) -> bytes:
    """The note as it is stored."""
    lines = (f"— {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n" for line in note.signatures)
    return f"{note.text}\n{''.join(lines)}".encode()


def parse(stored: bytes) -> Note:
    """Read a note in its only form. Raises LedgerError for anything else."""
    if len(stored) > MAX_BYTES:
        raise LedgerError("not a signed note: too long")
    try:
        content = stored.decode()
    except UnicodeDecodeError as error:
        raise LedgerError("not a signed note: not UTF-8") from error
    text, separator, lines = content.rpartition("\n\n")
    if not separator or not lines.endswith("\n") or _CONTROL.search(content):
        raise LedgerError("not a signed note: no text, empty line and signatures")
    signed = lines[:-1].split("\n")
    if len(signed) > MAX_SIGNATURES:
        raise LedgerError("not a signed note: too many signatures")
    return Note(text=f"{text}\n", signatures=tuple(_signature(line) for line in signed))


def _signature(line: str) -> Signature:
    matched = _LINE.fullmatch(line)
    try:
        content = base64.b64decode(matched[2], validate=True) if matched else b""
    except binascii.Error:
        content = b""
    # Unused bits of the last character must be zero: there is one form, so that no changed byte passes for the same.
    if matched is None or len(content) <= _ID_BYTES or base64.b64encode(content).decode() != matched[2]:
        raise LedgerError("not a signed note: a line that is no signature")
    return Signature(name=matched[1], key_id=content[:_ID_BYTES], signature=content[_ID_BYTES:])
