"""`python -m tests.lab.relay`: passes frames from one interface to another, impaired and wrapped as asked.

It prints `ready` when it reads, ends by SIGTERM or after its time, and then writes what it did as JSON:
`{"dropped": [[ssrc, sequence], ...], "delayed": [...], "missed": frames that it could not read in time}`.
"""

import argparse
import heapq
import json
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.lab.impairments import Impairer, Impairment, rtp_of
from tests.lab.wrappings import WRAPPINGS, Wrapper

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_OUTGOING = 263, 6, 4
_SO_RCVBUFFORCE = 33
_BUFFER_BYTES = 8 << 20


@dataclass(slots=True, kw_only=True)
class Relay:
    """The frames under way, and the log. Time is an argument, in nanoseconds."""

    impairer: Impairer
    wrap: Wrapper
    dropped: list[tuple[int, int]] = field(default_factory=list)
    delayed: list[tuple[int, int]] = field(default_factory=list)
    _waiting: list[tuple[int, int, bytes]] = field(default_factory=list)
    _received: int = 0
    _sent: int = 0

    def receive(self, frame: bytes, now_ns: int) -> None:
        """A frame came in."""
        due_ns = now_ns
        if (packet := rtp_of(frame)) is not None:
            fate = self.impairer.fate(packet)
            if fate.dropped:
                self.dropped.append((packet.ssrc, packet.sequence))
                return
            if fate.late_ms:
                self.delayed.append((packet.ssrc, packet.sequence))
                due_ns += fate.late_ms * 1_000_000
        heapq.heappush(self._waiting, (due_ns, self._received, frame))
        self._received += 1

    def due(self, now_ns: int) -> list[bytes]:
        """The frames to be sent by now, in order, wrapped."""
        frames = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            frames.append(self.wrap(heapq.heappop(self._waiting)[2], self._sent))
            self._sent += 1
        return frames

    def next_deadline_ns(self) -> int | None:
        """When the next frame is due; None: nothing waits."""
        return self._waiting[0][0] if self._waiting else None


def pump(relay: Relay, source: socket.socket, target: socket.socket, stopped: Callable[[], bool], end_ns: int) -> None:
    """Runs until told to stop, or until the end of its time."""
    while not stopped() and (now_ns := time.monotonic_ns()) < end_ns:
        deadline_ns = relay.next_deadline_ns()
        wait_ns = 50_000_000 if deadline_ns is None else min(max(deadline_ns - now_ns, 0), 50_000_000)
        if select.select([source], [], [], wait_ns / 1e9)[0]:
            frame, (_, _, kind, *_) = source.recvfrom(65536)
            if kind != _PACKET_OUTGOING:
                relay.receive(frame, time.monotonic_ns())
        for each in relay.due(time.monotonic_ns()):
            target.send(each)


def opened(interface: str) -> socket.socket:
    """A raw socket on an interface, with room for a pause of this program."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    raw.bind((interface, _ETH_P_ALL))
    return raw


def missed_frames(raw: socket.socket) -> int:
    """Frames that the kernel had no room for."""
    _, drops = struct.unpack("II", raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    return int(drops)


def main() -> None:
    """Relays as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="interface to read")
    parser.add_argument("target", help="interface to write")
    parser.add_argument("--wrap", choices=WRAPPINGS, default="plain")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="ends by itself after that long")
    parser.add_argument("--log", type=Path, required=True)
    for each in fields(Impairment):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)
    chosen = parser.parse_args()
    impairment = Impairment(**{each.name: getattr(chosen, each.name) for each in fields(Impairment)})
    relay = Relay(impairer=Impairer(impairment=impairment, seed=chosen.seed), wrap=WRAPPINGS[chosen.wrap])
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: ended.append(number))
    with opened(chosen.source) as source, opened(chosen.target) as target:
        print("ready", flush=True)
        pump(relay, source, target, lambda: bool(ended), time.monotonic_ns() + round(chosen.seconds * 1e9))
        log = {"dropped": relay.dropped, "delayed": relay.delayed, "missed": missed_frames(source)}
    chosen.log.write_text(json.dumps(log))


if __name__ == "__main__":
    main()
