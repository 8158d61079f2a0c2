"""Calls without end, put on the wire at the PBX and at the VPN router in real time, changed as a fault wants it."""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from tests.appliance.diagnosis.watched import LAN, is_rtp
from tests.traffic.calls import CallScript, play
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Address, Packet, Wire, checksum, frames_of
from tests.traffic.signalling import Party, Side
from tests.traffic.speech import speech

NS = 1_000_000_000
FAR_SIP, FAR_RTP = "203.0.113.50", "203.0.113.51"
_SPEECH = {side: speech(30.0, seed=seed) for seed, side in enumerate(Side)}
LENGTHS_S = (9.0, 14.0, 11.5, 17.0, 8.0, 21.0, 12.5)
"""How long people talk, in turn."""
EVERY_S = 2.0
"""A new call comes so often."""

Change = Callable[[list[Packet]], list[Packet]]
"""What a fault does to the packets of one call."""
Wires = Callable[[Packet], Wire]


@dataclass(slots=True, kw_only=True)
class Style:
    """What calls are like; a fault replaces some of it."""

    script: Callable[[CallScript], CallScript] = field(default=lambda script: script)
    """Changes how a call goes."""
    change: list[Change] = field(default_factory=list)
    """Changes its packets, in order."""
    wire: Wires = field(default=lambda _: Wire())
    """How a packet is wrapped."""
    tos: Callable[[Packet], int | None] = field(default=lambda _: None)
    """Its traffic class; None: as it is, EF both ways."""


class Player:
    """Plays until it is stopped. `style` may be exchanged meanwhile: calls in progress take the new one too."""

    def __init__(self, lan: socket.socket, beyond: socket.socket) -> None:
        self._out = {True: lan, False: beyond}
        self.style = Style()
        self._due: list[tuple[int, bool, bytes]] = []
        self._next_ns = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._play)
        self.lock = threading.Lock()
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        for out in self._out.values():
            out.close()

    def exchange(self, style: Style) -> None:
        """From now on calls begin in another style; those that go on are broken off, as nobody hangs up."""
        with self.lock:
            self.style = style
            self._due = []
            self._next_ns = time.time_ns()

    def _play(self) -> None:
        number = 0
        while not self._stopping.is_set():
            with self.lock:
                now_ns = time.time_ns()
                if now_ns >= self._next_ns:
                    self._due += self._call(number, now_ns)
                    self._due.sort()
                    number += 1
                    self._next_ns = now_ns + round(EVERY_S * NS)
                ready = 0
                while ready < len(self._due) and self._due[ready][0] <= now_ns:
                    _, lan, frame = self._due[ready]
                    self._send(lan, frame)
                    ready += 1
                del self._due[:ready]
            time.sleep(0.004)

    def _send(self, lan: bool, frame: bytes) -> None:
        try:
            self._out[lan].send(frame)
            self.sent += 1
        except OSError:
            return  # its cable is out

    def _call(self, number: int, now_ns: int) -> Iterator[tuple[int, bool, bytes]]:
        script = self.style.script(_script(number, now_ns))
        packets = play(script).packets
        packets = with_reports(packets)
        for change in self.style.change:
            packets = change(packets)
        for packet in packets:
            for frame in frames_of([packet], self.style.wire(packet)):
                octets, tos = frame.octets, self.style.tos(packet)
                if tos is not None:
                    octets = _marked(octets, tos)
                yield frame.ts_ns, from_lan(packet), octets


def _marked(octets: bytes, tos: int) -> bytes:
    """Untagged IPv4 with another traffic class; a wrong checksum would not get through every bridge."""
    header = bytearray(octets[14:34])
    header[1], header[10:12] = tos, bytes(2)
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return octets[:14] + bytes(header) + octets[34:]


def from_lan(packet: Packet) -> bool:
    return packet.source.host == LAN


def _script(number: int, now_ns: int) -> CallScript:
    line = number % 40
    lan = Party(number=f"03355501{line:02}", sip=Address(LAN, 5060), rtp=Address(LAN, 20000 + 4 * line))
    far = Party(number=f"06987654{line:02}", sip=Address(FAR_SIP, 5060), rtp=Address(FAR_RTP, 30000 + 4 * line))
    out = number % 2 == 0
    talk_s = LENGTHS_S[number % len(LENGTHS_S)] + number % 10 / 10
    media = {
        side: MediaScript(audio=_SPEECH[side], jitter_ns=300_000, seed=2 * number + (side is Side.CALLEE))
        for side in Side
    }
    return CallScript(
        caller=lan if out else far,
        callee=far if out else lan,
        call_id=f"{now_ns}-{number}",
        caller_media=media[Side.CALLER],
        callee_media=media[Side.CALLEE],
        start_ns=now_ns,
        ring_s=0.8,
        talk_s=talk_s,
        reports=False,
    )


def with_reports(packets: list[Packet], lost: Callable[[Packet], int] = lambda _: 0) -> list[Packet]:
    """RTCP of both receivers every 5 s, which tell how much they lost of each stream."""
    streams: dict[bytes, list[Packet]] = {}
    for packet in packets:
        if is_rtp(packet):
            streams.setdefault(packet.payload[8:12], []).append(packet)
    reports = []
    for ssrc, mine in streams.items():
        for at in range(250, len(mine), 250):
            last = mine[at]
            block = _report_block(
                ssrc, min(lost(last) * (at // 250), 0x7FFFFF), int.from_bytes(last.payload[2:4], "big")
            )
            reports.append(
                Packet(
                    ts_ns=last.ts_ns + 30_000_000,
                    source=Address(last.destination.host, last.destination.port + 1),
                    destination=Address(last.source.host, last.source.port + 1),
                    payload=b"\x81\xc9\x00\x07\x00\x00\x00\x01" + block,
                )
            )
    return sorted(packets + reports, key=lambda packet: packet.ts_ns)


def _report_block(ssrc: bytes, lost: int, highest: int) -> bytes:
    return ssrc + b"\0" + lost.to_bytes(3, "big") + highest.to_bytes(4, "big") + bytes(12)


def dropping(is_dropped: Callable[[Packet], bool]) -> Change:
    return lambda packets: [packet for packet in packets if not is_dropped(packet)]


def losing(share: float, concerned: Callable[[Packet], bool]) -> Change:
    """5 in 100 and the like, by sequence number and stream: the same in every run."""

    def lose(packet: Packet) -> bool:
        key = int.from_bytes(packet.payload[2:4], "big") * 2654435761 + int.from_bytes(packet.payload[8:12], "big")
        return is_rtp(packet) and concerned(packet) and key % 10_000 < share * 10_000

    return dropping(lose)


def cutting(keep: Iterable[bytes]) -> Change:
    """Only messages that begin with one of these, and what comes before them."""
    wanted = tuple(keep)
    return dropping(lambda packet: not packet.payload.startswith(wanted))


def repeating(begins: bytes, at_s: Iterable[float]) -> Change:
    """The first message that begins so comes again and again."""

    def change(packets: list[Packet]) -> list[Packet]:
        first = next((packet for packet in packets if packet.payload.startswith(begins)), None)
        if first is None:
            return packets
        again = [replace(first, ts_ns=first.ts_ns + round(second * NS)) for second in at_s]
        return sorted(packets + again, key=lambda packet: packet.ts_ns)

    return change
