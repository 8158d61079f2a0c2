"""Did the speed cost anything? What the archive holds of a measurement's calls, and when it came to be seen."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.bench.live.plan import LiveCall, ssrc
from tests.traffic.g711 import decode

COMPARED = 40
"""Calls of a measurement whose samples are held against what was sent, spread over all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An archive, held against the plan."""

    recorded: int
    """Calls that are recorded completely: not one packet is missing on either side."""
    calls: int
    """Calls that were made."""
    compared: int
    """Calls compared sample by sample."""
    differing: int
    """Of these, those with a sample that is not what was sent."""
    visible_s: Mapping[int, float]
    """Per call, seconds from its BYE until the recording had its final name."""

    @property
    def complete_percent(self) -> float:
        return 100 * self.recorded / self.calls


def account(archive: Path, calls: Sequence[LiveCall], bye_ns: Mapping[int, int]) -> Account:
    """Read the call records, the times of the recordings' files, and some of the recordings."""
    by_id = {call.call_id: call for call in calls}
    complete: dict[int, Path] = {}
    for path in (archive / "calls").rglob("*.json"):
        record = json.loads(path.read_bytes())
        call = by_id[record["sip"]["call_ids"][0]] if record["sip"] else None
        if call is not None and _is_complete(record, call):
            name = record["parts"][0]["name"]
            complete[call.number] = archive / "recordings" / name[:4] / name[4:6] / name[6:8] / name
    chosen = sorted(complete)[:: max(1, len(complete) // COMPARED)]
    # A file's status changes for the last time when it is renamed into place.
    return Account(
        recorded=len(complete),
        calls=len(calls),
        compared=len(chosen),
        differing=sum(not _is_exact(complete[number], calls[number]) for number in chosen),
        visible_s={number: (path.stat().st_ctime_ns - bye_ns[number]) / 1e9 for number, path in complete.items()},
    )


def _is_complete(record: dict[str, Any], call: LiveCall) -> bool:
    packets = [side["packets"] for side in record["sides"]]
    return record["outcome"] == "recorded" and packets == [call.slots] * 2 and len(record["parts"]) == 1


def _is_exact(path: Path, call: LiveCall) -> bool:
    """Whether both streams are in the recording, sample by sample."""
    with zipfile.ZipFile(path) as bundle:
        described = json.loads(bundle.read("call.json"))
        audio, _ = soundfile.read(io.BytesIO(bundle.read("audio.wav")), dtype="int16", always_2d=True)
    return all(_is_stream_exact(described["channels"][side], audio[:, side], call, side) for side in (0, 1))


def _is_stream_exact(channel: dict[str, Any], audio: np.ndarray, call: LiveCall, side: int) -> bool:
    expected = decode(call.codes(side), call.law)
    (stream,) = channel["streams"]
    first = stream["first_sample"]
    named = stream["ssrc"] == f"0x{ssrc(2 * call.number + side):08x}"
    return named and np.array_equal(audio[first : first + len(expected)], expected)
