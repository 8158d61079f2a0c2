"""Compound RTCP packets: sender and receiver reports, and goodbyes (RFC 3550 section 6.4 and 6.6).

Descriptions, feedback, extended reports and application packets are stepped over. A compound may begin with any of
them (RFC 5506); otherwise the checks are those of RFC 3550 A.2. RTCP that is encrypted (SRTCP) fails them or says
nothing; it is not for here.
"""

from struct import Struct
from typing import NamedTuple

from capture.errors import RtcpError

SENDER_REPORT = 200
RECEIVER_REPORT = 201
GOODBYE = 203

_HEADER = Struct("!BBH")
_SENDER = Struct("!IQIII")
_SSRC = Struct("!I")
_BLOCK = Struct("!IIIIII")


class ReportBlock(NamedTuple):
    """What one receiver says of one source (RFC 3550 section 6.4.1)."""

    ssrc: int
    """The source reported on."""
    fraction_lost: int
    """Loss since the last report, in 1/256."""
    cumulative_lost: int
    """Packets lost in all, signed 24 bits: duplicates make it negative."""
    highest_sequence: int
    """Highest sequence number received, extended to 32 bits by the cycle count."""
    jitter: int
    """Interarrival jitter in RTP timestamp units."""
    last_sr: int
    """Middle 32 bits of the NTP time of the last sender report; 0 without one."""
    delay_since_last_sr: int
    """Delay between receiving that report and this block, in 1/65536 s."""


class SenderReport(NamedTuple):
    """SR: maps the sender's RTP time to wall clock time (RFC 3550 section 6.4.1)."""

    ssrc: int
    """The sender."""
    ntp: int
    """NTP time of the report, 64 bits, 1/2^32 s since 1900."""
    rtp_time: int
    """The same instant in RTP timestamp units, 32 bits."""
    packets: int
    """RTP packets sent since the stream began, modulo 2^32."""
    octets: int
    """Payload octets sent since the stream began, modulo 2^32."""
    blocks: tuple[ReportBlock, ...]
    """What the sender receives."""


class ReceiverReport(NamedTuple):
    """RR: what a participant receives (RFC 3550 section 6.4.2)."""

    ssrc: int
    """The participant who reports."""
    blocks: tuple[ReportBlock, ...]
    """What it receives."""


class Goodbye(NamedTuple):
    """BYE: sources that leave (RFC 3550 section 6.6). Its reason text is not kept."""

    ssrcs: tuple[int, ...]
    """The sources."""


Report = SenderReport | ReceiverReport | Goodbye


def parse(datagram: bytes) -> list[Report]:
    """The reports and goodbyes of a compound packet, in order; other packet types are stepped over.

    Raises `RtcpError`, and nothing else, when versions, lengths, counts or padding contradict each other.
    """
    reports: list[Report] = []
    size, start = len(datagram), 0
    if size == 0:
        raise RtcpError("an empty datagram")
    while start < size:
        if size - start < 4:
            raise RtcpError(f"{size - start} bytes after the last packet of the compound")
        first, packet_type, words = _HEADER.unpack_from(datagram, start)
        end = start + 4 + 4 * words
        if first >> 6 != 2:
            raise RtcpError(f"version {first >> 6} at byte {start}")
        if end > size:
            raise RtcpError(f"packet at byte {start} is {end - start} bytes long, {size - start} are there")
        content_end = end - _padding_bytes(datagram, start, end) if first & 0x20 else end
        if packet_type == SENDER_REPORT:
            reports.append(_sender_report(datagram, start + 4, content_end, first & 0x1F))
        elif packet_type == RECEIVER_REPORT:
            reports.append(_receiver_report(datagram, start + 4, content_end, first & 0x1F))
        elif packet_type == GOODBYE:
            reports.append(_goodbye(datagram, start + 4, content_end, first & 0x1F))
        start = end
    return reports


def _padding_bytes(datagram: bytes, start: int, end: int) -> int:
    """Length of the padding, its count included: only in the last packet, a multiple of four (RFC 3550 6.4.1)."""
    count = datagram[end - 1]
    if end != len(datagram) or count == 0 or count % 4 or count > end - start - 4:
        raise RtcpError(f"padding of {count} bytes in the packet at byte {start}")
    return count


def _sender_report(datagram: bytes, start: int, end: int, count: int) -> SenderReport:
    blocks_start = start + _SENDER.size
    blocks = _blocks(datagram, blocks_start, end, count)
    ssrc, ntp, rtp_time, packets, octets = _SENDER.unpack_from(datagram, start)
    return SenderReport(ssrc=ssrc, ntp=ntp, rtp_time=rtp_time, packets=packets, octets=octets, blocks=blocks)


def _receiver_report(datagram: bytes, start: int, end: int, count: int) -> ReceiverReport:
    blocks = _blocks(datagram, start + 4, end, count)
    return ReceiverReport(ssrc=_SSRC.unpack_from(datagram, start)[0], blocks=blocks)


def _goodbye(datagram: bytes, start: int, end: int, count: int) -> Goodbye:
    if start + 4 * count > end:
        raise RtcpError(f"{count} sources in {end - start} bytes of a goodbye")
    return Goodbye(ssrcs=tuple(_SSRC.unpack_from(datagram, start + 4 * index)[0] for index in range(count)))


def _blocks(datagram: bytes, start: int, end: int, count: int) -> tuple[ReportBlock, ...]:
    """The report blocks; what follows them is a profile's extension."""
    if start + _BLOCK.size * count > end:
        raise RtcpError(f"{count} report blocks in {max(end - start, 0)} bytes")
    return tuple([_block(datagram, start + _BLOCK.size * index) for index in range(count)])


def _block(datagram: bytes, start: int) -> ReportBlock:
    ssrc, lost, highest, jitter, last_sr, delay = _BLOCK.unpack_from(datagram, start)
    return ReportBlock(
        ssrc=ssrc,
        fraction_lost=lost >> 24,
        cumulative_lost=((lost & 0xFFFFFF) ^ 0x800000) - 0x800000,
        highest_sequence=highest,
        jitter=jitter,
        last_sr=last_sr,
        delay_since_last_sr=delay,
    )
