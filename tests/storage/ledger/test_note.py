"""Signed notes by the example of C2SP and the vectors of the format's first implementation (Go's sumdb/note)."""

import base64
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import LedgerError
from storage.ledger import note
from storage.ledger.devicekey import DeviceKey
from storage.ledger.note import Note

PETER = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
PETER_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
ENOCH = base64.b64decode("ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
BOTH = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode()


def test_key_ids():
    assert note.key_id("PeterNeumann", PETER).hex() == "c74f20a3"
    assert note.key_id("EnochRoot", ENOCH).hex() == "af0cfe78"


def test_signing_gives_the_vector():
    peter = DeviceKey(private=Ed25519PrivateKey.from_private_bytes(PETER_SEED))
    assert peter.public_key == PETER
    signed = Note(text=TEXT, signatures=(note.sign(TEXT, "PeterNeumann", peter),))
    assert note.serialize(signed).decode() == f"{TEXT}\n{PETER_LINE}"


def test_reading_and_verifying():
    signed = note.parse(BOTH)
    assert signed.text == TEXT
    assert [line.name for line in signed.signatures] == ["PeterNeumann", "EnochRoot"]
    assert note.is_signed_by(signed, "PeterNeumann", PETER)
    assert note.is_signed_by(signed, "EnochRoot", ENOCH)
    assert not note.is_signed_by(signed, "PeterNeumann", ENOCH)
    assert not note.is_signed_by(signed, "EnochRoot", PETER)
    assert note.serialize(signed) == BOTH


def test_the_text_may_have_empty_lines():
    poem = (
        "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
        "— quasimodo.example/salvatore "
        "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    )
    assert note.parse(poem.encode()).text.endswith("\n\ned è subito sera.\n")


def test_one_bad_signature_of_a_known_key_is_enough():
    signed = note.parse(BOTH)
    bad = note.sign("another\n", "PeterNeumann", DeviceKey(private=Ed25519PrivateKey.from_private_bytes(PETER_SEED)))
    twice = Note(text=TEXT, signatures=(*signed.signatures, bad))
    assert not note.is_signed_by(twice, "PeterNeumann", PETER)
    assert note.is_signed_by(twice, "EnochRoot", ENOCH)


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        TEXT.encode(),
        f"{TEXT}\n".encode(),
        f"{TEXT}\n{PETER_LINE}"[:-1].encode(),
        f"\x01{TEXT}\n{PETER_LINE}".encode(),
        f"{TEXT}\r\n{PETER_LINE}".encode(),
        b"\xff" + BOTH,
        f"{TEXT}\n— Bad Name {PETER_LINE.split()[2]}\n".encode(),
        f"{TEXT}\n— a+b {PETER_LINE.split()[2]}\n".encode(),
        f"{TEXT}\n-- PeterNeumann {PETER_LINE.split()[2]}\n".encode(),
        f"{TEXT}\n{PETER_LINE}unexpected\n".encode(),
        f"{TEXT}\n— PeterNeumann AAAA\n".encode(),
        f"{TEXT}\n— PeterNeumann AAAAAAB=\n".encode(),
        f"{TEXT}\n{PETER_LINE * 101}".encode(),
        b"x" * 70_000,
    ],
)
def test_malformed_notes(stored):
    with pytest.raises(LedgerError, match=r"^not a signed note: "):
        note.parse(stored)


@settings(deadline=None)
@given(st.integers(0, len(BOTH) - 1), st.integers(1, 255))
def test_no_changed_byte_passes(place, change):
    altered = bytearray(BOTH)
    altered[place] ^= change
    try:
        signed = note.parse(bytes(altered))
    except LedgerError:
        return
    assert not (note.is_signed_by(signed, "PeterNeumann", PETER) and note.is_signed_by(signed, "EnochRoot", ENOCH))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_the_parser_raises_nothing_else(stored):
    with contextlib.suppress(LedgerError):
        assert note.serialize(note.parse(stored)) == stored
