"""The check that `make demo` makes must notice what it is there to notice."""

from pathlib import Path

import numpy as np

from tests.archive_reading import Piece, StoredPart
from tests.demo_calls import demo_calls
from tests.recorded_truth import nanoseconds, stream_differences
from tests.traffic.media import StreamTruth

ORIGIN = "2026-01-02T02:04:08.000000000+09:00"


def perfect(truth: StreamTruth) -> tuple[Piece, dict[str, StoredPart]]:
    """The stream as a recorder would store it in a part that starts at `ORIGIN`."""
    at = round((truth.first_ns - nanoseconds(ORIGIN)) * 8 / 1_000_000)
    stream = {
        "first_sample": at,
        "samples": len(truth.pcm),
        "lost": truth.lost,
        "duplicates": truth.duplicates,
        "fill": [[at + first, length, str(cause)] for first, length, cause in truth.gaps],
    }
    record = {"origin_at": ORIGIN, "first_sample": 0}
    stored = StoredPart(path=Path("p01.zip"), record=record, wav=b"", audio=np.zeros((0, 2), dtype=np.int16))
    return Piece(part="p01.zip", stream=stream, samples=truth.pcm, spoken=truth.pcm[truth.present]), {"p01.zip": stored}


def test_every_kind_of_difference_is_told() -> None:
    truth = next(truth for truths in demo_calls()[0].truths.values() for truth in truths)
    piece, parts = perfect(truth)
    assert {str(cause) for _, _, cause in truth.gaps} == {"loss", "dtmf"}
    assert list(stream_differences(truth, [piece], parts)) == []

    place = int(np.flatnonzero(truth.present)[1000])
    piece.samples[place] ^= 1
    assert list(stream_differences(truth, [piece], parts)) == [f"1 samples differ, the first at {place}"]
    piece.samples[place] ^= 1

    fill = piece.stream["fill"]
    first, length, cause = fill.pop(0)
    missing = truth.gaps[0][0]
    assert list(stream_differences(truth, [piece], parts)) == [
        f"{length} missing samples are not in fill, the first is {missing}",
        f"the gap of {length} samples at {missing} is put down to nothing, it was {cause}",
    ]
    fill.insert(0, [first, length, "hold"])
    assert list(stream_differences(truth, [piece], parts)) == [
        f"the gap of {length} samples at {missing} is put down to hold, it was {cause}"
    ]
    fill[0] = [first, length, cause]

    piece.stream["lost"] += 1
    piece.stream["first_sample"] += 8
    for entry in fill:
        entry[0] += 8
    told = list(stream_differences(truth, [piece], parts))
    assert told[0].startswith("starts +8.")
    assert told[1:] == [f"lost {truth.lost + 1}, {truth.lost} expected"]
