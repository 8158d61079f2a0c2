"""Finding SIP by its first bytes, and the TCP connections that carry it. Whole batches at once."""

import numpy as np
import numpy.typing as npt

from capture.frames import FrameKind, Frames
from capture.octets import IntArray, gather
from capture.records import RecordBatch

METHODS = (
    *(b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"SUBSCRIBE", b"NOTIFY", b"PUBLISH"),
    *(b"INFO", b"REFER", b"MESSAGE", b"UPDATE"),
)
_FIRST_WORDS = np.array(sorted({int.from_bytes((m + b" ")[:4], "big") for m in (*METHODS, b"SIP/")}), np.uint32)
SIPS_PORT = 5061
MAX_CONNECTIONS = 65_536
_TCP_HEADER_BYTES = 20
_TLS_HANDSHAKE = 0x16
_SCHEMES = (b" sip:", b" sips:", b" tel:")


def begins_like_sip(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Whether payloads begin with a SIP method or version, told by their first four bytes as big-endian words."""
    place = np.minimum(np.searchsorted(_FIRST_WORDS, words), len(_FIRST_WORDS) - 1)
    return np.asarray(_FIRST_WORDS[place] == words)


class SipConnections:
    """Remembers which TCP connections carry SIP, so that the rest of a message is kept too."""

    def __init__(self) -> None:
        self._known: dict[int, None] = {}

    def select(self, batch: RecordBatch, frames: Frames, sip_ports: frozenset[int]) -> IntArray:
        """Return the numbers of the TCP frames to keep: connections on SIP ports or that were seen to carry SIP.

        On the port of SIP over TLS only handshakes are kept: they tell that there is signalling nobody can read.
        """
        rows = frames.select(FrameKind.TCP)
        if not len(rows):
            return rows
        rows = rows[frames.transport_end[rows] - frames.transport_start[rows] >= _TCP_HEADER_BYTES]
        header = gather(batch.buffer, frames.transport_start[rows], _TCP_HEADER_BYTES)
        sound = header[:, 12] >> 4 >= 5
        rows, header = rows[sound], header[sound]
        start = frames.transport_start[rows]
        payload = start + (header[:, 12] >> 4).astype(np.int64) * 4
        captured = frames.transport_end[rows] - payload
        flags = header[:, 13] & 0x07
        keep = (captured > 0) | (flags != 0)
        first = gather(batch.buffer, np.minimum(payload, len(batch.buffer) - 64), 4)
        ports = header.view(">u2")[:, :2]
        on_port = np.isin(ports, list(sip_ports)).any(axis=1)
        tls = (ports == SIPS_PORT).any(axis=1)
        handshake = tls & (captured > 0) & (first[:, 0] == _TLS_HANDSHAKE)
        connection = _connections(batch, frames, rows, ports)
        known = np.isin(connection, np.fromiter(self._known, np.uint64, len(self._known)))
        for row in self._learn(batch, payload, captured, first, connection, wanted=~tls & ~known):
            # Kept from the recognised segment on, whatever else of the connection happens to be in this batch.
            known[row:] |= connection[row:] == connection[row]
        kept: IntArray = rows[(keep & (on_port | known) & ~tls) | handshake]
        return kept

    def _learn(
        self,
        batch: RecordBatch,
        payload: IntArray,
        captured: IntArray,
        first: npt.NDArray[np.uint8],
        connection: npt.NDArray[np.uint64],
        wanted: npt.NDArray[np.bool_],
    ) -> list[int]:
        """Recognise connections by a message's first bytes; return the rows that gave a new one away."""
        learned: list[int] = []
        candidates = np.flatnonzero(wanted & (captured >= 8) & begins_like_sip(first.view(">u4")[:, 0]))
        for row in candidates.tolist():
            head = batch.buffer[payload[row] : payload[row] + min(int(captured[row]), 80)].tobytes()
            name = int(connection[row])
            if name not in self._known and (head.startswith(b"SIP/2.0 ") or any(scheme in head for scheme in _SCHEMES)):
                self._known[name] = None
                learned.append(row)
                if len(self._known) > MAX_CONNECTIONS:
                    del self._known[next(iter(self._known))]
        return learned


def _connections(
    batch: RecordBatch, frames: Frames, rows: IntArray, ports: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint64]:
    """Hash of each frame's connection, the same in both directions."""
    source, destination = ports[:, 0].astype(np.uint64), ports[:, 1].astype(np.uint64)
    ip_start = frames.ip_start[rows]
    six = frames.ip_version[rows] == 6
    header = gather(batch.buffer, ip_start, 40)
    words = header.view("<u4").astype(np.uint64)
    mix = np.uint64(0x9E3779B97F4A7C15)
    one_end = np.where(six, np.uint64(0), words[:, 3])
    other_end = np.where(six, np.uint64(0), words[:, 4])
    for word in range(4) if six.any() else ():
        one_end[six] = (one_end[six] + words[six, 2 + word]) * mix
        other_end[six] = (other_end[six] + words[six, 6 + word]) * mix
    one_end = (one_end * mix ^ source) * mix
    other_end = (other_end * mix ^ destination) * mix
    return np.asarray((one_end ^ one_end >> np.uint64(31)) + (other_end ^ other_end >> np.uint64(31)))
