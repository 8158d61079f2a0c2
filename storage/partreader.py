"""A finished part, read: its `call.json` and its samples, from a ZIP or from a WAV and its sidecar.

The ZIP is read by `zipfile` and the WAV by libsndfile, not by what wrote them. Nothing is loaded that is not asked for,
and no checksum looked at: that is what verification is for.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from storage.errors import DamagedPartError
from storage.filesection import FileSection, stored_entry
from storage.json_form import from_json
from storage.part_record import PartRecord
from storage.partfile import AUDIO_NAME, METADATA_NAME

MAX_METADATA_BYTES = 64 << 20
"""No `call.json` is larger; a larger one is damaged, or not ours."""
_READ_BYTES = 1 << 20
_HASHED_BYTES = 1 << 18
"""Hashed twice while it is in the processor's cache."""


@contextmanager
def opened(path: Path, name: str) -> Iterator[BinaryIO | FileSection]:
    """Open `AUDIO_NAME` or `METADATA_NAME` of the part whose ZIP or WAV lies at `path`; it can seek.

    Raises DamagedPartError when it is not there or not whole.
    """
    with ExitStack() as stack:
        with _reported():
            if path.suffix == ".zip":
                file = stack.enter_context(path.open("rb"))
                content: BinaryIO | FileSection = stored_entry(file, stack.enter_context(zipfile.ZipFile(file)), name)
            else:
                content = stack.enter_context((path if name == AUDIO_NAME else path.with_suffix(".json")).open("rb"))
        yield content


def read_metadata(path: Path) -> bytes:
    """Return `call.json` as stored. Raises DamagedPartError."""
    with opened(path, METADATA_NAME) as metadata, _reported():
        content = metadata.read(MAX_METADATA_BYTES + 1)
    if len(content) > MAX_METADATA_BYTES:
        raise DamagedPartError("its metadata are too large to be ours")
    return content


def read_record(path: Path) -> PartRecord:
    """Return what `call.json` says. Raises DamagedPartError, and DamagedRecordError when it is not valid."""
    return from_json(read_metadata(path), PartRecord)


def sha256(path: Path, name: str) -> str:
    """Return the SHA-256 of `AUDIO_NAME` or `METADATA_NAME` of a part, hexadecimal. Raises DamagedPartError."""
    digest = hashlib.sha256()
    with opened(path, name) as content, _reported():
        while chunk := content.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipHashes:
    """SHA-256 of a part's ZIP and of what is in it, hexadecimal."""

    whole: str
    call_json: str
    wav: str
    size_bytes: int
    """Of the ZIP."""


def zip_hashes(file: BinaryIO) -> ZipHashes:
    """Hash the ZIP of a part and both entries of it, reading each byte once. Raises DamagedPartError."""
    with _reported():
        with zipfile.ZipFile(file) as bundle:
            extents = [stored_entry(file, bundle, name).extent for name in (METADATA_NAME, AUDIO_NAME)]
        whole, *entries = (hashlib.sha256() for _ in range(3))
        position = 0
        while chunk := os.pread(file.fileno(), _HASHED_BYTES, position):
            whole.update(chunk)
            for extent, digest in zip(extents, entries, strict=True):
                first, end = extent.start - position, extent.stop - position
                digest.update(memoryview(chunk)[max(0, first) : max(0, end)])
            position += len(chunk)
    call_json, wav = (digest.hexdigest() for digest in entries)
    return ZipHashes(whole=whole.hexdigest(), call_json=call_json, wav=wav, size_bytes=position)


@contextmanager
def opened_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open the WAV of a part, to seek in and to read. Raises DamagedPartError."""
    with opened(path, AUDIO_NAME) as audio, ExitStack() as stack:
        with _reported():
            wav = stack.enter_context(soundfile.SoundFile(audio))
        yield wav


def read_samples(path: Path, first: int = 0, samples: int = -1) -> npt.NDArray[np.int16]:
    """Return linear samples, shape `(n, 2)`, caller then callee; fewer than asked for at the end of the part.

    `first` and `samples` count frames from the part's start; -1: to its end. Raises DamagedPartError.
    """
    with opened_audio(path) as wav, _reported():
        wav.seek(min(first, wav.frames))
        return np.asarray(wav.read(samples, dtype="int16", always_2d=True), np.int16)


@contextmanager
def _reported() -> Iterator[None]:
    """Tell of the damage, never of the file's name, which holds callers' numbers."""
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedPartError("it is missing") from error
    except OSError as error:
        raise DamagedPartError(f"it cannot be read: {error.strerror}") from error
    except KeyError as error:
        raise DamagedPartError("its ZIP lacks an entry") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise DamagedPartError("its ZIP is damaged") from error
    except soundfile.SoundFileError as error:
        raise DamagedPartError("its WAV is damaged") from error
