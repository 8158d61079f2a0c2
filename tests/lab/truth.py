"""What must be in the archive: what SIPp was given to send, without what the relay says it dropped.

Where a stream lies in time is taken from the capture of the mirror port, by a reader that looks for nothing but the
streams' SSRCs, whatever the packets are wrapped in.
"""

import json
import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.lab.calls import LabCall
from tests.lab.network import Mirror
from tests.traffic.calls import PlayedCall
from tests.traffic.media import RATE_HZ, StreamTruth
from tests.traffic.signalling import Side

_FIRST_SAMPLES = 10 * RATE_HZ
"""A stream is placed by its first 10 s."""
_NS_PER_SAMPLE = 1_000_000_000 // RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLog:
    """What the relay did to which packets, as (SSRC, sequence number)."""

    dropped: frozenset[tuple[int, int]] = frozenset()
    delayed: frozenset[tuple[int, int]] = frozenset()
    missed: int = 0
    """Frames that were too fast for it: a failure of the lab."""


def read_log(path: Path) -> RelayLog:
    """The log that the relay wrote; that of no relay when there is none."""
    if not path.exists():
        return RelayLog()
    told = json.loads(path.read_bytes())
    dropped, delayed = (frozenset((ssrc, number) for ssrc, number in told[what]) for what in ("dropped", "delayed"))
    return RelayLog(dropped=dropped, delayed=delayed, missed=told["missed"])


def expected(calls: Sequence[LabCall], log: RelayLog, mirror: Mirror, capture: Path) -> list[PlayedCall]:
    """The calls as a recorder must have understood them."""
    ssrcs = [call.sent(side).truths[0].ssrc for call in calls for side in Side]
    arrivals = _arrivals(capture, ssrcs)
    return [_played(call, log, mirror, arrivals) for call in calls]


def _played(call: LabCall, log: RelayLog, mirror: Mirror, arrivals: Mapping[int, list[tuple[int, int]]]) -> PlayedCall:
    truths: dict[Side, tuple[StreamTruth, ...]] = {}
    for side in Side:
        ssrc = call.sent(side).truths[0].ssrc
        lost = frozenset(sequence for of, sequence in log.dropped if of == ssrc)
        (truth,) = call.sent(side, lost).truths
        truths[side] = (_seen(truth, mirror, arrivals[ssrc]),) if arrivals[ssrc] else ()
    return PlayedCall(script=call.script, packets=[], truths=truths)


def _seen(truth: StreamTruth, mirror: Mirror, arrivals: list[tuple[int, int]]) -> StreamTruth:
    doubled = truth.packets if mirror is Mirror.DOUBLED else 0
    return replace(truth, duplicates=doubled, first_ns=_first_ns(arrivals))


def _first_ns(arrivals: list[tuple[int, int]]) -> int:
    """Instant of the first sample: RTP time mapped by the least delay."""
    reference = arrivals[0][1]
    ahead = [(ts_ns, _difference(timestamp, reference)) for ts_ns, timestamp in arrivals]
    first = min(samples for _, samples in ahead)
    return min(
        ts_ns - (samples - first) * _NS_PER_SAMPLE for ts_ns, samples in ahead if samples - first < _FIRST_SAMPLES
    )


def _difference(timestamp: int, reference: int) -> int:
    return (timestamp - reference + 2**31) % 2**32 - 2**31


def _arrivals(capture: Path, ssrcs: Sequence[int]) -> Mapping[int, list[tuple[int, int]]]:
    """Per SSRC, (arrival in ns, RTP timestamp) of each packet in the capture."""
    known = re.compile(b"|".join(re.escape(struct.pack("!I", ssrc)) for ssrc in ssrcs))
    found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for ts_ns, octets in _frames(capture):
        match = known.search(octets, 8)
        # SIP names no SSRC; the first byte of an RTP header tells chance hits apart.
        if match and octets[match.start() - 8] == 0x80:
            timestamp, ssrc = struct.unpack_from("!II", octets, match.start() - 4)
            found[ssrc].append((ts_ns, timestamp))
    return found


def _frames(capture: Path) -> Iterator[tuple[int, bytes]]:
    """(ns, octets) of a classic capture file as tcpdump writes it on this machine."""
    data = capture.read_bytes()
    order = "<" if data[:4] == b"\x4d\x3c\xb2\xa1" else ">"
    at = 24
    while at + 16 <= len(data):
        seconds, nanoseconds, length, _ = struct.unpack_from(order + "IIII", data, at)
        yield seconds * 1_000_000_000 + nanoseconds, data[at + 16 : at + 16 + length]
        at += 16 + length
