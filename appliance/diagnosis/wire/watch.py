"""The mirror's side of the evidence, counted beside assembly from the same journal: `WireWatch`. Pure.

It listens and changes nothing: assembly's results do not depend on it, and it is not part of its snapshot. After a
restart it begins anew.
"""

from dataclasses import dataclass, field, replace

from appliance.diagnosis.evidence import ArpSeen, Port, Role, SipSeen, Window, Wire
from appliance.diagnosis.wire import conversing
from appliance.diagnosis.wire.attempts import WINDOW_NS, Attempts
from appliance.diagnosis.wire.callwatch import CallWatch
from appliance.diagnosis.wire.conversing import MAX_PAIRS, Pairs
from appliance.diagnosis.wire.mediawatch import BUCKET_NS, BUCKETS, MediaWatch
from appliance.diagnosis.wire.placement import Origin, Placement, Sides
from appliance.diagnosis.wire.windows import Sliding
from capture import frames
from capture.endpoint import Endpoint
from capture.events import ARP_UNANSWERED, Counted, EventKind
from capture.frames import FrameKind
from capture.journal import Event, MediaBlock, SignallingBlock
from capture.packets import ReadInto
from capture.sip import SipMessage
from capture.sipcall import SipCall

LEAST_MESSAGES = 2
"""Of a conversation, to tell its directions."""
MAX_PORTS = 64
MAX_USUAL_NS = 300_000_000_000
"""Silence that is longer is never usual."""
ARP_NS = 15_000_000_000
"""What was asked for in vain longer ago may have been found since."""
_VLAN_ID = 0x0FFF


@dataclass(slots=True, kw_only=True)
class _Bucket:
    messages: dict[Origin, int] = field(default_factory=lambda: dict.fromkeys(Origin, 0))
    vlans: set[int] = field(default_factory=set)
    pairs: Pairs = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _PortCount:
    """What capture counted at one port in one bucket."""

    drops: int = 0
    nic: int = 0
    group: int | None = None


@dataclass(slots=True, kw_only=True)
class _PortTimes:
    """When something came to a port last."""

    frame_ns: int
    unicast_ns: int
    usual_ns: int = 0
    """Longest silence that ended by itself, up to `MAX_USUAL_NS`."""
    usual_unicast_ns: int = 0
    knows_unicast: bool = False
    """Whether it was looked whom frames were for; without that nothing is known of them."""


@dataclass(slots=True, kw_only=True)
class _PortBucket:
    ports: dict[int, _PortCount] = field(default_factory=dict)


class WireWatch:
    """Hears of everything that assembly reads, in the same order."""

    def __init__(
        self,
        sides: Sides,
        sip_ports: frozenset[int],
        read_into: ReadInto,
    ) -> None:
        self._routers = sides.routers
        self._unanswered: dict[str, int] = {}
        """When somebody last asked for an address in vain."""
        self._placement = Placement(sides.beyond)
        self._sip_ports = sip_ports
        self._media = MediaWatch(self._placement, read_into)
        self._sip_vlan: dict[tuple[bytes, bytes], int] = {}
        """VLAN of the latest signalling from one address to another; 0: untagged."""
        self._calls = CallWatch(self._placement, self._media, self._last_of, self._sip_vlan)
        self._attempts = Attempts()
        self._buckets = Sliding(_Bucket, bucket_ns=BUCKET_NS, buckets=BUCKETS)
        self._counts = Sliding(_PortBucket, bucket_ns=BUCKET_NS, buckets=WINDOW_NS // BUCKET_NS)
        self._names: dict[int, str] = {}
        self._up: dict[int, bool] = {}
        self._times: dict[int, _PortTimes] = {}
        self._said_ns = dict.fromkeys(Origin, 0)
        self.now_ns = 0
        """Packet time of the latest block."""

    def _go_on(self, first_ns: int, last_ns: int) -> None:
        self._media.begun_ns = self._media.begun_ns or first_ns
        self.now_ns = max(self.now_ns, last_ns)

    def media(self, block: MediaBlock) -> None:
        """Count a media block. Raises JournalError when its rows cannot be read."""
        self._go_on(block.first_ns, block.last_ns)
        self._media.take(block)

    def frames(self, block: SignallingBlock) -> None:
        """Take note of the VLANs of SIP, and of who sends for the carrier."""
        self._go_on(block.first_ns, block.last_ns)
        bucket, layers, batch = self._buckets.at(block.last_ns), frames.parse(block.frames), block.frames
        octets = batch.buffer
        columns = zip(
            layers.kind.tolist(),
            layers.mac_start.tolist(),
            layers.ip_version.tolist(),
            layers.ip_start.tolist(),
            layers.transport_start.tolist(),
            layers.vlan_outer.tolist(),
            strict=True,
        )
        for kind, mac, version, ip, transport, vlan in columns:
            if kind not in (FrameKind.UDP, FrameKind.TCP):
                continue
            ports = octets[transport : transport + 4].tobytes()
            if self._sip_ports.isdisjoint((int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big"))):
                continue
            bucket.vlans.add(vlan & _VLAN_ID)
            at, size = (ip + 12, 4) if version == 4 else (ip + 8, 16)
            source, destination = octets[at : at + size].tobytes(), octets[at + size : at + 2 * size].tobytes()
            if len(self._sip_vlan) < MAX_PAIRS:
                self._sip_vlan[source, destination] = vlan & _VLAN_ID
            if mac >= 0:
                self._placement.learn_router(source, octets[mac : mac + 12].tobytes())

    def said(self, ts_ns: int, source: Endpoint, destination: Endpoint, transport: str, message: SipMessage) -> None:
        """Count a SIP message."""
        origin = self._placement.origin(source.ip, destination.ip)
        bucket = self._buckets.at(ts_ns)
        bucket.messages[origin] += 1
        conversing.note(bucket.pairs, source.ip, destination.ip)
        self._said_ns[origin] = max(self._said_ns[origin], ts_ns)
        self._attempts.take(ts_ns, origin, transport, message)

    def changed(self, ts_ns: int, call: SipCall) -> None:
        """Take note of a call of which something was heard."""
        self._calls.changed(ts_ns, call)

    def event(self, event: Event) -> None:
        """Take note of what capture says of its ports."""
        self._go_on(event.ts_ns, event.ts_ns)
        if event.kind == EventKind.START and not event.detail.get("continued"):
            self._media.interrupt()
        number = event.detail.get("interface")
        if not isinstance(number, int) or number >= MAX_PORTS:
            return
        if event.kind == EventKind.INTERFACE:
            self._names[number] = str(event.detail.get("name", number))
            self._up[number] = bool(event.detail.get("up"))
            if number in self._times:  # what it did not hear is no silence
                self._times[number].frame_ns = self._times[number].unicast_ns = event.ts_ns
            self._media.interrupt()
        elif event.kind == EventKind.COUNTERS:
            count = self._counts.at(event.ts_ns).ports.setdefault(number, _PortCount())
            count.drops += int(event.detail.get(Counted.DROPS, 0))
            count.nic += int(event.detail.get(Counted.NIC_MISSED, 0))
            self._note_frames(number, event, count)
            for address in str(event.detail.get(ARP_UNANSWERED, "")).split()[:MAX_PORTS]:
                self._unanswered[address] = event.ts_ns

    def _note_frames(self, number: int, event: Event, count: _PortCount) -> None:
        times = self._times.setdefault(number, _PortTimes(frame_ns=event.ts_ns, unicast_ns=event.ts_ns))
        received, packets = (int(event.detail.get(name, 0)) for name in (Counted.RECEIVED, Counted.PACKETS))
        heard = self._up.get(number, True)
        if received or packets:
            times.usual_ns = _usual(times.usual_ns, event.ts_ns - times.frame_ns, heard=heard)
            times.frame_ns = event.ts_ns
        if packets or event.detail.get(Counted.UNICAST):
            times.usual_unicast_ns = _usual(times.usual_unicast_ns, event.ts_ns - times.unicast_ns, heard=heard)
            times.unicast_ns = event.ts_ns
            times.knows_unicast = True
        if Counted.GROUP in event.detail:
            times.knows_unicast = True
            count.group = (count.group or 0) + int(event.detail[Counted.GROUP])

    def seen(self, losses: dict[tuple[bytes, int], int], shift_ns: int) -> tuple[Wire, tuple[Port, ...]]:
        """Sum up everything, on real time.

        Args:
            losses: cumulative loss that receivers reported, by sender and SSRC.
            shift_ns: what is to be added to packet time.
        """
        now_ns = self.now_ns
        calls, media = self._calls.seen(now_ns), self._media.seen(now_ns, losses)
        last_ns = self._last_of(Origin.VPN)
        wire = Wire(
            sip=self._sip(now_ns, shift_ns),
            calls=replace(calls, window=_shifted(calls.window, shift_ns)),
            media=replace(media, window=_shifted(media.window, shift_ns)),
            arp=self._arp(now_ns, shift_ns),
            last_from_vpn_ns=last_ns + shift_ns if last_ns else 0,
        )
        return wire, tuple(self._ports(now_ns, shift_ns))

    def _arp(self, now_ns: int, shift_ns: int) -> ArpSeen:
        self._unanswered = {address: ns for address, ns in self._unanswered.items() if ns > now_ns - ARP_NS}
        unanswered = self._routers.intersection(self._unanswered)
        window = Window(begin_ns=now_ns - ARP_NS, end_ns=now_ns)
        return ArpSeen(window=_shifted(window, shift_ns), asked=len(self._unanswered), unanswered=len(unanswered))

    def _last_of(self, origin: Origin) -> int:
        return max(self._said_ns[origin], self._media.last_ns[origin])

    def _sip(self, now_ns: int, shift_ns: int) -> SipSeen:
        buckets, attempts = list(self._buckets.within(now_ns)), self._attempts
        messages = {origin: sum(bucket.messages[origin] for bucket in buckets) for origin in Origin}
        outcomes = {origin: attempts.outcome(origin, now_ns) for origin in Origin}
        vlans: set[int] = set().union(*(bucket.vlans for bucket in buckets))
        return SipSeen(
            window=_shifted(Window(begin_ns=now_ns - WINDOW_NS, end_ns=now_ns), shift_ns),
            messages=sum(messages.values()),
            from_lan=messages[Origin.LAN],
            from_vpn=messages[Origin.VPN],
            vlans=tuple(sorted(vlans)),
            conversations=conversing.total((bucket.pairs for bucket in buckets), LEAST_MESSAGES),
            finals=attempts.finals(),
            invites_out=outcomes[Origin.LAN][0],
            unanswered_out=outcomes[Origin.LAN][1],
            invites_in=outcomes[Origin.VPN][0],
            unanswered_in=outcomes[Origin.VPN][1],
            unanswered_unplaced=outcomes[Origin.UNPLACED][1],
            challenge_loops_out=attempts.loops(Origin.LAN, now_ns),
            challenge_loops_in=attempts.loops(Origin.VPN, now_ns),
            unacknowledged=attempts.unacknowledged(),
        )

    def _ports(self, now_ns: int, shift_ns: int) -> list[Port]:
        buckets = list(self._counts.within(now_ns))
        window = _shifted(Window(begin_ns=self._counts.begin_ns(now_ns), end_ns=now_ns), shift_ns)
        found = []
        for number, name in self._names.items():
            counts = [bucket.ports[number] for bucket in buckets if number in bucket.ports]
            times = self._times.get(number)
            found.append(
                Port(
                    name=name,
                    role=Role.SPAN,
                    link_up=self._up.get(number),
                    silent_s=None if times is None else _seconds(now_ns - times.frame_ns),
                    no_unicast_s=_seconds(now_ns - times.unicast_ns) if times and times.knows_unicast else None,
                    usual_silence_s=_seconds(times.usual_ns) if times else 0.0,
                    usual_no_unicast_s=_seconds(times.usual_unicast_ns) if times else 0.0,
                    group=_total([count.group for count in counts[-BUCKETS:]]),
                    kernel_drops=sum(count.drops for count in counts),
                    nic_drops=sum(count.nic for count in counts),
                    window=window,
                )
            )
        return found


def _usual(before_ns: int, silence_ns: int, *, heard: bool) -> int:
    """A silence that has ended is usual from now on, unless the port could not hear, or it was too long for that."""
    return max(before_ns, silence_ns) if heard and silence_ns <= MAX_USUAL_NS else before_ns


def _seconds(ns: int) -> float:
    return round(max(ns, 0) / 1e9, 1)


def _total(counts: list[int | None]) -> int | None:
    told = [count for count in counts if count is not None]
    return sum(told) if told else None


def _shifted(window: Window, shift_ns: int) -> Window:
    return Window(begin_ns=window.begin_ns + shift_ns, end_ns=window.end_ns + shift_ns)
