"""The samples of one part, treated: cut, concealed, masked, mixed, encoded anew."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

from appliance.export.treatment import Encoding, Treatment
from dsp import concealment, tones
from storage import partreader
from storage.part_record import PartRecord
from storage.vocabulary import SAMPLE_RATE_HZ, FillCause, Side

Samples = npt.NDArray[np.int16]
_CHUNK_FRAMES = 1 << 20
_KEY_MARGIN_SAMPLES = 320
"""40 ms around an event: senders let a little of the tone through before they cut it out."""
_LOST = (FillCause.LOSS, FillCause.CAPTURE_LOSS)
_SUBTYPES = {Encoding.PCM16: "PCM_16", Encoding.PCMU: "ULAW", Encoding.PCMA: "ALAW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Treated:
    """What became of a part."""

    first_sample: int
    """Position in the call of its first sample."""
    samples: int
    """Samples per channel."""
    concealed_samples: int
    """Lost samples that were made up, both channels together."""
    masked_samples: int
    """Samples silenced where keys were pressed, both channels together."""


def write(path: Path, record: PartRecord, treatment: Treatment, target: BinaryIO) -> Treated | None:
    """Write the part at `path`, which `record` describes, to `target` as WAV; None when the cut leaves nothing of it.

    Raises DamagedPartError, and OSError of `target`.
    """
    first, last = _extent(record, treatment)
    if first >= last:
        return None
    with _loaded(path) as audio:
        concealed = masked = 0
        for channel, described in enumerate(record.channels):
            speech = audio[:, channel]
            keys = _keys(record, described.side, speech) if treatment.mask_keys else []
            if treatment.conceal:
                gaps = _merged(
                    (at, n) for stream in described.streams for at, n, cause in stream.fill if cause in _LOST
                )
                concealment.conceal(speech, gaps)
                concealed += _within(gaps, first, last)
            for at, length in keys:
                speech[at : at + length] = 0
            masked += _within(keys, first, last)
        _encode(audio[first:last], treatment, target)
    return Treated(
        first_sample=record.first_sample + first,
        samples=last - first,
        concealed_samples=concealed,
        masked_samples=masked,
    )


def _extent(record: PartRecord, treatment: Treatment) -> tuple[int, int]:
    """Return the samples of the part that are wanted, first and last."""
    if treatment.cut_s is None:
        return 0, record.samples
    begin, end = (round(at * SAMPLE_RATE_HZ) - record.first_sample for at in treatment.cut_s)
    return max(0, begin), min(record.samples, end)


@contextmanager
def _loaded(path: Path) -> Iterator[Samples]:
    """The whole part, shape `(n, 2)`, to change; a part may last a day, so it lies in a file and not in memory."""
    with partreader.opened_audio(path) as wav, tempfile.TemporaryFile() as scratch:
        audio = np.memmap(scratch, np.int16, "w+", shape=(max(wav.frames, 1), 2))
        for first in range(0, wav.frames, _CHUNK_FRAMES):
            audio[first : first + _CHUNK_FRAMES] = wav.read(_CHUNK_FRAMES, dtype="int16", always_2d=True)
        yield audio[: wav.frames]


def _keys(record: PartRecord, side: Side, speech: Samples) -> list[tuple[int, int]]:
    events = [
        (max(0, key.first_sample - _KEY_MARGIN_SAMPLES), key.samples + 2 * _KEY_MARGIN_SAMPLES)
        for key in record.dtmf
        if key.side is side
    ]
    return _merged([*events, *tones.key_tones(speech)])


def _encode(audio: Samples, treatment: Treatment, target: BinaryIO) -> None:
    channels = 1 if treatment.mix else 2
    subtype = _SUBTYPES[treatment.encoding or Encoding.PCM16]
    with soundfile.SoundFile(target, "w", SAMPLE_RATE_HZ, channels, subtype=subtype, format="WAV") as wav:
        for first in range(0, len(audio), _CHUNK_FRAMES):
            chunk = audio[first : first + _CHUNK_FRAMES]
            wav.write((chunk.sum(axis=1, dtype=np.int32) >> 1).astype(np.int16) if treatment.mix else chunk)


def _merged(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same stretches `(first, samples)` in order, those that touch as one."""
    merged: list[tuple[int, int]] = []
    for first, length in sorted(stretches):
        if merged and first <= sum(merged[-1]):
            before, _ = merged.pop()
            merged.append((before, max(sum((before, _)), first + length) - before))
        else:
            merged.append((first, length))
    return merged


def _within(stretches: Iterable[tuple[int, int]], first: int, last: int) -> int:
    """How many samples of the stretches lie between `first` and `last`."""
    return sum(max(0, min(at + length, last) - max(at, first)) for at, length in stretches)
