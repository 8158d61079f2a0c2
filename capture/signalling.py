"""Frames of the journal's signalling blocks in; dialogs, RTCP evidence and signs of encryption out.

IP fragments are put together (`datagrams`), TCP segments ordered (RFC 9293), SIP framed and parsed (RFC 3261),
RTCP read (RFC 3550). Sans-IO; all tables are bounded; what does not parse is counted and skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeVar

import numpy as np

from capture import rtcp, sip
from capture.datagrams import Datagram, datagrams, reassemble
from capture.dialog import DialogTable
from capture.endpoint import Endpoint
from capture.errors import RtcpError, SipError
from capture.fragments import FragmentReassembler
from capture.frames import FrameKind
from capture.records import RecordBatch
from capture.rtcp import ReceiverReport, SenderReport
from capture.sip import SipMessage
from capture.sipcall import SipCall
from capture.sipstream import SipStream
from capture.sipwire import SIPS_PORT, begins_like_sip
from capture.tcpstream import TcpReassembler

UDP_HEADER_BYTES = 8
TCP_HEADER_BYTES = 20
MAX_REMEMBERED = 16_384
"""Entries of each table of evidence, two a call; the one not heard of for longest makes room."""
MAX_STREAMS = 1024
"""TCP directions whose framing is kept, 256 KiB each at most; the one idle for longest makes room, mostly between
messages."""
_TLS_HANDSHAKE = 0x16
_UDP, _TCP, _FRAGMENT = int(FrameKind.UDP), int(FrameKind.TCP), int(FrameKind.FRAGMENT)
_K = TypeVar("_K")
_V = TypeVar("_V")


class Protection(StrEnum):
    """What was seen that makes media unreadable."""

    DTLS = "dtls"
    ZRTP = "zrtp"


@dataclass(slots=True, kw_only=True)
class SignallingCounters:
    """What became of the signalling frames."""

    sip: int = 0
    sip_malformed: int = 0
    sip_skipped_bytes: int = 0
    rtcp: int = 0
    rtcp_malformed: int = 0
    stun: int = 0
    keying: int = 0
    tls_connections: int = 0
    other: int = 0
    truncated: int = 0


class ClockReport(NamedTuple):
    """A sender report: RTP time against the sender's wall clock and our capture time."""

    ntp: int
    rtp_time: int
    arrival_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoosePacket:
    """A media packet that came in IP fragments and so is in no media block."""

    ts_ns: int
    source: Endpoint
    destination: Endpoint
    payload: bytes


@dataclass(slots=True, kw_only=True)
class Signalling:
    """State of the signalling seen so far. Plain data, so that it can be kept in a snapshot."""

    dialogs: DialogTable = field(default_factory=DialogTable)
    fragments: FragmentReassembler = field(default_factory=FragmentReassembler)
    tcp: TcpReassembler = field(default_factory=TcpReassembler)
    streams: dict[bytes, SipStream] = field(default_factory=dict)
    """Framing of each TCP direction, by the key of `tcp`."""
    losses: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """Cumulative loss that receivers reported, by the sender's address and SSRC."""
    clocks: dict[tuple[bytes, int], ClockReport] = field(default_factory=dict)
    """Latest sender report, by the sender's address and SSRC."""
    protected: dict[Endpoint, Protection] = field(default_factory=dict)
    """Addresses that negotiated keys we cannot see."""
    tls: dict[bytes, None] = field(default_factory=dict)
    """Directions of SIP over TLS already counted."""
    counters: SignallingCounters = field(default_factory=SignallingCounters)
    loose: list[LoosePacket] = field(default_factory=list)
    """Media found in fragments; the caller takes them away."""

    def receive(self, batch: RecordBatch) -> Iterator[tuple[int, SipCall | None]]:
        """Read frames in order. Yields before each frame its time and None, and after it each call it changed."""
        for ts_ns, cut, frame in datagrams(batch):
            yield ts_ns, None
            self.counters.truncated += cut
            for call in self._frame(ts_ns, frame):
                yield ts_ns, call

    def finish(self, now_ns: int) -> list[SipCall]:
        """Read what TCP connections still hold at the end of the input."""
        changed: list[SipCall] = []
        for key, chunks in self.tcp.flush():
            changed += self._chunks(now_ns, key, chunks)
        for key in list(self.streams):
            changed += self._chunks(now_ns, key, [(b"", True)])
        return changed

    def _frame(self, ts_ns: int, frame: Datagram) -> list[SipCall]:
        if frame.kind == _FRAGMENT:
            whole = reassemble(self.fragments, ts_ns, frame)
            if whole is None or (whole.kind == _TCP and not self._carries_sip(whole)):
                return []
            frame = whole
        if frame.kind == _UDP:
            return self._udp(ts_ns, frame.addresses, frame.data, frame.truncated)
        if frame.kind == _TCP:
            return self._tcp(ts_ns, frame.addresses, frame.data)
        self.counters.other += 1
        return []

    def _carries_sip(self, segment: Datagram) -> bool:
        """Whether a TCP segment out of fragments belongs to SIP, which nobody could tell before: on a mirror through a
        tunnel all large segments come in fragments, whatever they carry."""
        data = segment.data
        if len(data) < TCP_HEADER_BYTES:
            return False
        first = np.frombuffer(data[(data[12] >> 4) * 4 :][:4].ljust(4, b"\0"), ">u4")
        known = segment.addresses + data[:4] in self.tcp.directions
        tls = SIPS_PORT.to_bytes(2, "big") in (data[0:2], data[2:4])
        return known or tls or bool(begins_like_sip(first)[0])

    def _udp(self, ts_ns: int, addresses: bytes, data: bytes, truncated: bool) -> list[SipCall]:
        if len(data) <= UDP_HEADER_BYTES:
            return []
        source, destination = _endpoints(addresses, data)
        length = int.from_bytes(data[4:6], "big")
        payload = data[UDP_HEADER_BYTES : length if length > UDP_HEADER_BYTES else len(data)]
        first = payload[0]
        if first >> 6 == 2 and len(payload) > 1:
            if 192 <= payload[1] <= 223:
                self._rtcp(ts_ns, source, destination, payload)
            elif len(payload) >= 12:
                self.loose.append(LoosePacket(ts_ns=ts_ns, source=source, destination=destination, payload=payload))
            return []
        if first < 4 and payload[4:8] == b"\x21\x12\xa4\x42":
            self.counters.stun += 1
        elif 20 <= first <= 25 and payload[1:2] == b"\xfe":
            self._keying(source, destination, Protection.DTLS)
        elif first == 0x10 and payload[4:8] == b"ZRTP":
            self._keying(source, destination, Protection.ZRTP)
        else:
            return self._datagram(ts_ns, source, destination, payload, truncated)
        return []

    def _datagram(
        self, ts_ns: int, source: Endpoint, destination: Endpoint, payload: bytes, truncated: bool
    ) -> list[SipCall]:
        if not payload.strip(b"\r\n\0 \t"):
            return []  # keep-alive (RFC 5626)
        try:
            message = sip.parse(payload, truncated=truncated)
        except SipError:
            self.counters.sip_malformed += 1
            return []
        return self._message(ts_ns, source, destination, "udp", message)

    def _message(
        self, ts_ns: int, source: Endpoint, destination: Endpoint, transport: str, message: SipMessage
    ) -> list[SipCall]:
        self.counters.sip += 1
        call = self.dialogs.receive(ts_ns, source, destination, transport, message)
        return [] if call is None else [call]

    def _tcp(self, ts_ns: int, addresses: bytes, data: bytes) -> list[SipCall]:
        if len(data) < TCP_HEADER_BYTES:
            return []
        header_bytes = (data[12] >> 4) * 4
        if header_bytes < TCP_HEADER_BYTES:
            return []
        payload = data[header_bytes:]
        key = addresses + data[:4]
        if SIPS_PORT in (int.from_bytes(data[0:2], "big"), int.from_bytes(data[2:4], "big")):
            if payload[:1] == bytes((_TLS_HANDSHAKE,)) and payload[5:6] == b"\x01" and key not in self.tls:
                self.counters.tls_connections += 1
                _remember(self.tls, key, None)
            return []
        changed: list[SipCall] = []
        for deadline, late_key, chunks in self.tcp.expire(ts_ns):
            changed += self._chunks(deadline, late_key, chunks)
        sequence = int.from_bytes(data[4:8], "big")
        return changed + self._chunks(ts_ns, key, self.tcp.segment(ts_ns, key, sequence, data[13], payload))

    def _chunks(self, ts_ns: int, key: bytes, chunks: list[tuple[bytes, bool]]) -> list[SipCall]:
        if not chunks:
            return []
        stream = self.streams.pop(key, None) or SipStream()
        _remember(self.streams, key, stream, MAX_STREAMS)
        source, destination = _endpoints(key[:-4], key[-4:])
        changed: list[SipCall] = []
        malformed, skipped = stream.malformed, stream.skipped_bytes
        for chunk, gap in chunks:
            if gap:
                stream.gap()
            for message in stream.feed(chunk):
                changed += self._message(ts_ns, source, destination, "tcp", message)
        self.counters.sip_malformed += stream.malformed - malformed
        self.counters.sip_skipped_bytes += stream.skipped_bytes - skipped
        return changed

    def _rtcp(self, ts_ns: int, source: Endpoint, destination: Endpoint, payload: bytes) -> None:
        try:
            reports = rtcp.parse(payload)
        except RtcpError:
            self.counters.rtcp_malformed += 1
            return
        self.counters.rtcp += 1
        for report in reports:
            if isinstance(report, SenderReport):
                clock = ClockReport(ntp=report.ntp, rtp_time=report.rtp_time, arrival_ns=ts_ns)
                _remember(self.clocks, (source.ip, report.ssrc), clock)
            if isinstance(report, SenderReport | ReceiverReport):
                for block in report.blocks:
                    _remember(self.losses, (destination.ip, block.ssrc), block.cumulative_lost)

    def _keying(self, source: Endpoint, destination: Endpoint, protection: Protection) -> None:
        self.counters.keying += 1
        _remember(self.protected, source, protection)
        _remember(self.protected, destination, protection)


def _endpoints(addresses: bytes, ports: bytes) -> tuple[Endpoint, Endpoint]:
    half = len(addresses) // 2
    source = Endpoint(addresses[:half], int.from_bytes(ports[0:2], "big"))
    return source, Endpoint(addresses[half:], int.from_bytes(ports[2:4], "big"))


def _remember(table: dict[_K, _V], key: _K, value: _V, limit: int = MAX_REMEMBERED) -> None:
    table.pop(key, None)  # what is heard of again is not the oldest any more
    table[key] = value
    if len(table) > limit:
        del table[next(iter(table))]
