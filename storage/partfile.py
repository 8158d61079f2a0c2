"""One part of a recording, onto the disk: a stored ZIP of `audio.wav` and `call.json`, or a bare WAV and its sidecar.

Each byte of audio is encoded, hashed and written once. A part is visible under its final name complete or not at all;
in the two-file form the WAV comes first and the sidecar makes it a recording.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from isal import isal_zlib

from storage import wavfile, zipstore
from storage.disk import Disk, Draft, publish_all
from storage.errors import SoundError
from storage.vocabulary import Form
from storage.wavfile import Sound

AUDIO_NAME = "audio.wav"
METADATA_NAME = "call.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartPlan:
    """Where and how to write one part."""

    folder: Path
    """Existing directory the part goes into."""
    spool: Path
    """Existing directory for drafts, on the same file system."""
    stem: str
    """File name without its extension."""
    form: Form
    """ZIP, or WAV and sidecar."""
    started: datetime
    """Local time of the part's start, the modification time in the ZIP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPart:
    """A part that is in the archive."""

    name: str
    """File name of the ZIP or WAV."""
    wav_sha256: str
    """SHA-256 of the WAV, hexadecimal."""
    call_json_sha256: str
    """SHA-256 of `call.json` or the sidecar, hexadecimal."""
    size_bytes: int
    """Size of the ZIP, or of WAV and sidecar together."""
    created: bool
    """False when exactly this part was there before."""


class _Tally:
    """Hash, checksum and length of what has been written of one file."""

    def __init__(self, *, with_crc: bool) -> None:
        self._sha256 = hashlib.sha256()
        self._with_crc = with_crc
        self.crc32 = 0
        self.size_bytes = 0

    def add(self, chunk: bytes | memoryview) -> None:
        self._sha256.update(chunk)
        if self._with_crc:
            self.crc32 = isal_zlib.crc32(chunk, self.crc32)
        self.size_bytes += len(chunk)

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()


Promised = Callable[[WrittenPart], AbstractContextManager[None]]
"""Told what is about to get its name; the context lasts until it has it."""


def write_part(
    disk: Disk,
    plan: PartPlan,
    sound: Sound,
    metadata: Callable[[str], bytes],
    promised: Promised = lambda _part: nullcontext(),
) -> WrittenPart:
    """Write one part; `metadata` gives the bytes of `call.json` when told the WAV's SHA-256.

    Writing the same part again changes nothing. Raises ConflictError when another part has the name, DiskFullError or
    ArchiveError when the disk fails, SoundError when the audio is not as announced; in each case nothing of the part is
    left. The directory's own fsync is the caller's, so that it can be shared.
    """
    write = _write_zip if plan.form is Form.ZIP else _write_wav
    return write(disk, plan, sound, metadata, promised)


def _write_zip(
    disk: Disk, plan: PartPlan, sound: Sound, metadata: Callable[[str], bytes], promised: Promised
) -> WrittenPart:
    name = f"{plan.stem}.zip"
    with Draft(disk, plan.spool, plan.folder / name, _subject(plan)) as draft:
        audio = zipstore.Entry(name=AUDIO_NAME, crc32=0, size_bytes=0, offset_bytes=0, modified=plan.started)
        draft.write(zipstore.local_header(audio))
        wav = _copy(sound, draft, with_crc=True)
        # Only the checksum could not be known before the audio went by.
        audio = replace(audio, crc32=wav.crc32, size_bytes=wav.size_bytes)
        draft.write_at(zipstore.local_header(audio), 0)
        call_json = metadata(wav.sha256)
        described = zipstore.Entry(
            name=METADATA_NAME,
            crc32=isal_zlib.crc32(call_json),
            size_bytes=len(call_json),
            offset_bytes=draft.size_bytes,
            modified=plan.started,
        )
        draft.write(zipstore.local_header(described) + call_json)
        if draft.size_bytes > zipstore.MAX_BYTES:
            raise SoundError("audio and metadata do not fit into one ZIP")
        draft.write(zipstore.central_directory((audio, described), draft.size_bytes))
        return _publish(_written(name, wav, call_json, draft.size_bytes), (draft,), promised)


def _write_wav(
    disk: Disk, plan: PartPlan, sound: Sound, metadata: Callable[[str], bytes], promised: Promised
) -> WrittenPart:
    name = f"{plan.stem}.wav"
    with ExitStack() as drafts:
        audio = drafts.enter_context(Draft(disk, plan.spool, plan.folder / name, _subject(plan)))
        wav = _copy(sound, audio, with_crc=False)
        call_json = metadata(wav.sha256)
        sidecar = drafts.enter_context(Draft(disk, plan.spool, plan.folder / f"{plan.stem}.json", _subject(plan)))
        sidecar.write(call_json)
        written = _written(name, wav, call_json, audio.size_bytes + sidecar.size_bytes)
        return _publish(written, (audio, sidecar), promised)


def _copy(sound: Sound, draft: Draft, *, with_crc: bool) -> _Tally:
    tally = _Tally(with_crc=with_crc)
    for chunk in wavfile.encode(sound):
        tally.add(chunk)
        draft.write(chunk)
    return tally


def _publish(part: WrittenPart, drafts: Sequence[Draft], promised: Promised) -> WrittenPart:
    with promised(part):
        return replace(part, created=publish_all(drafts))


def _written(name: str, wav: _Tally, call_json: bytes, size_bytes: int) -> WrittenPart:
    return WrittenPart(
        name=name,
        wav_sha256=wav.sha256,
        call_json_sha256=hashlib.sha256(call_json).hexdigest(),
        size_bytes=size_bytes,
        created=False,
    )


def _subject(plan: PartPlan) -> str:
    """The part for messages: id and number, without the parties' numbers."""
    return "part " + "_".join(plan.stem.split("_")[-2:])
