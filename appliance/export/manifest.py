"""`manifest.json` of an export: what lies in the bundle, what was done to it, and who asked for it and why."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from appliance.export.audio import Treated
from appliance.export.treatment import Treatment
from storage.vocabulary import CallId, PartNumber, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One file of the bundle."""

    name: str
    """Its path in the ZIP."""
    sha256: Sha256
    """Of its content."""
    call_id: CallId
    """The call it belongs to."""
    part: PartNumber | None
    """The part it is, or is made from; null for a call record."""
    original_wav_sha256: Sha256 | None
    """SHA-256 of the recording's WAV in the archive; null for a call record."""
    treated: Treated | None
    """What was done to the audio; null when it is as it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the bundle says of itself."""

    schema: Literal["rokubox.export/1"] = "rokubox.export/1"
    """Name and version of this form."""
    software: str
    """What made it, with its version."""
    exported_at: str
    """RFC 3339."""
    who: str
    """Who asked for it."""
    why: str
    """What for."""
    treatment: Treatment
    """What was asked for."""
    files: tuple[ExportedFile, ...]
    """Everything else in the bundle, but for the notes and keys that come with every one."""


def to_json(manifest: Manifest) -> bytes:
    """The bytes to store."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"
