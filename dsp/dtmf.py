"""Telephone events, RFC 4733: keys pressed, from the payloads of one stream.

All packets of an event carry the RTP time of its start and a growing duration; the last, with the end bit, is sent
three times. Any of them may be lost. An event too long for its 16-bit duration goes on as a new segment (section
2.5.1.3). Other events than DTMF and hook flash are left out. Redundant payloads (RFC 2198) are not unpacked here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

DIGITS = (*"0123456789*#ABCD", "flash")
"""Name of each event code, 0 to 16 (RFC 4733 section 3.2; 16 is the flash of RFC 2833)."""

EVENT = np.dtype([("event", np.uint8), ("end", np.bool_), ("volume", np.uint8), ("duration", np.uint16)])
"""One payload: event code, end bit, power in -dBm0 (0 to 63), duration in RTP ticks."""

_LONGEST_SEGMENT = 0x10000
_SEGMENT_SLACK = 960
"""A sender may end a segment up to one packet (120 ms at 8 kHz) short of the largest duration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfEvent:
    """One key press."""

    digit: str
    """One of `DIGITS`."""
    start_rtp: int
    """Unwrapped RTP time of the start."""
    duration_samples: int
    """Longest duration reported, in RTP ticks, all segments together."""
    complete: bool
    """The end was seen; otherwise the press may have been longer."""


def parse_events(payloads: npt.NDArray[np.uint8]) -> npt.NDArray[np.void]:
    """The first event of each payload: `EVENT` records, shape `(n,)`, of bytes of shape `(n, 4 or more)`.

    Raises ValueError for any other shape.
    """
    if payloads.ndim != 2 or payloads.shape[1] < 4:
        raise ValueError(f"telephone events are rows of at least 4 bytes, not {payloads.shape}")
    parsed = np.empty(len(payloads), EVENT)
    parsed["event"] = payloads[:, 0]
    parsed["end"] = payloads[:, 1] & 0x80
    parsed["volume"] = payloads[:, 1] & 0x3F
    parsed["duration"] = payloads[:, 2].astype(np.uint16) << 8 | payloads[:, 3]
    return parsed


def events(rtp_time: npt.NDArray[np.int64], payloads: npt.NDArray[np.uint8]) -> list[DtmfEvent]:
    """Key presses in order of start, from packets in any order, with or without duplicates.

    `rtp_time` is unwrapped, shape `(n,)`; `payloads` as for `parse_events`, which also says what is raised.
    """
    parsed = parse_events(payloads)
    known = parsed["event"] < len(DIGITS)
    parsed, rtp_time = parsed[known], rtp_time[known]
    order = np.lexsort((parsed["event"], rtp_time))
    parsed, rtp_time = parsed[order], rtp_time[order]
    if len(parsed) == 0:
        return []
    change = (np.diff(rtp_time) != 0) | (np.diff(parsed["event"]) != 0)
    first = np.concatenate([[0], np.flatnonzero(change) + 1])
    segments = zip(
        parsed["event"][first].tolist(),
        rtp_time[first].tolist(),
        np.maximum.reduceat(parsed["duration"], first).tolist(),
        np.logical_or.reduceat(parsed["end"], first).tolist(),
        strict=True,
    )
    return _joined(segments)


def _joined(segments: Iterable[tuple[int, int, int, bool]]) -> list[DtmfEvent]:
    """One event of each chain of (code, start, duration, ended) segments, which come in order of start."""
    pressed: list[DtmfEvent] = []
    latest: dict[int, tuple[int, int]] = {}  # code -> its last event's place in `pressed`, that event's last segment
    for code, start, duration, ended in segments:
        place, segment_start = latest.get(code, (-1, 0))
        if place >= 0 and _continues(pressed[place], segment_start, start):
            whole = start - pressed[place].start_rtp + duration
            pressed[place] = replace(pressed[place], duration_samples=whole, complete=ended)
        else:
            place = len(pressed)
            pressed.append(DtmfEvent(digit=DIGITS[code], start_rtp=start, duration_samples=duration, complete=ended))
        latest[code] = (place, start)
    return pressed


def _continues(event: DtmfEvent, segment_start: int, start: int) -> bool:
    """Whether a segment at `start` goes on with an event that was not seen to end."""
    if event.complete:
        return False
    reported = event.duration_samples > 0 and start == event.start_rtp + event.duration_samples
    return reported or _LONGEST_SEGMENT - _SEGMENT_SLACK <= start - segment_start <= _LONGEST_SEGMENT
