"""Who is asked for on a network and does not answer (ARP, RFC 826). Pure; the clock is an argument.

Somebody who finds nobody asks three times in as many seconds. What is answered, by whatever ARP packet, is forgotten:
an answer that the mirror does not show ends the asking all the same.
"""

import ipaddress
from dataclasses import dataclass, field

LEAST_ASKED = 3
WITHIN_S = 10.0
"""So many requests of one asker within so long."""
MAX_TARGETS = 1024
"""Addresses remembered; the one that was asked for longest ago makes room."""
_HEAD = bytes.fromhex("0001080006 04".replace(" ", ""))
_REQUEST = 1
FRAME_BYTES = 42


@dataclass(slots=True)
class _Asked:
    asker: bytes
    times_s: list[float] = field(default_factory=list)


@dataclass(slots=True)
class ArpTable:
    """Requests without an answer."""

    _asked: dict[bytes, _Asked] = field(default_factory=dict)

    def take(self, frame: bytes, now_s: float) -> None:
        """Take an Ethernet frame of ARP; anything else is nothing."""
        packet = frame[14:FRAME_BYTES]
        if len(packet) < FRAME_BYTES - 14 or packet[:6] != _HEAD:
            return
        sender, target = packet[14:18], packet[24:28]
        self._asked.pop(sender, None)
        if int.from_bytes(packet[6:8], "big") != _REQUEST or sender == target:
            return
        asked = self._asked.pop(target, None)
        if asked is None or asked.asker != sender:
            asked = _Asked(asker=sender)
        asked.times_s = [*(each for each in asked.times_s if now_s - each < WITHIN_S), now_s]
        self._asked[target] = asked
        if len(self._asked) > MAX_TARGETS:
            del self._asked[next(iter(self._asked))]

    def unanswered(self, now_s: float) -> list[str]:
        """Return the addresses that somebody asks for again and again, in order."""
        found = [
            target
            for target, asked in self._asked.items()
            if sum(now_s - each < WITHIN_S for each in asked.times_s) >= LEAST_ASKED
        ]
        return [str(ipaddress.IPv4Address(target)) for target in sorted(found)]
