"""Holds an archive against the generated calls that it was made from: every sample, every gap, every account.

Each function returns what differs, in words; nothing returned means that all agrees.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import numpy.typing as npt

from tests.archive_reading import Key, Piece, StoredPart, call_records, pieces, stored_parts
from tests.traffic.calls import PlayedCall
from tests.traffic.media import RATE_HZ, Cause, StreamTruth

SCHEMAS = Path(__file__).parents[1] / "storage" / "schema"
PLACE_TOLERANCE_SAMPLES = 2
"""Both the capture's times and the samples are rounded."""
_CAUSES = [*Cause]
_OTHER, _NO_FILL = len(_CAUSES), len(_CAUSES) + 1


def differences(archive: Path, calls: Sequence[PlayedCall]) -> list[str]:
    """All that differs between the archive and the calls."""
    parts = {part.path.name: part for part in stored_parts(archive)}
    found = pieces(archive)
    told = [*part_differences(parts.values()), *account_differences(archive, parts, calls)]
    expected = {key_of(truth): (side, truth) for call in calls for side in call.truths for truth in call.truths[side]}
    for key, (side, truth) in expected.items():
        if key not in found:
            told.append(f"{key}: in no recording")
            continue
        told += [f"{key}: {each}" for each in stream_differences(truth, found[key], parts)]
        told += [
            f"{key}: not on the {side}'s channel in {piece.part}" for piece in found[key] if not _on(piece, side, parts)
        ]
    told += [f"{key}: recorded, but nobody sent it" for key in found.keys() - expected.keys()]
    return told


def key_of(truth: StreamTruth) -> Key:
    """The stream's name in `call.json`."""
    return Key(f"0x{truth.ssrc:08x}", str(truth.source), str(truth.destination))


def part_differences(parts: Sequence[StoredPart] | Any) -> Iterator[str]:
    """Recordings whose WAV is not the one described, or whose description is not of its schema."""
    for part in parts:
        if hashlib.sha256(part.wav).hexdigest() != part.record["wav_sha256"]:
            yield f"{part.path.name}: wav_sha256 is not that of the WAV"
        yield from (f"{part.path.name}: {error.message}" for error in validator("part-1").iter_errors(part.record))


def validator(schema: str) -> jsonschema.Draft202012Validator:
    """For `part-1` or `call-1`."""
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{schema}.schema.json").read_bytes()))


def account_differences(archive: Path, parts: dict[str, StoredPart], calls: Sequence[PlayedCall]) -> Iterator[str]:
    """Call records that are missing, not of their schema, or that name other recordings than there are."""
    records = call_records(archive)
    for record in records:
        yield from (
            f"call {record['call_id'][:10]}: {error.message}" for error in validator("call-1").iter_errors(record)
        )
    accounted = sorted(call_id for record in records if record["sip"] for call_id in record["sip"]["call_ids"])
    expected = sorted(call.script.call_id for call in calls)
    if accounted != expected or len(records) != len(calls):
        yield f"{len(records)} call records for {', '.join(accounted)}; made were {', '.join(expected)}"
    named = {entry["name"] for record in records for entry in record["parts"]}
    yield from (f"{name}: in no call record" for name in sorted(parts.keys() - named))
    yield from (f"{name}: in a call record, but not there" for name in sorted(named - parts.keys()))


def _on(piece: Piece, side: str, parts: dict[str, StoredPart]) -> bool:
    channels = parts[piece.part].record["channels"]
    return any(channel["side"] == side and piece.stream in channel["streams"] for channel in channels)


def stream_differences(truth: StreamTruth, found: Sequence[Piece], parts: dict[str, StoredPart]) -> Iterator[str]:
    """What is wrong with the samples, the gaps, the place or the figures of one stream."""
    samples = np.concatenate([piece.samples for piece in found])
    if len(samples) != len(truth.pcm):
        yield f"{len(samples)} samples, {len(truth.pcm)} expected"
        return
    wrong = np.flatnonzero(samples != truth.pcm)
    if len(wrong):
        yield f"{len(wrong)} samples differ, the first at {wrong[0]}"
    yield from _fill_differences(truth, found)
    off = _first_sample(found[0], parts) - _expected_first_sample(truth, parts[found[0].part])
    if abs(off) > PLACE_TOLERANCE_SAMPLES:
        yield f"starts {off:+.1f} samples from its place"
    for figure, expected in (("lost", truth.lost), ("duplicates", truth.duplicates)):
        counted = sum(piece.stream[figure] for piece in found)
        if counted != expected:
            yield f"{figure} {counted}, {expected} expected"


def _fill_differences(truth: StreamTruth, found: Sequence[Piece]) -> Iterator[str]:
    filled = fill_causes(found)
    unlisted = np.flatnonzero((filled == _NO_FILL) & ~truth.present)
    if len(unlisted):
        yield f"{len(unlisted)} missing samples are not in fill, the first is {unlisted[0]}"
    invented = np.flatnonzero((filled != _NO_FILL) & truth.present)
    if len(invented):
        yield f"{len(invented)} samples arrived but are listed as fill, the first is {invented[0]}"
    for first, length, cause in truth.gaps:
        named = filled[first : first + length]
        # Beside a hold, the packet just before it may be put down to either.
        if np.count_nonzero(named == _CAUSES.index(cause)) * 2 < length:
            told = sorted({([*_CAUSES, "another cause", "nothing"])[each] for each in named.tolist()})
            yield f"the gap of {length} samples at {first} is put down to {', '.join(told)}, it was {cause}"


def fill_causes(found: Sequence[Piece]) -> npt.NDArray[np.int8]:
    """Per sample of the stream, the index of the cause that fill gives."""
    per_piece = []
    for piece in found:
        causes = np.full(piece.stream["samples"], _NO_FILL, dtype=np.int8)
        for at, length, cause in piece.stream["fill"]:
            start = at - piece.stream["first_sample"]
            causes[start : start + length] = _CAUSES.index(Cause(cause)) if cause in _CAUSES else _OTHER
        per_piece.append(causes)
    return np.concatenate(per_piece)


def _first_sample(piece: Piece, parts: dict[str, StoredPart]) -> int:
    return int(parts[piece.part].record["first_sample"] + piece.stream["first_sample"])


def _expected_first_sample(truth: StreamTruth, part: StoredPart) -> float:
    return (truth.first_ns - nanoseconds(part.record["origin_at"])) * RATE_HZ / 1e9


def nanoseconds(timestamp: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time with nine decimals."""
    whole, rest = timestamp.split(".")
    return round(datetime.fromisoformat(whole + rest[9:]).timestamp()) * 1_000_000_000 + int(rest[:9])
