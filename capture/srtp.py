"""Decryption of SRTP whose keys stand in clear SDP (RFC 3711, RFC 7714; key exchange RFC 4568), through pylibsrtp.

The rollover counter (ROC), the upper bits of a packet's index, is not in the packet, and pylibsrtp cannot set it. It
is reached with our own packets: empty RTP packets, protected here under the stream's key, lead a receiving session on
by less than half a cycle each, three a cycle, until the index wanted lies ahead. Since the ROC is authenticated, a
wrong one is noticed, and a stream whose ROC is not known (picked up mid-call, or after an outage of more than half a
cycle) is found by trying one after the other.

Not supported by pylibsrtp: AES_256_CM and AES_192_CM, F8, NULL, an MKI in the packet, packets over 1500 bytes.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

import numpy as np
import numpy.typing as npt
from pylibsrtp import Error, Policy, Session

from capture.errors import UnsupportedSuiteError

REPLAY_WINDOW_PACKETS = 4096
"""How far behind the newest a late packet is still decrypted."""
ROC_SEARCH_CYCLES = 128
"""Rollover counters tried for a packet: 46 hours at 50 packets a second."""
SEARCHES = 16
"""Searches of one stream object, so that forged packets cost a bounded time (one search: about 2 ms)."""
LOST_AFTER_FAILURES = 8
"""Failures in a row after which a stream that was once decrypted is searched for again."""

_TAG_BYTES: Final = (4, 8, 10, 12, 14, 16, 20)
"""What authentication (4, 8, 10 or 16 bytes) and a master key identifier (4) add to a payload."""
_JUDGED_PACKETS: Final = 500
_HEADER: Final = Struct("!BxHxxxxI")
_SEQUENCE: Final = Struct("!H")
_CYCLE: Final = 1 << 16
_HOP: Final = 0x7FFF


@dataclass(frozen=True, slots=True, kw_only=True)
class _Suite:
    profile: int
    key_bytes: int


_SUITES: Final = {
    "AES_CM_128_HMAC_SHA1_80": _Suite(profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80, key_bytes=30),
    "AES_CM_128_HMAC_SHA1_32": _Suite(profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_32, key_bytes=30),
    "AEAD_AES_128_GCM": _Suite(profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM, key_bytes=28),
    "AEAD_AES_256_GCM": _Suite(profile=Policy.SRTP_PROFILE_AEAD_AES_256_GCM, key_bytes=44),
}


def looks_protected(
    sequence: npt.NDArray[np.uint16], rtp_time: npt.NDArray[np.uint32], payload_bytes: npt.NDArray[np.int64]
) -> bool | None:
    """Whether G.711 packets are SRTP: their payloads are longer than the time they take, by the authentication tag.

    All arrays `(n,)`, in arrival order. None when no packet has a successor that tells.
    """
    rtp_time = rtp_time[:_JUDGED_PACKETS]
    following = np.flatnonzero(np.diff(sequence[:_JUDGED_PACKETS]) == 1)
    if not len(following):
        return None
    surplus = payload_bytes[following] - np.diff(rtp_time)[following].view(np.int32)
    if 2 * np.count_nonzero(surplus == 0) > len(surplus):
        return False
    return True if 2 * np.count_nonzero(np.isin(surplus, _TAG_BYTES)) > len(surplus) else None


class SrtpStream:
    """One SSRC under one key. Not serialisable: make it anew with the `roc` of the one before."""

    def __init__(self, suite: str, key_salt: bytes, ssrc: int, *, roc: int = 0) -> None:
        """`suite` is RFC 4568's or RFC 7714's name, `key_salt` the master key followed by the master salt.

        `roc` is the rollover counter expected at the first packet: the search goes `ROC_SEARCH_CYCLES` beyond it. It
        need not be right, since a wrong one does not authenticate. Raises `UnsupportedSuiteError`.
        """
        known = _SUITES.get(suite)
        if known is None:
            raise UnsupportedSuiteError(f"crypto suite {suite[:40]!r} cannot be decrypted")
        if len(key_salt) != known.key_bytes:
            raise UnsupportedSuiteError(f"{suite} takes {known.key_bytes} bytes of key and salt, not {len(key_salt)}")
        self._policy = Policy(
            key=bytes(key_salt), ssrc_type=Policy.SSRC_SPECIFIC, ssrc_value=ssrc, srtp_profile=known.profile
        )
        self._policy.window_size = REPLAY_WINDOW_PACKETS
        self._ssrc = ssrc
        self._session = Session(self._policy)
        self._roc = roc
        self._index = -1
        self._failures = 0
        self._searches_left = SEARCHES
        self.failed = 0
        """Packets given back as None: not authentic, damaged, of another stream, too long, or seen before."""

    @property
    def roc(self) -> int:
        """Rollover counter of the newest packet decrypted; before the first, the one given."""
        return self._index // _CYCLE if self._index >= 0 else self._roc

    def decrypt(self, packets: Sequence[bytes]) -> list[bytes | None]:
        """RTP packets in clear, in the same places; None where a packet could not be authenticated.

        `packets` are whole SRTP packets in order of extended sequence number, without duplicates. Calls may follow
        each other; a packet of an earlier place may come up to `REPLAY_WINDOW_PACKETS` late.
        """
        clear: list[bytes | None] = []
        for packet in packets:
            plain = self._unprotect(packet)
            if plain is None:
                self._failures += 1
                plain = self._search(packet) if self._search_due() else None
                if plain is not None:
                    self._decrypt_again(packets, clear)
            if plain is not None:
                self._failures = 0
            clear.append(plain)
        self.failed += clear.count(None)
        return clear

    def _unprotect(self, packet: bytes) -> bytes | None:
        try:
            plain = self._session.unprotect(packet)
        except (Error, ValueError):  # ValueError: longer than pylibsrtp's buffer
            return None
        self._index = max(self._index, _estimate(self._index, _SEQUENCE.unpack_from(packet, 2)[0]))
        return plain

    def _search_due(self) -> bool:
        """At failure 1, 2, 4, 8 ... in a row: soon for a stream never decrypted, later for one that was."""
        if not self._searches_left or (self._index >= 0 and self._failures < LOST_AFTER_FAILURES):
            return False
        return self._failures & (self._failures - 1) == 0

    def _search(self, packet: bytes) -> bytes | None:
        """Try a packet under one rollover counter after the other; the stream goes on where it is authentic."""
        self._searches_left -= 1
        if len(packet) < _HEADER.size:
            return None
        sequence: int = _SEQUENCE.unpack_from(packet, 2)[0]
        session = Session(self._policy)
        hops = self._hops(session)
        next(hops)
        # Only ahead of what was decrypted: a fresh session would take a replayed packet for a new one.
        nearest = self._index + 1 + (sequence - self._index - 1) % _CYCLE
        for index in range(nearest, (self.roc + ROC_SEARCH_CYCLES) * _CYCLE, _CYCLE):
            # So far below that our own packet is never taken for a late one of the stream's.
            hops.send(index - REPLAY_WINDOW_PACKETS)
            try:
                plain = session.unprotect(packet)
            except (Error, ValueError):
                continue
            self._session, self._index = session, index
            return plain
        return None

    def _hops(self, session: Session) -> Generator[None, int, None]:
        """Lead a session on to each index sent in here, ascending."""
        sender, index = Session(self._policy), 0
        goal = yield
        while True:
            while index < goal:
                index = min(index + _HOP, goal)
                session.unprotect(sender.protect(_HEADER.pack(0x80, index % _CYCLE, self._ssrc)))
            goal = yield

    def _decrypt_again(self, packets: Sequence[bytes], clear: list[bytes | None]) -> None:
        """Give the packets of this call that failed right before the stream was found a second chance."""
        for place in range(max(len(clear) - self._failures + 1, 0), len(clear)):
            clear[place] = self._unprotect(packets[place])


def _estimate(index: int, sequence: int) -> int:
    """The index libsrtp takes a sequence number for (RFC 3711 section 3.3.1 and appendix A)."""
    if index <= _CYCLE // 2:
        return sequence
    cycle, newest = divmod(index, _CYCLE)
    if newest < _CYCLE // 2:
        cycle -= sequence - newest > _CYCLE // 2
    else:
        cycle += newest - _CYCLE // 2 > sequence
    return cycle * _CYCLE + sequence
