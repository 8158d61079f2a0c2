"""Whether a delivered ZIP is what it should be: complete, harmless, and a telephone call.

It is looked at as it lies in our own folder, where nobody changes it any more. Nothing is unpacked but one WAV, under a
name of ours, and no more of it than is allowed.
"""

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import soundfile

from storage.vocabulary import SAMPLE_RATE_HZ

MAX_ENTRIES = 8
_CHUNK_BYTES = 1 << 20
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z+._-]{0,199}\.(wav|json|xml|csv|txt)", re.IGNORECASE)
_SUBTYPES = ("PCM_16", "ULAW", "ALAW")
_ENCRYPTED = 1


class Reason(StrEnum):
    """Why a file is set aside."""

    NAME = "name"
    """Its name is none that is allowed."""
    NOT_A_FILE = "not_a_file"
    """A link, a directory or something else."""
    EMPTY = "empty"
    """It has no bytes."""
    TOO_LARGE = "too_large"
    """It, or what is in it, is larger than allowed: also what unpacks to more than it says."""
    NOT_A_ZIP = "not_a_zip"
    """Something else."""
    TRUNCATED = "truncated"
    """The beginning of a ZIP without its end."""
    DAMAGED = "damaged"
    """A ZIP whose content does not fit its checksum."""
    ENCRYPTED = "encrypted"
    """It can only be read with a password."""
    TRAVERSAL = "traversal"
    """A name in it leads elsewhere."""
    SYMLINK = "symlink"
    """There is a link in it."""
    DUPLICATE_NAMES = "duplicate_names"
    """A name is in it twice."""
    TOO_MANY_FILES = "too_many_files"
    """There are more files in it than belong to a call."""
    ENTRY_NAME = "entry_name"
    """A name in it is none that is allowed."""
    NO_WAV = "no_wav"
    """There is no WAV in it, or more than one."""
    NOT_AUDIO = "not_audio"
    """What calls itself WAV is none, or is cut off."""
    AUDIO_FORMAT = "audio_format"
    """It is not one or two channels of PCM16 or G.711 at 8 kHz."""
    CONFLICT = "conflict"
    """The call, or this part of it, is in the archive with other content."""


class RejectedError(Exception):
    """The file is to be set aside."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A ZIP that is as it should be, and its WAV, unpacked."""

    zip_sha256: str
    wav: Path
    """Where the WAV lies: named by its hash."""
    frames: int
    """Samples per channel."""
    channels: int


def check(path: Path, stage: Path, *, max_wav_bytes: int) -> Checked:
    """Check a ZIP of ours and unpack its WAV into `stage`. Raises RejectedError; OSError when our disk fails."""
    try:
        with zipfile.ZipFile(path) as bundle:
            entry = _wav_of(bundle, max_wav_bytes)
            wav = _unpacked(bundle, entry, stage, max_wav_bytes)
    except zipfile.BadZipFile as error:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        if "CRC" in str(error):
            raise RejectedError(Reason.DAMAGED) from error
        raise RejectedError(Reason.TRUNCATED if is_zip else Reason.NOT_A_ZIP) from error
    except (zlib.error, EOFError, NotImplementedError, struct.error, ValueError, RuntimeError) as error:
        raise RejectedError(Reason.DAMAGED) from error
    try:
        frames, channels = _audio(wav)
    except RejectedError:
        wav.unlink()
        raise
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Checked(zip_sha256=digest, wav=wav, frames=frames, channels=channels)


def _wav_of(bundle: zipfile.ZipFile, max_wav_bytes: int) -> zipfile.ZipInfo:
    """The one WAV, when everything in the ZIP is allowed."""
    entries = bundle.infolist()
    if len(entries) > MAX_ENTRIES:
        raise RejectedError(Reason.TOO_MANY_FILES)
    if len({entry.filename.lower() for entry in entries}) < len(entries):
        raise RejectedError(Reason.DUPLICATE_NAMES)
    for entry in entries:
        name = entry.orig_filename
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name):
            raise RejectedError(Reason.TRAVERSAL)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise RejectedError(Reason.SYMLINK)
        if entry.flag_bits & _ENCRYPTED:
            raise RejectedError(Reason.ENCRYPTED)
        if not _NAME.fullmatch(name):
            raise RejectedError(Reason.ENTRY_NAME)
        if entry.file_size > max_wav_bytes:
            raise RejectedError(Reason.TOO_LARGE)
    wavs = [entry for entry in entries if entry.filename.lower().endswith(".wav")]
    if len(wavs) != 1:
        raise RejectedError(Reason.NO_WAV)
    return wavs[0]


def _unpacked(bundle: zipfile.ZipFile, entry: zipfile.ZipInfo, stage: Path, max_wav_bytes: int) -> Path:
    digest, size_bytes = hashlib.sha256(), 0
    draft = stage / ".unpacking"
    try:
        with bundle.open(entry) as packed, draft.open("wb") as wav:
            while chunk := packed.read(_CHUNK_BYTES):
                size_bytes += len(chunk)
                if size_bytes > max_wav_bytes:
                    raise RejectedError(Reason.TOO_LARGE)
                digest.update(chunk)
                wav.write(chunk)
        final = stage / f"{digest.hexdigest()}.wav"
        draft.rename(final)
        return final
    finally:
        draft.unlink(missing_ok=True)


def _audio(wav: Path) -> tuple[int, int]:
    """Frames and channels."""
    with wav.open("rb") as file:
        header = file.read(12)
    if len(header) < 12 or header[:4] != b"RIFF" or header[8:] != b"WAVE":
        raise RejectedError(Reason.NOT_AUDIO)
    if (
        int.from_bytes(header[4:8], "little") + 8 > wav.stat().st_size + 1
    ):  # the last chunk's pad byte is often left out
        raise RejectedError(Reason.NOT_AUDIO)
    try:
        with soundfile.SoundFile(wav) as sound:
            if sound.frames < 1:
                raise RejectedError(Reason.NOT_AUDIO)
            if sound.samplerate != SAMPLE_RATE_HZ or sound.channels > 2 or sound.subtype not in _SUBTYPES:
                raise RejectedError(Reason.AUDIO_FORMAT)
            return sound.frames, sound.channels
    except soundfile.SoundFileError as error:
        raise RejectedError(Reason.NOT_AUDIO) from error
