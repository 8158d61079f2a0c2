"""A stream's figures for one part: the entry of `call.json`, and what it adds to the call's account."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from appliance.assembly import gaps, tracks
from appliance.assembly.sides import Side
from appliance.assembly.tracks import StreamState, Track
from appliance.assembly.work import SideTotals
from capture.signalling import ClockReport
from dsp import levels, quality
from dsp.g711 import Law
from dsp.timeline import SAMPLE_NS
from storage.part_record import Fill, StreamRecord
from storage.vocabulary import FillCause

SAMPLES_PER_MS = 8
NTP_EPOCH_S = 2_208_988_800
"""1970 in seconds since 1900 (RFC 5905)."""
MAX_REPORT_SAMPLES = 8000 * 3600
"""A sender report further from its stream than an hour is not about it."""


_SUPPRESSED = (FillCause.COMFORT_NOISE, FillCause.SILENCE_SUPPRESSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part's interval, and how far a stream goes into it."""

    first: int
    """First sample of the part in the call."""
    last: int
    """Sample of the call behind the part."""
    consumed: int
    """Speech packets of the stream that end in the part."""
    interruptions: gaps.Interruptions
    """Holds and outages."""
    final: bool
    """No later part follows."""
    lasting: bool = False
    """Nothing of its side is known to come after its last packet: up to the cut its silence is part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What RTCP said of a stream so far (RFC 3550 section 6.4)."""

    loss: int | None
    """Packets its receiver lost."""
    clock: ClockReport | None
    """Its sender's latest report: RTP time against wall clock."""


class _Sound(NamedTuple):
    """What a stream's share of a part sounds like."""

    frames: int
    silent_frames: int
    clipped_samples: int


def describe(track: Track, share: Share, channel: Side, reported: Reported, totals: SideTotals) -> StreamRecord:
    """Give a stream's entry for a part and add its figures to the side's totals.

    Args:
        track: the stream, with speech in this part.
        share: the part.
        channel: the side, laid out.
        reported: what RTCP said of the stream.
        totals: the side's figures so far, changed in place.
    """
    consumed = share.consumed
    fill, loss = gaps.explain(track, consumed, share.first, share.last, share.interruptions)
    begin = share.first if track.state.end_sample is not None else int(track.start[0])
    end = int(track.end[-1]) if share.final else max(int(track.end[max(consumed - 1, 0)]), begin)
    heard_until = share.last if share.final and track.ends_quiet else min(end, share.last)
    reach = (track.quiet_start if track.state.end_sample is None else track.state.end_sample, heard_until)
    if share.lasting and end < share.last:
        silence = max(end, share.first)
        cause = gaps.unfinished(silence, share.last, share.interruptions, quiet=track.ends_quiet)
        fill.append(Fill(silence - share.first, share.last - silence, cause))
    if share.lasting or (consumed < len(track.audio) and not share.final):
        end = share.last
    low, high = max(begin, share.first) - share.first, min(end, share.last) - share.first
    rows = track.consumed_rows(consumed, final=share.final)
    packets = int(np.count_nonzero(track.kind[:rows] != tracks.OTHER))
    line = track.longest_line(consumed)
    jitter, drift = track.jitter(line), track.drift_ppm(line)
    payload_type, codec = track.dominant_codec()
    sound = _sound(channel, low, high)
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
        duplicates=int(np.count_nonzero(track.ordered.original < rows)),
        reordered=int(np.count_nonzero(track.ordered.reordered < rows)),
        too_late=len(track.too_late_ns),
        jitter_ms=round(jitter.last_ms, 3),
        jitter_max_ms=round(jitter.max_ms, 3),
        longest_gap_ms=round(loss.longest_samples / SAMPLES_PER_MS, 3),
        drift_ppm=None if drift is None else round(drift, 1),
        mos=mos(packets, loss.packets, loss.runs, quality.BPL_CONCEALED),
        mos_unconcealed=mos(packets, loss.packets, loss.runs, quality.BPL_UNCONCEALED),
        silence_share=share_of(sound.silent_frames, sound.frames),
        clipping_share=share_of(sound.clipped_samples, high - low),
        rtcp_reported_loss=None if reported.loss is None else max(0, reported.loss),
        rtcp_clock_offset_ms=_clock_offset_ms(track, reported.clock),
        fill=tuple(fill),
    )
    _add(totals, record, loss, sound, reach)
    return record


def describe_silent(state: StreamState, share: Share) -> StreamRecord:
    """Give the entry of a stream of which nothing arrived in a part, though nothing else of its side did."""
    samples = share.last - share.first
    cause = gaps.unfinished(share.first, share.last, share.interruptions, quiet=state.quiet)
    return StreamRecord(
        ssrc=f"0x{state.key[2]:08x}",
        source=str(state.key[0]),
        destination=str(state.key[1]),
        payload_type=state.spoken[0],
        codec=state.spoken[1],
        decrypted=state.protected,
        first_sample=0,
        samples=samples,
        packets=0,
        lost=0,
        capture_lost=0,
        duplicates=0,
        reordered=0,
        too_late=0,
        jitter_ms=0.0,
        jitter_max_ms=0.0,
        longest_gap_ms=0.0,
        drift_ppm=None,
        mos=None,
        mos_unconcealed=None,
        silence_share=1.0,
        clipping_share=0.0,
        rtcp_reported_loss=None,
        rtcp_clock_offset_ms=None,
        fill=(Fill(0, samples, cause),),
    )


def _clock_offset_ms(track: Track, report: ClockReport | None) -> float | None:
    """Sender's wall clock minus ours: its report gives an RTP instant's NTP time, our time line its capture time."""
    if report is None or not report.ntp or not track.has_audio:
        return None
    row = int(track.audio[-1])
    latest = int(track.ordered.rtp_time[row])
    instant = latest + (report.rtp_time - latest + (1 << 31)) % (1 << 32) - (1 << 31)
    if abs(instant - latest) > MAX_REPORT_SAMPLES:
        return None
    ours_ns = int(track.placement.anchors_ns[track.placement.line[-1]]) + instant * SAMPLE_NS
    theirs_ns = (report.ntp - (NTP_EPOCH_S << 32)) * 1_000_000_000 >> 32
    return round((theirs_ns - ours_ns) / 1e6, 1)


def _sound(channel: Side, low: int, high: int) -> _Sound:
    """Measure a stretch of a side, samples of the part; each law where it holds."""
    measured = [
        levels.measure(channel.codes[max(begin, low) : min(end, high)], law)
        for begin, end, law in channel.laws or [(0, len(channel.codes), Law.PCMU)]
        if max(begin, low) < min(end, high)
    ]
    return _Sound(
        frames=sum(each.frames for each in measured),
        silent_frames=sum(each.silent_frames for each in measured),
        clipped_samples=sum(each.clipped_samples for each in measured),
    )


def mos(packets: int, lost: int, runs: int, bpl: float) -> float | None:
    """Listening quality of a stream; null without packets."""
    if not packets:
        return None
    burst = quality.burst_ratio(lost, packets, runs) if lost and runs else 1.0
    return round(quality.listening_mos(lost / (lost + packets), burst, bpl), 2)


def share_of(part: int, whole: int) -> float:
    """A share between 0 and 1, 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def _add(totals: SideTotals, record: StreamRecord, loss: gaps.Loss, sound: _Sound, span: tuple[int, int]) -> None:
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
    totals.suppressed |= any(fill.cause in _SUPPRESSED for fill in record.fill)
    totals.spans.append(span)
    totals.network_spans += loss.network_spans
    totals.capture_spans += loss.capture_spans
