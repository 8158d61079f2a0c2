"""Sends the known call from a network interface, in real time: `scapycall.py INTERFACE CALLER CALLEE`.

A program of its own, which shares nothing with the rest of the product but two files of mu-law codes: packets are built
by scapy (GPL), so that the test does not believe the product's own reading of the standards.
"""

import sys
import time
from pathlib import Path

from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.rtp import RTP
from scapy.packet import Raw

CALLER, CALLEE = ("192.0.2.1", "02:00:00:00:00:01"), ("192.0.2.2", "02:00:00:00:00:02")
SIP_PORT, CALLER_RTP, CALLEE_RTP = 5060, 40_000, 40_002
SLOT_S, SLOT_BYTES = 0.02, 160


def main() -> int:
    """Send everything."""
    interface, caller, callee = sys.argv[1], Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]).read_bytes()
    begun = time.monotonic() + 0.05
    with conf.L2socket(iface=interface) as out:
        for at_s, packet in sorted(_call(caller, callee), key=lambda each: each[0]):
            time.sleep(max(begun + at_s - time.monotonic(), 0.0))
            out.send(packet)
    return 0


def _call(caller: bytes, callee: bytes) -> list[tuple[float, Ether]]:
    """Every packet with its time: INVITE, answer at 0.2 s, speech, BYE."""
    talk_s = len(caller) / SLOT_BYTES * SLOT_S
    packets = [
        (0.0, _sip("INVITE", to_callee=True, body=_sdp(CALLER[0], CALLER_RTP))),
        (0.02, _sip("SIP/2.0 100 Trying", to_callee=False)),
        (0.1, _sip("SIP/2.0 180 Ringing", to_callee=False)),
        (0.2, _sip("SIP/2.0 200 OK", to_callee=False, body=_sdp(CALLEE[0], CALLEE_RTP))),
        (0.22, _sip("ACK", to_callee=True)),
        (0.4 + talk_s, _sip("BYE", to_callee=True, sequence=2)),
        (0.42 + talk_s, _sip("SIP/2.0 200 OK", to_callee=False, sequence=2, method="BYE")),
    ]
    packets += [(0.26 + n * SLOT_S, _rtp(n, codes, to_callee=True)) for n, codes in _slots(caller)]
    packets += [(0.27 + n * SLOT_S, _rtp(n, codes, to_callee=False)) for n, codes in _slots(callee)]
    return packets


def _slots(codes: bytes) -> list[tuple[int, bytes]]:
    return [(at // SLOT_BYTES, codes[at : at + SLOT_BYTES]) for at in range(0, len(codes), SLOT_BYTES)]


def _between(to_callee: bool, source_port: int, destination_port: int) -> Ether:
    here, there = (CALLER, CALLEE) if to_callee else (CALLEE, CALLER)
    return (
        Ether(src=here[1], dst=there[1])
        / IP(src=here[0], dst=there[0])
        / UDP(sport=source_port, dport=destination_port)
    )


def _rtp(number: int, codes: bytes, *, to_callee: bool) -> Ether:
    ports = (CALLER_RTP, CALLEE_RTP) if to_callee else (CALLEE_RTP, CALLER_RTP)
    rtp = RTP(
        payload_type=0,
        sequence=(65_500 + number) & 0xFFFF,  # over its end, as on any day
        timestamp=(0xFFFF_F000 + number * SLOT_BYTES) & 0xFFFF_FFFF,
        sourcesync=0x0AC0FFEE if to_callee else 0x0BADCAFE,
        marker=int(number == 0),
    )
    return _between(to_callee, *ports) / rtp / Raw(codes)


def _sip(start: str, *, to_callee: bool, body: str = "", sequence: int = 1, method: str = "INVITE") -> Ether:
    is_request = not start.startswith("SIP/2.0")
    line = f"{start} sip:selftest-callee@{CALLEE[0]} SIP/2.0" if is_request else start
    named = start if is_request else method
    to_tag = "" if start in ("INVITE", "SIP/2.0 100 Trying") else ";tag=callee"
    lines = [
        line,
        f"Via: SIP/2.0/UDP {CALLER[0]}:{SIP_PORT};branch=z9hG4bKselftest{sequence}{'ack' if start == 'ACK' else ''}",
        "Max-Forwards: 70",
        f"From: <sip:selftest-caller@{CALLER[0]}>;tag=caller",
        f"To: <sip:selftest-callee@{CALLEE[0]}>{to_tag}",
        "Call-ID: selftest@selftest.invalid",
        f"CSeq: {sequence} {named}",
        *(["Content-Type: application/sdp"] if body else []),
        f"Content-Length: {len(body)}",
    ]
    return _between(to_callee, SIP_PORT, SIP_PORT) / Raw(("\r\n".join([*lines, "", ""]) + body).encode())


def _sdp(host: str, port: int) -> str:
    lines = [
        "v=0",
        f"o=selftest 1 1 IN IP4 {host}",
        "s=selftest",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=ptime:20",
        "a=sendrecv",
    ]
    return "\r\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
