"""RTP of the last minute by direction, from the journal's media blocks. Pure; bounded in streams and time.

Above `MAX_STREAMS` streams at a time a fixed share of them is read: which, their SSRC says. Where media went is noted
of all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from appliance.diagnosis.evidence import Leg, MediaSeen, SenderClock, Window
from appliance.diagnosis.wire import conversing, rtpcolumns, streams
from appliance.diagnosis.wire.conversing import Pairs
from appliance.diagnosis.wire.placement import Origin, Placement
from appliance.diagnosis.wire.streams import BIN_NS, Stream
from appliance.diagnosis.wire.windows import Sliding
from capture.endpoint import Endpoint
from capture.flows import FLOW
from capture.journal import MediaBlock
from capture.packets import ReadInto

NS = 1_000_000_000
MAX_STREAMS = 160
"""Enough for shares and sums; each costs some 100 us a second."""
_MAX_SHIFT = 12
MAX_RECEIVERS = 32_768
"""Addresses that media went to; the one that was heard of longest ago makes room."""
MAX_REMEMBERED = 8192
"""Streams; the one that was heard of longest ago makes room."""
BUCKET_NS = 5 * NS
BUCKETS = 12
LEAST_PACKETS = 20
"""Fewer in a conversation say nothing of its directions."""
_MAX_CLOCKS = 24
"""Streams whose clock is measured for one report."""
_EF = 46
_VLAN_ID = 0x0FFF
_ADDRESS_BYTES = {4: 4, 6: 16}


@dataclass(slots=True, kw_only=True)
class _LegCount:
    """One direction in one bucket."""

    streams: set[int] = field(default_factory=set)
    packets: int = 0
    expected: int = 0
    lost: int = 0
    doubled: int = 0
    ef: int = 0
    best_effort: int = 0
    vlans: set[int] = field(default_factory=set)
    jitter_ns: float = 0.0
    pairs: int = 0
    gap_bins: set[int] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class _Bucket:
    legs: dict[Origin, _LegCount] = field(default_factory=lambda: {origin: _LegCount() for origin in Origin})
    pairs: Pairs = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Heard:
    """RTP that went to one address."""

    first_ns: int
    last_ns: int
    source: bytes
    """Packed address of the latest sender."""
    packets: int
    vlan: int = 0
    """VLAN of the latest; 0: untagged."""


class MediaWatch:
    """Takes media blocks, tells what the last minute was like."""

    def __init__(self, placement: Placement, read_into: ReadInto) -> None:
        self._placement = placement
        self._read_into = read_into
        self._streams: dict[bytes, Stream] = {}
        self._numbers = 0
        self._shift = 0
        """So many lowest bits of a watched stream's SSRC are 0, but for noise."""
        self._buckets = Sliding(_Bucket, bucket_ns=BUCKET_NS, buckets=BUCKETS)
        self.heard: dict[bytes, Heard] = {}
        """By receiver: packed address and port."""
        self._pausing: dict[bytes, None] = {}
        """Senders that suppress silence."""
        self.begun_ns = 0
        """Since when there is anything to be heard: streams that began later are seen whole."""
        self.last_ns = dict.fromkeys(Origin, 0)
        """Latest packet of each side."""
        self._losses: dict[tuple[bytes, int], int] = {}
        """What receivers reported first, by sender and SSRC."""

    def take(self, block: MediaBlock) -> None:
        """Count a block. Raises JournalError when its rows cannot be read any more."""
        bucket = self._buckets.at(block.last_ns)
        chosen: list[tuple[int, int, int, int]] = []
        members: dict[int, Stream] = {}
        extents = block.extents
        columns = zip(
            self._is_watched(extents).tolist(),
            extents["flow"].copy().view(f"V{FLOW.itemsize}").tolist(),
            extents["address"].tolist(),
            extents["rows"].tolist(),
            extents["captured"].tolist(),
            extents["first_ns"].tolist(),
            extents["last_ns"].tolist(),
            strict=True,
        )
        for is_watched, flow, address, rows, captured, first_ns, last_ns in columns:
            self._note_heard(flow, first_ns, last_ns, rows)
            if not is_watched:
                continue
            stream = self._stream(flow, first_ns)
            members[stream.number] = stream
            leg = bucket.legs[stream.origin]
            _note_flow(leg, flow, rows)
            leg.streams.add(stream.number)
            chosen.append((stream.number, address, rows, captured))
            source, destination, _ = _ends(flow)
            conversing.note(bucket.pairs, source, destination, rows)
            self.last_ns[stream.origin] = max(self.last_ns[stream.origin], last_ns)
        self._add(bucket, members, chosen)

    def _add(self, bucket: _Bucket, members: dict[int, Stream], chosen: list[tuple[int, int, int, int]]) -> None:
        numbered = list(members.values())
        place = {stream.number: at for at, stream in enumerate(numbered)}
        columns = rtpcolumns.read(
            [(place[n], address, rows, size) for n, address, rows, size in chosen], self._read_into
        )
        for at, added in streams.add(numbered, columns).items():
            leg = bucket.legs[numbered[at].origin]
            leg.packets += added.packets
            leg.expected += added.expected
            leg.lost += added.lost
            leg.doubled += added.doubled
            leg.jitter_ns += added.jitter_ns
            leg.pairs += added.pairs
            leg.gap_bins |= added.gap_bins
            if added.paused:
                self._note_pausing(numbered[at].sender)

    def _is_watched(self, extents: npt.NDArray) -> npt.NDArray[np.bool_]:  # type: ignore[type-arg]
        """Choose extents: all of few streams, a share of many, the same ones as long as there are many."""
        ssrc = np.ascontiguousarray(extents["flow"]["ssrc"]).view("<u4").reshape(-1)
        mixed = (ssrc * np.uint32(2_654_435_761)) >> np.uint32(16)
        while True:
            chosen: npt.NDArray[np.bool_] = mixed & np.uint32((1 << self._shift) - 1) == 0
            if np.count_nonzero(chosen) <= MAX_STREAMS or self._shift == _MAX_SHIFT:
                return chosen
            self._shift += 1

    def _stream(self, flow: bytes, first_ns: int) -> Stream:
        key = flow[16:56]  # addresses, ports, SSRC
        stream = self._streams.pop(key, None)
        if stream is None:
            source, destination, _ = _ends(flow)
            stream = Stream(
                number=self._numbers,
                sender=source,
                ssrc=int.from_bytes(flow[52:56], "big"),
                origin=Origin.UNPLACED,
                first_ns=first_ns,
            )
            self._numbers += 1
        if stream.origin is Origin.UNPLACED:
            source, destination, _ = _ends(flow)
            self._placement.learn_router(source, flow[:12])
            stream.origin = self._placement.origin(source, destination, flow[:12])
        self._streams[key] = stream
        if len(self._streams) > MAX_REMEMBERED:
            del self._streams[next(iter(self._streams))]
        return stream

    def _note_heard(self, flow: bytes, first_ns: int, last_ns: int, packets: int) -> None:
        size = _ADDRESS_BYTES.get(flow[59], 4)
        receiver = flow[32 : 32 + size] + flow[50:52]
        heard = self.heard.pop(receiver, None)
        if heard is None:
            heard = Heard(first_ns=first_ns, last_ns=last_ns, source=b"", packets=0)
        heard.last_ns, heard.source = max(heard.last_ns, last_ns), flow[16 : 16 + size]
        heard.packets += packets
        heard.vlan = (flow[12] | flow[13] << 8) & _VLAN_ID
        self.heard[receiver] = heard
        if len(self.heard) > MAX_RECEIVERS:
            del self.heard[next(iter(self.heard))]

    def _note_pausing(self, sender: bytes) -> None:
        self._pausing.pop(sender, None)
        self._pausing[sender] = None
        if len(self._pausing) > MAX_REMEMBERED:
            del self._pausing[next(iter(self._pausing))]

    def suppresses_silence(self, sender: bytes) -> bool:
        """Whether a sender was seen to say nothing at all between words."""
        return sender in self._pausing

    def interrupt(self) -> None:
        """The port did not hear for a while: what is missing since then says nothing."""
        for stream in self._streams.values():
            stream.interrupt()

    def was_heard(self, receiver: Endpoint, since_ns: int) -> Heard | None:
        """Return what went to an address since a time."""
        heard = self.heard.get(receiver.ip + receiver.port.to_bytes(2, "big"))
        return heard if heard is not None and heard.last_ns >= since_ns else None

    def seen(self, now_ns: int, losses: dict[tuple[bytes, int], int]) -> MediaSeen:
        """Sum up the window that ends now; `losses`: cumulative loss that receivers reported, by sender and SSRC."""
        begin_ns = self._buckets.begin_ns(now_ns)
        buckets = list(self._buckets.within(now_ns))
        live = [stream for stream in self._streams.values() if stream.highest_ns >= begin_ns]
        legs = {origin: self._leg(origin, buckets, live, losses) for origin in Origin}
        lan, vpn = (_gap_bins(buckets, origin) for origin in (Origin.LAN, Origin.VPN))
        return MediaSeen(
            window=Window(begin_ns=begin_ns, end_ns=now_ns),
            from_lan=legs[Origin.LAN],
            from_vpn=legs[Origin.VPN],
            unplaced=legs[Origin.UNPLACED],
            bins=(now_ns - begin_ns) // BIN_NS,
            shared_bins=len(lan & vpn),
            conversations=conversing.total((bucket.pairs for bucket in buckets), LEAST_PACKETS),
        )

    def _leg(
        self, origin: Origin, buckets: list[_Bucket], live: list[Stream], losses: dict[tuple[bytes, int], int]
    ) -> Leg:
        counts = [bucket.legs[origin] for bucket in buckets]
        mine = [stream for stream in live if stream.origin is origin]
        reported = [(stream, lost) for stream in mine if (lost := self._reported(stream, losses)) is not None]
        pairs = sum(count.pairs for count in counts)
        return Leg(
            streams=len(set().union(*(count.streams for count in counts))),
            packets=sum(count.packets for count in counts),
            expected=sum(count.expected for count in counts),
            lost=max(sum(count.lost for count in counts), 0),
            doubled=sum(count.doubled for count in counts),
            vlans=tuple(sorted(set().union(*(count.vlans for count in counts)))),
            ef=sum(count.ef for count in counts),
            best_effort=sum(count.best_effort for count in counts),
            jitter_ms=sum(count.jitter_ns for count in counts) / pairs / 1e6 if pairs else None,
            gap_bins=len(_gap_bins(buckets, origin)),
            constant=sum(stream.is_dead for stream in mine),
            reported=sum(stream.packets for stream, _ in reported),
            reported_lost=sum(lost for _, lost in reported),
            reporters=len(reported),
            clocks=tuple(_clocks(mine[:_MAX_CLOCKS])),
        )

    def _reported(self, stream: Stream, losses: dict[tuple[bytes, int], int]) -> int | None:
        """Loss that the receiver counted while the stream was watched; None when it reports nothing."""
        key = (stream.sender, stream.ssrc)
        lost = losses.get(key)
        if lost is None:
            return None
        seen_whole = self.begun_ns and stream.first_ns > self.begun_ns + NS // 2
        before = self._losses.setdefault(key, 0 if seen_whole else lost)
        if len(self._losses) > MAX_REMEMBERED:
            del self._losses[next(iter(self._losses))]
        return max(lost - before, 0)


def _note_flow(leg: _LegCount, flow: bytes, rows: int) -> None:
    leg.vlans.add(int.from_bytes(flow[12:14], "little") & _VLAN_ID)
    dscp = flow[60] >> 2
    if dscp == _EF:
        leg.ef += rows
    elif dscp == 0:
        leg.best_effort += rows


def _ends(flow: bytes) -> tuple[bytes, bytes, bytes]:
    """Source and destination address, destination port."""
    size = _ADDRESS_BYTES.get(flow[59], 4)
    return flow[16 : 16 + size], flow[32 : 32 + size], flow[50:52]


def _gap_bins(buckets: Iterable[_Bucket], origin: Origin) -> set[int]:
    return set().union(*(bucket.legs[origin].gap_bins for bucket in buckets))


def _clocks(live: Iterable[Stream]) -> Iterable[SenderClock]:
    for stream in live:
        measured = stream.drift()
        if measured is not None:
            sender = str(Endpoint(stream.sender, 0)).rpartition(":")[0]
            yield SenderClock(sender=sender, ppm=round(measured[0], 1), span_s=round(measured[1], 1))
