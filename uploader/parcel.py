"""What is delivered: a part in its ZIP form, checked against the ledger before it leaves.

A part that is stored as WAV and sidecar is bundled anew, into the same bytes each time.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

from storage import partreader, zipstore
from storage.errors import DamagedPartError
from storage.layout import day_folder
from storage.partfile import AUDIO_NAME, METADATA_NAME
from storage.vocabulary import Form
from uploader.errors import SourceError
from uploader.throttle import Throttle

CHUNK_BYTES = 1 << 20
_TIME_CHARACTERS = len("20260102T030405+0900")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One file on its way to one target."""

    file: BinaryIO = field(repr=False)
    """Its bytes."""
    path: str = field(repr=False)
    """Where it goes, below the target's folder: YYYY/MM/DD/name.zip."""
    size_bytes: int
    """Its size."""
    sha256: str
    """Hexadecimal."""
    sent: Throttle = field(default_factory=lambda: Throttle(0))
    """Bounds what is sent."""
    received: Throttle = field(default_factory=lambda: Throttle(0))
    """Bounds what is read back."""
    read_back: bool = False
    """Only reading back counts as proof."""

    @property
    def draft(self) -> str:
        """The hidden name that it has while it is not complete; the same each time, so that it can be gone on with."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/.{name}.part"

    @property
    def folder(self) -> str:
        """The folder it goes into."""
        return self.path.rpartition("/")[0]

    async def chunks(self, first: int = 0, end: int | None = None, at_once: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """Its bytes from `first` to `end`, so many at once, no faster than the target's limit."""
        end = self.size_bytes if end is None else end
        while first < end:
            chunk = os.pread(self.file.fileno(), min(at_once, end - first), first)
            if not chunk:
                raise SourceError("the recording has become shorter while it was read")
            await pause(self.sent, len(chunk))
            yield chunk
            first += len(chunk)

    async def compare(self, held: AsyncGenerator[bytes, None]) -> "Match":
        """How what a target holds is to this; no more of it is read than is the same."""
        size_bytes = 0
        async with aclosing(held):
            async for chunk in held:
                await pause(self.received, len(chunk))
                if os.pread(self.file.fileno(), len(chunk), size_bytes) != chunk:
                    return Match.OTHER
                size_bytes += len(chunk)
        return Match.SAME if size_bytes == self.size_bytes else Match.BEGINNING


class Match(Enum):
    """How what a target holds is to a parcel."""

    SAME = "same"
    """It is the same."""
    BEGINNING = "beginning"
    """It is a part of it, from its beginning on."""
    OTHER = "other"
    """It is something else."""


async def pause(throttle: Throttle, size_bytes: int) -> None:
    """Wait until so many bytes may pass."""
    wait_s = throttle.wait_s(size_bytes, time.monotonic())
    if wait_s > 0:
        await asyncio.sleep(wait_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A part in the archive, and what the ledger says of it."""

    recordings: Path
    """The archive's folder of recordings."""
    spool: Path
    """Folder of the uploader, for bundles."""
    file: str = field(repr=False)
    """File name of the ZIP or WAV."""
    call_json_sha256: str
    wav_sha256: str


def open_parcel(source: Source, *, sent: Throttle, received: Throttle, read_back: bool) -> Parcel:
    """Open a part to be delivered; its file is the caller's to close.

    Raises SourceError when it is gone, or is not what the ledger says.
    """
    path = source.recordings / day_folder(source.file) / source.file
    stem, _, form = source.file.rpartition(".")
    try:
        file = path.open("rb") if form == Form.ZIP else _bundled(path, source.spool)
    except DamagedPartError as error:
        raise SourceError(f"the recording here cannot be read: {error}") from error
    except FileNotFoundError as error:
        raise SourceError("the recording is not there any more") from error
    try:
        found = partreader.zip_hashes(file)
        if (found.call_json, found.wav) != (source.call_json_sha256, source.wav_sha256):
            raise SourceError("the recording here is not what the ledger says; `rokubox verify` tells more")
    except DamagedPartError as error:
        file.close()
        raise SourceError(f"the recording here cannot be read: {error}") from error
    except BaseException:
        file.close()
        raise
    return Parcel(
        file=file,
        path=f"{day_folder(source.file)}/{stem}.zip",
        size_bytes=found.size_bytes,
        sha256=found.whole,
        sent=sent,
        received=received,
        read_back=read_back,
    )


def _bundled(path: Path, spool: Path) -> BinaryIO:
    """WAV and sidecar as one ZIP, in a file that has no name any more."""
    metadata = partreader.read_metadata(path)
    modified = datetime.strptime(path.name[:_TIME_CHARACTERS], "%Y%m%dT%H%M%S%z")
    descriptor, name = tempfile.mkstemp(dir=spool)
    os.unlink(name)
    file = os.fdopen(descriptor, "w+b")
    with path.open("rb") as audio:
        crc32 = 0
        while chunk := audio.read(CHUNK_BYTES):
            crc32 = isal_zlib.crc32(chunk, crc32)
        sound = zipstore.Entry(name=AUDIO_NAME, crc32=crc32, size_bytes=audio.tell(), offset_bytes=0, modified=modified)
        file.write(zipstore.local_header(sound))
        audio.seek(0)
        shutil.copyfileobj(audio, file, CHUNK_BYTES)
    said = zipstore.Entry(
        name=METADATA_NAME,
        crc32=isal_zlib.crc32(metadata),
        size_bytes=len(metadata),
        offset_bytes=file.tell(),
        modified=modified,
    )
    file.write(zipstore.local_header(said) + metadata)
    file.write(zipstore.central_directory((sound, said), file.tell()))
    file.seek(0)
    return file
