"""Media that no signalling announces: which runs are one conversation, whether they are speech, who is on which
side."""

from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np

from appliance.assembly.work import Work, medium_id
from capture import packets as journal_packets
from capture.binding import BoundStream
from capture.endpoint import Endpoint
from capture.journal import MAX_SPAN_NS
from capture.packets import ReadInto
from capture.probation import Probation, Recognition
from capture.rtp import MIN_SEQUENTIAL
from capture.rules import Decision
from capture.runs import Claim, Run, RunTable, StreamKey
from capture.sdpattributes import STATIC_CODECS
from capture.signalling import Signalling
from capture.sipcall import Side, SipCall
from capture.srtp import looks_protected
from storage.call_record import UnrecordedStream
from storage.records import Link, Links
from storage.vocabulary import Reason

LEGACY_COMFORT_NOISE = 19
"""Payload type of comfort noise before RFC 3551 made it 13; still sent by old gateways."""
FIRST_DYNAMIC = 96
EVENT_BYTES = 4
JUDGED_NS = 10_000_000_000
"""What a run is shows in its first 10 s."""
_EXTENTS_AT_ONCE = 64


def group(run: Run, runs: RunTable, now_ns: int) -> list[Run]:
    """Return the runs between a run's two addresses that have begun by now, in both directions.

    The table may know of later ones already: it takes in whole blocks.
    """
    ends = {run.source, run.destination}
    members = [other for other in runs.at(run.source) if {other.source, other.destination} == ends]
    return [other for other in members if other is run or other.first_ns <= now_ns]


def has_free(run: Run, late_ns: int) -> bool:
    """Whether a run has packets that are no call's: not only stragglers after the end of one."""
    begins_ns = min((claim.high_ns for claim in run.claimed), default=run.last_ns)
    return any(low <= begins_ns or high - low > late_ns for low, high in run.free_spans())


def recognise(group: list[Run], read_into: ReadInto) -> list[Run]:
    """Return the runs that are RTP by RFC 3550 A.1, judged by their free packets."""
    return [run for run in group if run.rows >= MIN_SEQUENTIAL and verdict(run, read_into) is not Recognition.UNKNOWN]


def verdict(run: Run, read_into: ReadInto) -> Recognition:
    """Tell what a run is by its first free packets."""
    packets = _first_free(run, read_into)
    probation = Probation()
    probation.feed(packets.sequence, packets.rtp_time, packets.payload_type, packets.payload_bytes)
    if probation.verdict is Recognition.UNKNOWN and _is_protected(packets):
        return Recognition.OTHER
    return probation.verdict


def _first_free(run: Run, read_into: ReadInto) -> journal_packets.Packets:
    """Read the packets of the first `JUDGED_NS` that are no call's."""
    from_ns, until_ns = next(iter(run.free_spans()), (run.first_ns, run.last_ns))
    until_ns = min(until_ns, from_ns + JUDGED_NS)
    extents, count = run.extents(), _EXTENTS_AT_ONCE
    packets = journal_packets.read(extents[:count], read_into)
    # Extents come in order of their first packet: after one that is wholly later nothing is missing.
    while count < len(extents) and not (packets.arrival_ns > until_ns + MAX_SPAN_NS).any():
        count *= 4
        packets = journal_packets.read(extents[:count], read_into)
    return packets.select((packets.arrival_ns >= from_ns) & (packets.arrival_ns <= until_ns))


def _is_protected(packets: journal_packets.Packets) -> bool:
    """Whether these are SRTP packets that carry G.711."""
    static = np.isin(packets.payload_type, (0, 8))
    if len(packets) < 3 or not static.all():
        return False
    return bool(looks_protected(packets.sequence, packets.rtp_time, packets.payload_bytes))


def begun_ns(group: list[Run]) -> int:
    """Return when the first packet came that is no call's."""
    return min(_free_from(run) for run in group)


def begin(group: list[Run], decision: Decision, config: str | None, shift_ns: int) -> Work:
    """Open a recording: the sender of the first packet is its caller."""
    first = min(group, key=_appearance)
    first_ns = _free_from(first)
    return Work(
        call_id=medium_id(first.key, first_ns),
        first_ns=first_ns,
        shift_ns=shift_ns,
        decision=decision,
        config=config,
        runs=sorted(run.number for run in group),
    )


def _appearance(run: Run) -> tuple[int, StreamKey]:
    """Order of runs by their first free packets; numbers of runs would tell where blocks begin."""
    return _free_from(run), run.key


def _free_from(run: Run) -> int:
    spans = run.free_spans()
    return spans[0][0] if spans else run.first_ns


def _free_until(run: Run) -> int:
    spans = run.free_spans()
    return spans[0][1] if spans else run.last_ns


def streams(work: Work, runs: RunTable, close_ns: int) -> list[BoundStream]:
    """Return a medium's streams up to a time, those that began first ahead."""
    members = sorted((runs.by_number[number] for number in work.runs if number in runs.by_number), key=_appearance)
    found: dict[StreamKey, BoundStream] = {}
    for run in members:
        known = found.get(run.key)
        if known is None:
            found[run.key] = BoundStream(
                side=Side.CALLER if run.source == members[0].source else Side.CALLEE,
                key=run.key,
                runs=[run],
                from_ns=_free_from(run),
                until_ns=min(close_ns, _free_until(run)),
                score=0,
                media="audio",
                secured="",
            )
        elif known.until_ns == known.runs[-1].last_ns:  # after a pause, the other direction did not pause
            known.runs.append(run)
            known.until_ns = min(close_ns, _free_until(run))
    return list(found.values())


def codecs(packets: journal_packets.Packets) -> dict[int, str]:
    """Return the payload types that mean something without a description (RFC 3551), and those of telephone events.

    A dynamic type is taken for telephone events when all its packets have their size.
    """
    table = {payload_type: codec.name for payload_type, codec in STATIC_CODECS.items()}
    table[LEGACY_COMFORT_NOISE] = "CN"
    fits = packets.payload_bytes == EVENT_BYTES
    if not fits.any():
        return table
    events = set(packets.payload_type[fits].tolist()) - set(packets.payload_type[~fits].tolist())
    table.update((number, "TELEPHONE-EVENT") for number in events if number >= FIRST_DYNAMIC)
    return table


def protection(work: Work, members: list[BoundStream], signalling: Signalling) -> bool:
    """Whether the medium's keys were negotiated where we cannot see them."""
    if work.members:
        return False
    ends: set[Endpoint] = {end for stream in members for end in stream.key[:2]}
    return any(end in signalling.protected for end in ends)


def note_protected(work: Work, members: list[BoundStream], zone: ZoneInfo) -> None:
    """List a medium that nobody can read."""
    for stream in members:
        work.unrecorded.append(
            UnrecordedStream(
                side=None,
                ssrc=f"0x{stream.key[2]:08x}",
                source=str(stream.key[0]),
                destination=str(stream.key[1]),
                payload_type=None,
                codec="",
                packets=sum(run.rows for run in stream.runs),
                first_at=work.shown(stream.runs[0].first_ns, zone),
                last_at=work.shown(stream.runs[-1].last_ns, zone),
                reason=Reason.ENCRYPTED,
            )
        )


def link_to(work: Work, call: SipCall | None) -> Link:
    """Return the link from a second stream to its call."""
    return Link(call_id=work.call_id, sip_call_id=call.call_id if call is not None else None)


def links(work: Work) -> Links:
    """Return a medium's links."""
    return Links(second_leg_of=work.second_leg_of)


def unclaimed(run: Run, read_into: ReadInto) -> Iterator[tuple[Claim | None, journal_packets.IntArray]]:
    """Yield the capture times of a run's packets that are no call's, with the claim before them."""
    spans = run.free_spans()
    arrival_ns = journal_packets.read(run.extents(), read_into).arrival_ns if spans else np.zeros(0, np.int64)
    for low, high in spans:
        times = arrival_ns[(arrival_ns >= low) & (arrival_ns <= high)]
        if len(times):
            yield max((c for c in run.claimed if c.high_ns < low), key=lambda c: c.high_ns, default=None), times
