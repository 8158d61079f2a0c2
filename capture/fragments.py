"""IP reassembly for IPv4 and IPv6 (RFC 791 section 3.2, RFC 815, RFC 8200 section 4.5).

Always on, since large INVITEs arrive in fragments; bounded in datagrams, bytes and packet time, and counted. Where
fragments overlap, what arrived first stays: RFC 5722 has an IPv6 host discard such a datagram, but a recorder loses
no call to a forged fragment and says so in `overlapped`. Identifications come again soon where one switch sends all
that it mirrors in tunnels: 65,536 packets are less than a second (RFC 4963), so what another content says is believed.
It knows nothing of IP headers: the caller makes the key and cuts the payload.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from capture.sparse import SparseBytes

TIMEOUT_NS = 30_000_000_000
"""Packet time after its first fragment at which an unfinished datagram is given up."""
ECHO_NS = 1_000_000_000
"""Packet time for which the same fragments of a finished datagram are copies (a doubled mirror), not a new one; and
after which others of an unfinished one are a new one."""
MAX_PAYLOAD_BYTES = 65_535
"""No IP payload is longer; a fragment that reaches beyond is an attack or damage."""


@dataclass(slots=True, kw_only=True)
class PartialDatagram:
    """A datagram some fragments of which were seen."""

    first_ns: int
    """Packet time of the fragment that came first."""
    total_bytes: int = -1
    """Length of the whole payload, known from the last fragment; -1 before."""
    content: SparseBytes = field(default_factory=SparseBytes)
    """What has arrived."""

    def admits(self, offset: int, more: bool, length: int) -> bool:
        """Whether a fragment agrees with the datagram's end as known so far."""
        end = offset + length
        if self.total_bytes >= 0:
            return end <= self.total_bytes and (more or end == self.total_bytes)
        return more or self.content.end <= end

    def agrees(self, offset: int, more: bool, data: bytes) -> bool:
        """Whether a fragment says nothing else than those that were seen."""
        return self.admits(offset, more, len(data)) and self.content.agrees(offset, data)


class Finished(NamedTuple):
    """A datagram that was completed."""

    at_ns: int
    payload: bytes


@dataclass(slots=True, kw_only=True)
class FragmentReassembler:
    """Fragments in, whole IP payloads out. The object itself is plain state: it can be serialised at any point."""

    max_datagrams: int = 4096
    """Unfinished datagrams kept at once; finished ones are remembered in the same number."""
    max_bytes: int = 16 * 1024 * 1024
    """Memory for all unfinished datagrams, overhead included."""
    max_finished_bytes: int = 4 * 1024 * 1024
    """Memory for the payloads of finished ones that are remembered."""
    partial: dict[bytes, PartialDatagram] = field(default_factory=dict)
    """Unfinished datagrams by the caller's key, oldest first."""
    finished: dict[bytes, Finished] = field(default_factory=dict)
    """Datagrams that were completed, by key, oldest first; forgotten after `ECHO_NS`."""
    finished_bytes: int = 0
    """Payloads of these."""
    held_bytes: int = 0
    """Memory that the unfinished datagrams take now."""
    reassembled: int = 0
    """Datagrams completed."""
    expired: int = 0
    """Datagrams given up after `TIMEOUT_NS`."""
    overflowed: int = 0
    """Datagrams given up because a limit was reached."""
    overlapped: int = 0
    """Fragments that covered bytes of their datagram a second time without being a copy."""
    repeated: int = 0
    """Copies: fragments that came again unchanged, or whose datagram had just been completed."""
    malformed: int = 0
    """Fragments that no sender can mean: empty, too long, not in units of 8 bytes, or against the known end."""

    def add(self, ts_ns: int, key: bytes, offset: int, more: bool, data: bytes) -> bytes | None:
        """Take one fragment; the complete IP payload when it was the one that was missing.

        `ts_ns` is packet time, `offset` in bytes, `more` the More Fragments flag. `key` stands for source, destination,
        protocol, identification, and whatever else keeps two datagrams apart (interface, VLAN). Never raises on input.
        """
        if _is_malformed(offset, more, len(data)):
            self.malformed += 1
            return None
        if offset == 0 and not more:  # RFC 6946: an atomic fragment has nothing to do with others of its identification
            self.reassembled += 1
            return bytes(data)
        self._expire(ts_ns)
        if self._is_echo(ts_ns, key, offset, data):
            self.repeated += 1
            return None
        datagram = self._datagram(ts_ns, key, offset, more, data)
        if not datagram.admits(offset, more, len(data)):
            self.malformed += 1
            return None
        return self._insert(ts_ns, key, datagram, offset, more, data)

    def _insert(
        self, ts_ns: int, key: bytes, datagram: PartialDatagram, offset: int, more: bool, data: bytes
    ) -> bytes | None:
        before = datagram.content.cost_bytes
        if not more:
            datagram.total_bytes = offset + len(data)
        if datagram.content.insert(offset, bytes(data)):
            copy = datagram.content.holds(offset, data)
            self.repeated += copy
            self.overlapped += not copy
        self.held_bytes += datagram.content.cost_bytes - before
        if datagram.content.held_bytes == datagram.total_bytes:
            return self._finish(ts_ns, key)
        self._enforce_limits()
        return None

    def _datagram(self, ts_ns: int, key: bytes, offset: int, more: bool, data: bytes) -> PartialDatagram:
        """Return the unfinished datagram that a fragment is of, or begin one."""
        datagram = self.partial.get(key)
        age_ns = 0 if datagram is None else ts_ns - datagram.first_ns
        # When time stepped, one that is not the oldest may be too old.
        if datagram is not None and (
            age_ns > TIMEOUT_NS or (age_ns > ECHO_NS and not datagram.agrees(offset, more, data))
        ):
            self._drop(key)
            self.expired += 1
            datagram = None
        if datagram is None:
            datagram = self.partial[key] = PartialDatagram(first_ns=ts_ns)
        return datagram

    def _finish(self, ts_ns: int, key: bytes) -> bytes:
        datagram = self._drop(key)
        self.reassembled += 1
        payload = b"".join(datagram.content.pieces)
        self._forget(key)
        self.finished[key] = Finished(ts_ns, payload)
        self.finished_bytes += len(payload)
        while len(self.finished) > self.max_datagrams or self.finished_bytes > self.max_finished_bytes:
            self._forget(next(iter(self.finished)))
        return payload

    def _forget(self, key: bytes) -> None:
        finished = self.finished.pop(key, None)
        self.finished_bytes -= 0 if finished is None else len(finished.payload)

    def _is_echo(self, ts_ns: int, key: bytes, offset: int, data: bytes) -> bool:
        finished = self.finished.get(key)
        if finished is None or abs(ts_ns - finished.at_ns) > ECHO_NS:
            return False
        return finished.payload[offset : offset + len(data)] == data

    def _expire(self, ts_ns: int) -> None:
        while self.partial and ts_ns - self.partial[oldest := next(iter(self.partial))].first_ns > TIMEOUT_NS:
            self._drop(oldest)
            self.expired += 1
        while self.finished and ts_ns - self.finished[oldest := next(iter(self.finished))].at_ns > ECHO_NS:
            self._forget(oldest)

    def _enforce_limits(self) -> None:
        while len(self.partial) > self.max_datagrams or self.held_bytes > self.max_bytes:
            self._drop(next(iter(self.partial)))
            self.overflowed += 1

    def _drop(self, key: bytes) -> PartialDatagram:
        datagram = self.partial.pop(key)
        self.held_bytes -= datagram.content.cost_bytes
        return datagram


def _is_malformed(offset: int, more: bool, length: int) -> bool:
    if length == 0 or offset < 0 or offset + length > MAX_PAYLOAD_BYTES:
        return True
    return offset % 8 != 0 or (more and length % 8 != 0)
