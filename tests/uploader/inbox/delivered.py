"""ZIP files as a carrier delivers them, and as it had better not."""

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable

import numpy as np
import soundfile

from uploader.inbox.checking import Reason

RATE = 8000
MAX_WAV_BYTES = 4 << 20


def wav(frames: int = 1600, *, channels: int = 2, rate: int = RATE, subtype: str = "PCM_16", seed: int = 0) -> bytes:
    samples = np.random.default_rng(seed).integers(-3000, 3000, (frames, channels)).astype(np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def samples_of(content: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)[0]


def bundle(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as opened:
        warnings.simplefilter("ignore")  # names that are there twice
        for name, content in entries:
            opened.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def good(seed: int = 0, **changes) -> bytes:
    return bundle(("call.wav", wav(seed=seed, **changes)), ("call.json", b"{}"))


def symlink() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        entry = zipfile.ZipInfo("call.wav")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(entry, "/etc/shadow")
    return file.getvalue()


def encrypted() -> bytes:
    """Bit 0 of the flags, in both headers (APPNOTE 4.4.4)."""
    content = bytearray(bundle(("call.wav", wav())))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + offset
        content[at] |= 1
    return bytes(content)


def wrong_crc() -> bytes:
    content = bytearray(bundle(("call.wav", wav()), compression=zipfile.ZIP_STORED))
    content[200] ^= 1
    return bytes(content)


def says_less_than_it_unpacks_to() -> bytes:
    """A few KB that become 64 MB; the directory says 100 bytes."""
    content = bytearray(bundle(("call.wav", bytes(64 << 20))))
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = struct.pack("<I", 100)
    local = content.index(b"PK\x03\x04")
    content[local + 22 : local + 26] = struct.pack("<I", 100)
    return bytes(content)


def cut_wav() -> bytes:
    return bundle(("call.wav", wav()[:-1000]))


BAD: dict[str, tuple[Callable[[], bytes], set[Reason]]] = {
    "0 bytes": (lambda: b"", {Reason.EMPTY}),
    "not a zip": (lambda: b"hello" * 1000, {Reason.NOT_A_ZIP}),
    "truncated": (lambda: good()[:-30], {Reason.TRUNCATED}),
    "truncated early": (lambda: good()[:200], {Reason.TRUNCATED}),
    "bomb": (lambda: bundle(("call.wav", bytes(64 << 20))), {Reason.TOO_LARGE}),
    "lying bomb": (says_less_than_it_unpacks_to, {Reason.DAMAGED, Reason.TOO_LARGE, Reason.NOT_AUDIO}),
    "too large": (lambda: bundle(("call.wav", b"x" * (9 << 20)), compression=zipfile.ZIP_STORED), {Reason.TOO_LARGE}),
    "traversal": (lambda: bundle(("../../etc/cron.d/call.wav", wav())), {Reason.TRAVERSAL}),
    "absolute": (lambda: bundle(("/etc/call.wav", wav())), {Reason.TRAVERSAL}),
    "backslashes": (lambda: bundle(("..\\..\\call.wav", wav())), {Reason.TRAVERSAL}),
    "drive": (lambda: bundle(("C:call.wav", wav())), {Reason.TRAVERSAL}),
    "symlink": (symlink, {Reason.SYMLINK}),
    "encrypted": (encrypted, {Reason.ENCRYPTED}),
    "wrong crc": (wrong_crc, {Reason.DAMAGED}),
    "duplicate names": (lambda: bundle(("call.wav", wav()), ("call.wav", wav(seed=1))), {Reason.DUPLICATE_NAMES}),
    "names that differ in case": (
        lambda: bundle(("call.wav", wav()), ("CALL.WAV", wav(seed=1))),
        {Reason.DUPLICATE_NAMES},
    ),
    "too many files": (lambda: bundle(*((f"{n}.txt", b"x") for n in range(100))), {Reason.TOO_MANY_FILES}),
    "a program": (lambda: bundle(("call.wav", wav()), ("call.exe", b"MZ")), {Reason.ENTRY_NAME}),
    "a zip in it": (lambda: bundle(("call.wav", wav()), ("more.zip", good())), {Reason.ENTRY_NAME}),
    "a folder": (lambda: bundle(("a/call.wav", wav())), {Reason.ENTRY_NAME}),
    "no wav": (lambda: bundle(("call.txt", b"x")), {Reason.NO_WAV}),
    "two wavs": (lambda: bundle(("a.wav", wav()), ("b.wav", wav(seed=1))), {Reason.NO_WAV}),
    "not audio": (lambda: bundle(("call.wav", b"this is no sound" * 100)), {Reason.NOT_AUDIO}),
    "half a header": (lambda: bundle(("call.wav", wav()[:20])), {Reason.NOT_AUDIO}),
    "cut wav": (cut_wav, {Reason.NOT_AUDIO}),
    "no samples": (lambda: bundle(("call.wav", wav(frames=0))), {Reason.NOT_AUDIO}),
    "music": (lambda: bundle(("call.wav", wav(rate=44100))), {Reason.AUDIO_FORMAT}),
    "surround": (lambda: bundle(("call.wav", wav(channels=6))), {Reason.AUDIO_FORMAT}),
}
"""What is wrong, and the reasons that may be told for it."""
