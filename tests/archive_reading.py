"""An archive read as a customer would: with readers of ZIP, WAV and JSON, and with nothing of the product's own.

The layout, the names and the fields are those of the schemas `rokubox.part/1` and `rokubox.call/1`.
"""

import hashlib
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.int16]


class Key(NamedTuple):
    """What tells streams apart, written as in `call.json`."""

    ssrc: str
    source: str
    destination: str

    def __str__(self) -> str:
        return f"{self.ssrc} {self.source} > {self.destination}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """One recording: its `call.json`, the bytes of its WAV, and both channels, shape `(samples, 2)`."""

    path: Path
    record: dict[str, Any]
    wav: bytes
    audio: Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one part holds of one stream."""

    part: str
    stream: dict[str, Any]
    samples: Samples
    """From the stream's first sample to its last, fill included."""
    spoken: Samples
    """The same without the intervals listed in `fill`."""


def stored_parts(archive: Path) -> Iterator[StoredPart]:
    """Every finished recording, by name."""
    for path in sorted((archive / "recordings").rglob("*.zip")):
        with zipfile.ZipFile(path) as bundle:
            yield _part(path, bundle.read("call.json"), bundle.read("audio.wav"))
    for path in sorted((archive / "recordings").rglob("*.wav")):
        yield _part(path, path.with_suffix(".json").read_bytes(), path.read_bytes())


def call_records(archive: Path) -> list[dict[str, Any]]:
    """Every call record, by name."""
    return [json.loads(path.read_bytes()) for path in sorted((archive / "calls").rglob("*.json"))]


def pieces(archive: Path) -> dict[Key, list[Piece]]:
    """Every stream, its pieces in the order of time, over all recordings."""
    found: defaultdict[Key, list[tuple[str, int, Piece]]] = defaultdict(list)
    for part in stored_parts(archive):
        for channel, described in enumerate(part.record["channels"]):
            for stream in described["streams"]:
                place = part.record["origin_at"], part.record["first_sample"] + stream["first_sample"]
                key = Key(stream["ssrc"], stream["source"], stream["destination"])
                found[key].append((*place, _piece(part, channel, stream)))
    return {key: [piece for *_, piece in sorted(entries, key=lambda e: e[:2])] for key, entries in found.items()}


def tree_digest(directory: Path) -> dict[str, str]:
    """SHA-256 of every file below, by relative path: equal trees give equal mappings."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def evidence_digest(archive: Path) -> dict[str, str]:
    """SHA-256 of every recording and record: what the same input makes the same in every archive, byte for byte.

    Without the lock, the index, and what an archive's own key signs.
    """
    own = ("run/", "ledger/", "index.sqlite", "recordings/device-key", "recordings/checkpoint")
    return {name: digest for name, digest in tree_digest(archive).items() if not name.startswith(own)}


def pcm_sha256(samples: Samples) -> str:
    """Digest of the samples as little-endian 16-bit numbers."""
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def _part(path: Path, call_json: bytes, wav: bytes) -> StoredPart:
    audio, rate_hz = soundfile.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    record = json.loads(call_json)
    assert (rate_hz, audio.shape) == (record["sample_rate"], (record["samples"], 2)), path.name
    return StoredPart(path=path, record=record, wav=wav, audio=audio)


def _piece(part: StoredPart, channel: int, stream: dict[str, Any]) -> Piece:
    first, end = stream["first_sample"], stream["first_sample"] + stream["samples"]
    assert end <= len(part.audio), f"{part.path.name}: a stream reaches beyond the end of its WAV"
    arrived = np.ones(len(part.audio), dtype=bool)
    for at, length, _cause in stream["fill"]:
        arrived[at : at + length] = False
    samples = part.audio[first:end, channel]
    return Piece(part=part.path.name, stream=stream, samples=samples, spoken=samples[arrived[first:end]])
