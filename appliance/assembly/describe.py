"""A stream's figures for one part: the entry of `call.json`, and what it adds to the call's account."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from appliance.assembly import gaps, tracks
from appliance.assembly.tracks import Track
from appliance.assembly.work import SideTotals
from dsp import levels, quality
from dsp.g711 import Law
from storage.part_record import StreamRecord

SAMPLES_PER_MS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part's interval, and how far a stream goes into it."""

    first: int
    """First sample of the part in the call."""
    last: int
    """Sample of the call behind the part."""
    consumed: int
    """Speech packets of the stream that end in the part."""
    held: gaps.Spans
    """Holds, samples of the call."""
    final: bool
    """No later part follows."""


def describe(
    track: Track, share: Share, codes: npt.NDArray[np.uint8], reported_loss: int | None, totals: SideTotals
) -> StreamRecord:
    """Give a stream's entry for a part and add its figures to the side's totals.

    Args:
        track: the stream, with speech in this part.
        share: the part.
        codes: the side's codes, shape `(samples of the part,)`.
        reported_loss: what the receiver reported lost by RTCP.
        totals: the side's figures so far, changed in place.
    """
    consumed = share.consumed
    fill, loss = gaps.explain(track, consumed, share.first, share.last, share.held)
    begin = share.first if track.state.end_sample is not None else int(track.start[0])
    end = int(track.end[-1]) if share.final else max(int(track.end[max(consumed - 1, 0)]), begin)
    if consumed < len(track.audio) and not share.final:
        end = share.last
    low, high = max(begin, share.first) - share.first, min(end, share.last) - share.first
    rows = track.consumed_rows(consumed)
    packets = int(np.count_nonzero(track.kind[:rows] != tracks.OTHER))
    line = track.longest_line(consumed)
    jitter, drift = track.jitter(line), track.drift_ppm(line)
    payload_type, codec = track.dominant_codec()
    sound = levels.measure(codes[low:high], Law(codec))
    record = StreamRecord(
        ssrc=f"0x{track.state.key[2]:08x}",
        source=str(track.state.key[0]),
        destination=str(track.state.key[1]),
        payload_type=payload_type,
        codec=codec,
        decrypted=track.state.protected,
        first_sample=low,
        samples=high - low,
        packets=packets,
        lost=loss.packets,
        capture_lost=loss.captured_packets,
        duplicates=len(track.ordered.duplicate),
        reordered=track.ordered.reordered,
        too_late=len(track.too_late_ns),
        jitter_ms=round(jitter.last_ms, 3),
        jitter_max_ms=round(jitter.max_ms, 3),
        longest_gap_ms=round(loss.longest_samples / SAMPLES_PER_MS, 3),
        drift_ppm=None if drift is None else round(drift, 1),
        mos=mos(packets, loss.packets, loss.runs, quality.BPL_CONCEALED),
        mos_unconcealed=mos(packets, loss.packets, loss.runs, quality.BPL_UNCONCEALED),
        silence_share=share_of(sound.silent_frames, sound.frames),
        clipping_share=share_of(sound.clipped_samples, high - low),
        rtcp_reported_loss=None if reported_loss is None else max(0, reported_loss),
        fill=tuple(fill),
    )
    _add(totals, record, loss, sound, (share.first + low, share.first + high))
    return record


def mos(packets: int, lost: int, runs: int, bpl: float) -> float | None:
    """Listening quality of a stream; null without packets."""
    if not packets:
        return None
    burst = quality.burst_ratio(lost, packets, runs) if lost and runs else 1.0
    return round(quality.listening_mos(lost / (lost + packets), burst, bpl), 2)


def share_of(part: int, whole: int) -> float:
    """A share between 0 and 1, 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def _add(
    totals: SideTotals, record: StreamRecord, loss: gaps.Loss, sound: levels.Levels, span: tuple[int, int]
) -> None:
    totals.packets += record.packets
    totals.lost += record.lost
    totals.loss_runs += loss.runs
    totals.capture_lost += record.capture_lost
    totals.duplicates += record.duplicates
    totals.reordered += record.reordered
    totals.too_late += record.too_late
    totals.jitter_max_ms = max(totals.jitter_max_ms, record.jitter_max_ms)
    totals.longest_gap_ms = max(totals.longest_gap_ms, record.longest_gap_ms)
    totals.frames += sound.frames
    totals.silent_frames += sound.silent_frames
    totals.samples += record.samples
    totals.clipped += sound.clipped_samples
    totals.spans.append(span)
    totals.network_spans += loss.network_spans
    totals.capture_spans += loss.capture_spans
