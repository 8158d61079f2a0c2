"""Frames in, journal blocks out: tells media from signalling from what is none of our business, whole batches at once.

| a frame that is                                          | goes to                             |
|----------------------------------------------------------|-------------------------------------|
| UDP whose payload begins like RTP (RFC 3550 5.1)         | media, by flow                      |
| RTCP (payload type byte 192-223, RFC 5761), STUN, DTLS, ZRTP | signalling, verbatim            |
| UDP on a SIP port, or that begins like SIP               | signalling, verbatim                |
| TCP of a connection that carries SIP; TLS handshakes on SIP ports | signalling, verbatim       |
| an IP fragment of UDP, TCP or a tunnel                   | signalling, verbatim                |
| anything else                                            | counted                             |

Nothing is interpreted beyond that; capture and import share this code.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from capture import frames as layers
from capture.flows import FlowTable, flow_words
from capture.frames import FrameKind, Frames
from capture.journal import EXTENT, MAX_SPAN_NS, ROW_PREFIX_BYTES, Bytes
from capture.octets import IntArray, gather
from capture.plainframes import HEAD_UDP
from capture.records import GUARD_BYTES, RecordBatch
from capture.sipwire import SipConnections, begins_like_sip
from capture.tunnels import IP_TUNNELS

UDP_HEADER_BYTES = 8
RTP_HEADER_BYTES = 12
WINDOW_ROWS = 131_072
"""Most frames in one block; no more than a flow table holds, so that the worst batch fits."""
MAX_DATAGRAM_BYTES = 0xFFFF
_FRAGMENTED = (layers.PROTOCOL_UDP, layers.PROTOCOL_TCP, *IP_TUNNELS)
_HALF_LENGTH = HEAD_UDP // 2 + 2
"""The UDP header's length field among the 16-bit words of a head."""
_TELLING_BYTES = 8
"""Payload bytes that the signs of signalling lie in."""
_INT64_MAX = (1 << 63) - 1
_STUN_COOKIE = 0x2112A442
_ZRTP_COOKIE = 0x5A525450


@dataclass(slots=True, kw_only=True)
class IntakeCounters:
    """What became of the frames."""

    frames: int = 0
    media: int = 0
    signalling: int = 0
    not_ip: int = 0
    damaged: int = 0
    other_udp: int = 0
    other_tcp: int = 0
    other_ip: int = 0
    truncated_media: int = 0
    flow_table_resets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """At most `MAX_SPAN_NS` of traffic, ready to be written."""

    first_ns: int
    last_ns: int
    extents: npt.NDArray[np.void]
    """`EXTENT` records without addresses; may be empty."""
    rows: list[Bytes]
    """Media rows, one array `(n, 8 + captured)` a packet size."""
    signalling: RecordBatch | None
    """Frames kept whole."""


@dataclass(slots=True, kw_only=True)
class _Media:
    """Columns of the batch's RTP packets in capture order."""

    frame: IntArray
    start: IntArray
    captured: IntArray
    wire: IntArray
    words: npt.NDArray[np.uint64]


@dataclass(slots=True)
class Intake:
    """Classifies batches. `sip_ports` are the ports known to carry SIP; SIP elsewhere is found by its start line."""

    sip_ports: frozenset[int]
    counters: IntakeCounters = field(default_factory=IntakeCounters)
    _flows: FlowTable = field(default_factory=FlowTable)
    _connections: SipConnections = field(default_factory=SipConnections)

    def windows(self, batch: RecordBatch) -> Iterator[Window]:
        """Split a batch into windows of journal size.

        The batch's buffer is written to: a packet's capture time takes the place of its UDP header once nothing else
        needs it.
        """
        if not len(batch):
            return
        frames = layers.parse(batch)
        media, signalling = self._classify(batch, frames)
        self._count(frames, len(batch), media, signalling)
        clock = np.maximum.accumulate(batch.ts_ns)
        bounds = _bounds(clock)
        kept = [_keep(batch, part) for part in _split(signalling, bounds)]
        _write_times(batch, media)
        for low, high, frames_kept in zip(bounds[:-1], bounds[1:], kept, strict=True):
            extents, rows = self._media_rows(batch, media, *np.searchsorted(media.frame, (low, high)))
            if len(extents) or frames_kept is not None:
                yield Window(
                    first_ns=int(clock[low]),
                    last_ns=int(clock[high - 1]),
                    extents=extents,
                    rows=rows,
                    signalling=frames_kept,
                )

    def _classify(self, batch: RecordBatch, frames: Frames) -> tuple[_Media, IntArray]:
        udp = frames.select(FrameKind.UDP)
        chosen = slice(None) if len(udp) == len(batch) else udp  # nearly everything is UDP: spare the picking
        head, start, wire = frames.head[chosen], frames.transport_start[chosen], frames.transport_wire[chosen]
        announced = head.view(">u2")[:, _HALF_LENGTH].astype(np.int64)
        length = np.minimum(announced, wire)
        zero = announced == 0
        if zero.any():
            # A jumbogram or offloaded: the IP header's length holds then, as far as the journal can say it.
            length[zero] = np.minimum(wire[zero], MAX_DATAGRAM_BYTES)
        captured = np.minimum(frames.transport_end[chosen] - start, length) - UDP_HEADER_BYTES
        kind = head[:, HEAD_UDP + 9]
        version_2 = (head[:, HEAD_UDP + 8] >> 6 == 2) & (captured >= RTP_HEADER_BYTES)
        rtcp = version_2 & (kind >= 192) & (kind <= 223)
        rtp = version_2 & ~rtcp
        signalling = [udp[rtcp]]
        if not rtp.all():
            others = np.flatnonzero(~version_2 & (captured > 0))
            signalling.append(udp[others[self._is_signalling(head[others, HEAD_UDP:], captured[others])]])
        whole = rtp.all()
        rows = udp if whole else udp[rtp]
        media = _Media(
            frame=rows,
            start=(start if whole else start[rtp]) + UDP_HEADER_BYTES,
            captured=captured if whole else captured[rtp],
            wire=(length if whole else length[rtp]) - UDP_HEADER_BYTES,
            words=flow_words(batch, frames, rows),
        )
        signalling.append(self._connections.select(batch, frames, self.sip_ports))
        fragments = frames.select(FrameKind.FRAGMENT)
        signalling.append(fragments[np.isin(frames.protocol[fragments], _FRAGMENTED)])
        return media, np.sort(np.concatenate(signalling))

    def _is_signalling(self, header: Bytes, captured: IntArray) -> npt.NDArray[np.bool_]:
        """Which UDP packets that are not RTP belong to calls: `header` is UDP header and 12 payload bytes, shape `(n,
        20)`."""
        words = header.view(">u4")
        first = header[:, 8]
        on_sip_port = np.isin(header.view(">u2")[:, :2], list(self.sip_ports)).any(axis=1)
        stun = (first < 4) & (words[:, 3] == _STUN_COOKIE)
        dtls = (first >= 20) & (first <= 25) & (header[:, 9] == 0xFE)
        zrtp = (first == 0x10) & (words[:, 3] == _ZRTP_COOKIE)
        short_rtcp = (first >> 6 == 2) & (header[:, 9] >= 192) & (header[:, 9] <= 223)
        content = short_rtcp | stun | dtls | zrtp | begins_like_sip(words[:, 2])
        return np.asarray(on_sip_port | (content & (captured >= _TELLING_BYTES)))

    def _count(self, frames: Frames, total: int, media: _Media, signalling: IntArray) -> None:
        by_kind = np.bincount(frames.kind, minlength=len(FrameKind))
        kept = np.bincount(frames.kind[signalling], minlength=len(FrameKind))
        counters = self.counters
        counters.frames += total
        counters.media += len(media.frame)
        counters.signalling += len(signalling)
        counters.not_ip += int(by_kind[FrameKind.NOT_IP])
        counters.damaged += int(by_kind[FrameKind.DAMAGED])
        counters.other_udp += int(by_kind[FrameKind.UDP] - kept[FrameKind.UDP]) - len(media.frame)
        counters.other_tcp += int(by_kind[FrameKind.TCP] - kept[FrameKind.TCP])
        others = by_kind[FrameKind.OTHER_IP] + by_kind[FrameKind.FRAGMENT] - kept[FrameKind.FRAGMENT]
        counters.other_ip += int(others)
        counters.truncated_media += int(np.count_nonzero(media.captured < media.wire))

    def _media_rows(
        self, batch: RecordBatch, media: _Media, low: int, high: int
    ) -> tuple[npt.NDArray[np.void], list[Bytes]]:
        """Gather the rows of media packets `low` to `high`, sorted by size and flow, in capture order within a flow."""
        numbers = self._flows.number(media.words[:, low:high])
        self.counters.flow_table_resets = self._flows.resets
        times, start = batch.ts_ns[media.frame[low:high]], media.start[low:high] - ROW_PREFIX_BYTES
        sizes = media.captured[low:high] << 16 | np.minimum(media.wire[low:high], 0xFFFF)
        distinct = _distinct(sizes)
        extents: list[npt.NDArray[np.void]] = []
        rows: list[Bytes] = []
        for size in distinct:
            members = _by_flow(numbers, sizes == size if len(distinct) > 1 else None)
            payload_bytes = size >> 16
            rows.append(gather(batch.buffer, start[members], ROW_PREFIX_BYTES + payload_bytes))
            flow, captured_at = numbers[members], times[members]
            first = np.flatnonzero(np.concatenate(([True], flow[1:] != flow[:-1])))
            part = np.zeros(len(first), EXTENT)
            part["flow"] = self._flows.records(flow[first])
            part["first_ns"] = np.minimum.reduceat(captured_at, first)
            part["last_ns"] = np.maximum.reduceat(captured_at, first)
            part["rows"] = np.diff(first, append=len(members))
            part["captured"], part["wire"] = payload_bytes, size & 0xFFFF
            extents.append(part)
        return (np.concatenate(extents) if extents else np.zeros(0, EXTENT)), rows


def _by_flow(numbers: npt.NDArray[np.int32], chosen: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.intp]:
    """Return the chosen packets (None: all) sorted by flow, in capture order within one."""
    members = None if chosen is None else np.flatnonzero(chosen)
    keys = numbers if members is None else numbers[members]
    # numpy has a radix sort for 16 bits only
    order = np.argsort(keys.astype(np.uint16) if len(keys) and keys.max() <= 0xFFFF else keys, kind="stable")
    return order if members is None else members[order]


def _distinct(sizes: IntArray) -> list[int]:
    """Return the distinct values; nearly all traffic has one."""
    if not len(sizes):
        return []
    if (sizes == sizes[0]).all():
        return [int(sizes[0])]
    return [int(size) for size in np.unique(sizes)]


def _bounds(clock: IntArray) -> list[int]:
    """Cut a batch where a window would grow too long in time or in frames: indices, the first 0, the last `n`."""
    bounds = [0]
    while bounds[-1] < len(clock):
        low = bounds[-1]
        latest = min(int(clock[low]) + MAX_SPAN_NS, _INT64_MAX)
        high = int(np.searchsorted(clock, latest, side="right"))
        bounds.append(min(high, low + WINDOW_ROWS))
    return bounds


def _split(rows: IntArray, bounds: list[int]) -> list[IntArray]:
    return np.split(rows, np.searchsorted(rows, bounds[1:-1]))


def _keep(batch: RecordBatch, rows: IntArray) -> RecordBatch | None:
    """Copy frames out of the batch."""
    if not len(rows):
        return None
    captured = batch.captured[rows]
    pieces = [batch.buffer[s : s + n] for s, n in zip(batch.start[rows].tolist(), captured.tolist(), strict=True)]
    return RecordBatch(
        buffer=np.concatenate([*pieces, np.zeros(GUARD_BYTES, np.uint8)]),
        start=np.cumsum(captured) - captured,
        captured=captured,
        wire=batch.wire[rows],
        ts_ns=batch.ts_ns[rows],
        interface=batch.interface[rows],
        link_type=batch.link_type[rows],
    )


def _write_times(batch: RecordBatch, media: _Media) -> None:
    """Put each packet's capture time into the eight bytes before its payload, so that one gather takes both."""
    windows = np.lib.stride_tricks.as_strided(
        batch.buffer[:ROW_PREFIX_BYTES].view("<i8"), shape=(len(batch.buffer) - ROW_PREFIX_BYTES + 1,), strides=(1,)
    )
    windows[media.start - ROW_PREFIX_BYTES] = batch.ts_ns[media.frame]
