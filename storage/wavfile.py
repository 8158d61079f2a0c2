"""Two-channel WAV at 8 kHz as a sequence of byte chunks: linear PCM16, or G.711 exactly as received.

RIFF/WAVE (Multimedia Programming Interface and Data Specifications 1.0; RFC 2361 for the G.711 format tags). All sizes
are known in advance, so the header comes first and is final: hashes can run front to back while the chunks are written.
libsndfile writes PCM16. It re-encodes what goes into a companded file, so that form is written here, byte for byte.
Nothing here touches a file of the disk; RF64 is not needed below `MAX_DATA_BYTES`, 32 hours of PCM16 in one part.
"""

import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from storage.errors import SoundError
from storage.vocabulary import SAMPLE_RATE_HZ, Law

CHANNELS = 2
MAX_DATA_BYTES = 0xE000_0000
"""Keeps WAV, and the ZIP around it, below the 4 GiB of their 32-bit sizes with room for all metadata."""
MAX_INFO_CHARACTERS = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORMAT_TAGS = {Law.PCMA: 0x0006, Law.PCMU: 0x0007}

AudioBlock = npt.NDArray[np.int16] | npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class WavInfo:
    """What the WAV says about itself in LIST/INFO, stored as ASCII (other characters become `?`, control ones go)."""

    title: str
    """INAM: the numbers."""
    date: str
    """ICRD: the local date of the part's start, `2026-01-02`."""
    comment: str
    """ICMT: the call's id and the part's number."""
    software: str
    """ISFT: name and version of this product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The audio of one part, still to be encoded."""

    blocks: Iterable[AudioBlock]
    """Shape `(n, 2)`, caller then callee: `int16` linear samples, or `uint8` companded ones when there is a `law`."""
    frames: int
    """Samples per channel in all blocks together, at least 1."""
    law: Law | None
    """Companding law of the blocks; None for PCM16."""
    info: WavInfo
    """For LIST/INFO."""


def encode(sound: Sound) -> Iterator[bytes | memoryview]:
    """The WAV in chunks, header first; a chunk is valid until the next one is asked for.

    Raises SoundError when the blocks are not what `sound` announces, after which the chunks so far are no WAV.
    """
    frame_bytes = CHANNELS * (2 if sound.law is None else 1)
    if not 1 <= sound.frames <= MAX_DATA_BYTES // frame_bytes:
        raise SoundError(f"{sound.frames} frames do not make one WAV")
    return _encode_pcm16(sound) if sound.law is None else _encode_g711(sound, sound.law)


def _header(info: WavInfo) -> bytes:
    """What libsndfile writes before the samples of a file of one frame.

    Into memory that has a descriptor: for a Python object it would call back, which needs memory that can be written to
    and executed, and that is refused to a service (MemoryDenyWriteExecute).
    """
    frame = np.zeros((1, CHANNELS), np.int16)
    descriptor = os.memfd_create("wav")
    try:
        with soundfile.SoundFile(
            descriptor, "w", SAMPLE_RATE_HZ, CHANNELS, subtype="PCM_16", endian="FILE", format="WAV", closefd=False
        ) as wav:
            for name in ("title", "date", "comment"):
                if text := _plain(getattr(info, name)):
                    setattr(wav, name, text)
            # libsndfile adds its name and version to a text that does not name it; the same input must give the same
            # bytes whichever version is installed.
            wav.software = f"{_plain(info.software)} (libsndfile)"
            wav.write(frame)
        return os.pread(descriptor, os.fstat(descriptor).st_size - frame.nbytes, 0)
    finally:
        os.close(descriptor)


def _encode_pcm16(sound: Sound) -> Iterator[bytes | memoryview]:
    yield _sized(_header(sound.info), sound.frames)
    # What follows is the samples themselves, little-endian: handing them through libsndfile would only copy them.
    for block in _checked(sound, np.dtype("<i2")):
        yield np.ascontiguousarray(block).data.cast("B")


def _sized(header: bytes, frames: int) -> bytes:
    """A header as libsndfile left it, for a file of `frames` frames."""
    data_bytes = frames * CHANNELS * 2
    riff_bytes = len(header) - 8 + data_bytes
    return b"RIFF" + struct.pack("<I", riff_bytes) + header[8:-4] + struct.pack("<I", data_bytes)


def _encode_g711(sound: Sound, law: Law) -> Iterator[bytes | memoryview]:
    data_bytes = sound.frames * CHANNELS
    parts = (
        _chunk(
            b"fmt ", struct.pack("<HHIIHHH", _FORMAT_TAGS[law], CHANNELS, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, 2, 8, 0)
        ),
        _chunk(b"fact", struct.pack("<I", sound.frames)),
        _info_list(sound.info),
        b"data" + struct.pack("<I", data_bytes),
    )
    body = b"WAVE" + b"".join(parts)
    yield b"RIFF" + struct.pack("<I", len(body) + data_bytes) + body
    for block in _checked(sound, np.dtype(np.uint8)):
        yield np.ascontiguousarray(block).data.cast("B")


def _info_list(info: WavInfo) -> bytes:
    texts = ((b"INAM", info.title), (b"ICRD", info.date), (b"ICMT", info.comment), (b"ISFT", info.software))
    items = b"".join(_chunk(tag, _plain(text).encode() + b"\0") for tag, text in texts if _plain(text))
    return _chunk(b"LIST", b"INFO" + items)


def _chunk(tag: bytes, content: bytes) -> bytes:
    """A RIFF chunk, padded to a word."""
    return tag + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _plain(text: str) -> str:
    return _CONTROL.sub("", text)[:MAX_INFO_CHARACTERS].encode("ascii", "replace").decode("ascii")


def _checked(sound: Sound, dtype: np.dtype[np.int16] | np.dtype[np.uint8]) -> Iterator[AudioBlock]:
    """The blocks that are not empty, each of the announced type, together of the announced length."""
    frames = 0
    for block in sound.blocks:
        if block.dtype != dtype or block.ndim != 2 or block.shape[1] != CHANNELS:
            raise SoundError(f"a block of {block.dtype} {block.shape} where {dtype} (n, {CHANNELS}) is due")
        frames += len(block)
        if frames > sound.frames:
            break
        if len(block):
            yield block
    if frames != sound.frames:
        raise SoundError(f"the audio has another length than the {sound.frames} frames announced")
