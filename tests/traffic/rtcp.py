"""RTCP sender reports that go with RTP packets (RFC 3550 section 6.4.1)."""

import struct
from collections.abc import Iterator, Sequence

from tests.traffic.pcapwriter import Address, Packet

_NTP_EPOCH_S = 2_208_988_800
_EVERY_NS = 5_000_000_000


def sender_report(ts_ns: int, ssrc: int, timestamp: int, packets: int, octets: int) -> bytes:
    """A compound packet: sender report and canonical name."""
    seconds, fraction_ns = divmod(ts_ns, 1_000_000_000)
    ntp = (seconds + _NTP_EPOCH_S, (fraction_ns << 32) // 1_000_000_000)
    report = struct.pack("!BBHIIIIII", 0x80, 200, 6, ssrc, *ntp, timestamp, packets, octets)
    name = f"{ssrc:08x}@example".encode()
    item = struct.pack("!BB", 1, len(name)) + name
    item += bytes(4 - len(item) % 4)
    return report + struct.pack("!BBHI", 0x81, 202, 1 + len(item) // 4, ssrc) + item


def sender_reports(packets: Sequence[Packet]) -> Iterator[Packet]:
    """One report every 5 s on the port after the media's, about the packets (of one sender) so far."""
    due_ns, sent, octets = (packets[0].ts_ns + _EVERY_NS if packets else 0), 0, 0
    for packet in packets:
        sent, octets = sent + 1, octets + len(packet.payload) - 12
        if packet.ts_ns < due_ns:
            continue
        timestamp, ssrc = struct.unpack_from("!II", packet.payload, 4)
        yield Packet(
            ts_ns=packet.ts_ns + 200_000,
            source=Address(packet.source.host, packet.source.port + 1),
            destination=Address(packet.destination.host, packet.destination.port + 1),
            payload=sender_report(packet.ts_ns, ssrc, timestamp, sent, octets),
        )
        due_ns += _EVERY_NS
