"""One direction of a call: RTP as a phone sends it, and the truth of every sample (RFC 3550, 3551, 4733, 3389).

Time is cut into slots of one packet each. A slot carries speech, a digit, comfort noise or nothing; some are lost.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pylibsrtp

from tests.traffic.g711 import LINEAR, PCMA, PCMU, decode, encode
from tests.traffic.pcapwriter import Address, Packet
from tests.traffic.speech import Audio

RATE_HZ = 8000
STATIC_PAYLOAD_TYPES = {PCMU: 0, PCMA: 8, "G729": 18}
COMFORT_NOISE_TYPE = 13
EVENT_TYPE = 101
_DIGITS = "0123456789*#ABCD"


class Cause(StrEnum):
    """Why a slot carries no speech."""

    LOSS = "loss"
    HOLD = "hold"
    DTMF = "dtmf"
    COMFORT_NOISE = "comfort_noise"
    SILENCE = "silence_suppression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """A key pressed."""

    at_s: float
    digit: str
    seconds: float = 0.12


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaScript:
    """What one party sends, from its first packet on. All times count from there; slots count from 0."""

    audio: Audio
    codec: str = PCMU
    """PCMU or PCMA; any other codec is filled with noise and has no truth."""
    payload_type: int | None = None
    """None: the static one."""
    ptime_ms: int = 20
    lost: frozenset[int] = frozenset()
    """Slots whose packets never arrive."""
    late_ns: dict[int, int] = field(default_factory=dict)
    """Extra delay of a slot's packets; more than `ptime_ms` reorders them."""
    twice: frozenset[int] = frozenset()
    """Slots whose packets arrive twice."""
    digits: tuple[Digit, ...] = ()
    quiet_s: tuple[tuple[float, float], ...] = ()
    """Intervals (start, end) of comfort noise."""
    suppressed_s: tuple[tuple[float, float], ...] = ()
    """Intervals (start, end) in which the sender says nothing at all (silence suppression)."""
    restarts_s: tuple[float, ...] = ()
    """Instants at which the sender starts again with another SSRC, sequence and timestamp."""
    jitter_ns: int = 0
    """Upper bound of the random delay of each packet."""
    skew_ppm: float = 0.0
    """How much faster the sender's clock runs than ours."""
    first_sequence: int | None = None
    first_timestamp: int | None = None
    srtp_key: bytes = b""
    """30 bytes key||salt: the media go as SRTP, AES_CM_128_HMAC_SHA1_80 (RFC 4568)."""
    seed: int = 0

    @property
    def number(self) -> int:
        """The payload type in the packets."""
        return STATIC_PAYLOAD_TYPES[self.codec] if self.payload_type is None else self.payload_type

    @property
    def slot_samples(self) -> int:
        """Samples in one packet."""
        return self.ptime_ms * RATE_HZ // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTruth:
    """One SSRC as it must come out: sample 0 is the first one of the first speech packet that arrived."""

    ssrc: int
    source: Address
    destination: Address
    payload_type: int
    codec: str
    first_ns: int
    """Instant of sample 0: RTP time mapped by the least delay over the stream's first 10 s."""
    codes: npt.NDArray[np.uint8]
    present: npt.NDArray[np.bool_]
    """Which samples arrived; the others are silence in the recording."""
    gaps: tuple[tuple[int, int, Cause], ...]
    """(first sample, samples, cause) of everything absent, in order."""
    packets: int
    """Distinct packets that arrived, digits and comfort noise included."""
    lost: int
    duplicates: int

    @property
    def pcm(self) -> Audio:
        """The samples that a recording must hold, shape `(samples,)`."""
        return np.where(self.present, decode(self.codes, self.codec), 0).astype(np.int16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The outcome of a `MediaScript`."""

    packets: list[Packet]
    truths: tuple[StreamTruth, ...]


@dataclass(slots=True, kw_only=True)
class _Stream:
    """One SSRC being sent."""

    ssrc: int
    sequence: int
    timestamp: int
    first_slot: int
    causes: list[Cause | None] = field(default_factory=list)
    """Per slot: None when its speech arrived."""
    delays_ns: list[int] = field(default_factory=list)
    """Arrival minus ideal time of packets of the first 10 s."""
    arrived: int = 0
    missing: int = 0
    """Lost so far, as far as the packets before and after could tell."""
    lost: int = 0
    """The same up to the last packet that arrived: what is lost at either end nobody can know."""
    duplicates: int = 0
    talking: bool = False
    """The packet before this one was speech too (otherwise the next carries the marker)."""


def send(
    script: MediaScript,
    source: Address,
    destination: Address,
    start_ns: int,
    held: Callable[[int], bool] = lambda _ts_ns: False,
) -> Sent:
    """Plays the script from `start_ns` on; `held(ts_ns)` tells whether the party is silent on account of a hold."""
    sender = _Sender(script, source, destination, start_ns)
    for slot in range(len(script.audio) // script.slot_samples):
        sender.play(slot, held(sender.ideal_ns(slot)))
    truths = tuple(sender.truth(stream) for stream in sender.streams) if script.codec in LINEAR else ()
    return Sent(packets=sender.packets, truths=truths)


class _Sender:
    def __init__(self, script: MediaScript, source: Address, destination: Address, start_ns: int) -> None:
        self.script, self.source, self.destination, self.start_ns = script, source, destination, start_ns
        self.packets: list[Packet] = []
        self.streams: list[_Stream] = []
        self._random = random.Random(f"{script.seed} {source} {destination}")
        used = len(script.audio) // script.slot_samples * script.slot_samples
        if script.codec in LINEAR:
            self.codes = encode(script.audio[:used], script.codec)
        else:
            self.codes = np.frombuffer(self._random.randbytes(used), dtype=np.uint8)
        self._digits = {
            slot: digit for digit in script.digits for slot in self._slots(digit.at_s, digit.at_s + digit.seconds)
        }
        self._quiet = {slot for interval in script.quiet_s for slot in self._slots(*interval)}
        self._suppressed = {slot for interval in script.suppressed_s for slot in self._slots(*interval)}
        self._restarts = {self._slots(at_s, at_s).start for at_s in script.restarts_s}
        self._srtp: pylibsrtp.Session | None = None

    def _slots(self, start_s: float, end_s: float) -> range:
        per_s = 1000 / self.script.ptime_ms
        return range(round(start_s * per_s), round(end_s * per_s))

    def ideal_ns(self, slot: int) -> int:
        """When the slot's packet leaves."""
        return self.start_ns + round(slot * self.script.ptime_ms * 1_000_000 / (1 + self.script.skew_ppm * 1e-6))

    def play(self, slot: int, held: bool) -> None:
        """Sends what the slot carries and notes what arrived."""
        if not self.streams or slot in self._restarts:
            self._restart(slot)
        stream = self.streams[-1]
        cause, bodies = self._content(slot, held)
        if bodies and slot in self.script.lost:
            stream.sequence += len(bodies)
            stream.missing += len(bodies) if stream.arrived else 0
            cause, bodies = cause or Cause.LOSS, []
        for place, (payload_type, marker, back, body) in enumerate(bodies):
            self._emit(slot, place, stream, payload_type, marker, back, body)
        stream.causes.append(cause)
        stream.talking = cause in (None, Cause.LOSS)

    def _restart(self, slot: int) -> None:
        script, first = self.script, not self.streams
        sequence = (
            script.first_sequence if first and script.first_sequence is not None else self._random.getrandbits(16)
        )
        timestamp = (
            script.first_timestamp if first and script.first_timestamp is not None else self._random.getrandbits(32)
        )
        self.streams.append(
            _Stream(ssrc=self._random.getrandbits(32), sequence=sequence, timestamp=timestamp, first_slot=slot)
        )
        if script.srtp_key:
            policy = pylibsrtp.Policy(key=script.srtp_key, ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
            self._srtp = pylibsrtp.Session(policy)

    def _content(self, slot: int, held: bool) -> tuple[Cause | None, list[tuple[int, bool, int, bytes]]]:
        """Why there is no speech (None: there is), and (payload type, marker, slots back of the timestamp, body)."""
        if held:
            return Cause.HOLD, []
        if slot in self._digits:
            return Cause.DTMF, list(self._event(slot, self._digits[slot]))
        if slot in self._quiet:
            starts = slot - 1 not in self._quiet
            return Cause.COMFORT_NOISE, [(COMFORT_NOISE_TYPE, False, 0, b"\x4e")] if starts else []
        if slot in self._suppressed:
            return Cause.SILENCE, []
        size = self.script.slot_samples
        body = self.codes[slot * size : (slot + 1) * size]
        if self.script.codec not in LINEAR:
            body = body[: self.script.ptime_ms]  # 8 kbit/s
        return None, [(self.script.number, not self.streams[-1].talking, 0, body.tobytes())]

    def _event(self, slot: int, digit: Digit) -> Iterator[tuple[int, bool, int, bytes]]:
        slots = self._slots(digit.at_s, digit.at_s + digit.seconds)
        ends, back = slot == slots[-1], slot - slots[0]
        body = struct.pack("!BBH", _DIGITS.index(digit.digit), ends << 7 | 10, (back + 1) * self.script.slot_samples)
        for _ in range(3 if ends else 1):
            yield EVENT_TYPE, back == 0, back, body

    def _emit(
        self, slot: int, place: int, stream: _Stream, payload_type: int, marker: bool, back: int, body: bytes
    ) -> None:
        timestamp = stream.timestamp + (slot - back - stream.first_slot) * self.script.slot_samples
        packet = struct.pack(
            "!BBHII", 0x80, marker << 7 | payload_type, stream.sequence & 0xFFFF, timestamp & 0xFFFFFFFF, stream.ssrc
        )
        packet += body
        if self._srtp is not None:
            packet = self._srtp.protect(packet)
        delay_ns = self.script.late_ns.get(slot, 0) + self._random.randint(0, self.script.jitter_ns)
        self._arrive(self.ideal_ns(slot) + delay_ns + place * 1_000_000, packet)
        stream.sequence += 1
        stream.arrived += 1
        stream.lost = stream.missing
        if slot - stream.first_slot < 10_000 // self.script.ptime_ms and payload_type == self.script.number:
            nominal_ns = (
                self.ideal_ns(stream.first_slot) + (slot - stream.first_slot) * self.script.ptime_ms * 1_000_000
            )
            stream.delays_ns.append(self.ideal_ns(slot) + delay_ns - nominal_ns)
        if slot in self.script.twice:
            self._arrive(self.ideal_ns(slot) + delay_ns + place * 1_000_000 + 300_000, packet)
            stream.duplicates += 1

    def _arrive(self, ts_ns: int, packet: bytes) -> None:
        self.packets.append(Packet(ts_ns=ts_ns, source=self.source, destination=self.destination, payload=packet))

    def truth(self, stream: _Stream) -> StreamTruth:
        """What a recorder can know of the stream: from the first speech that arrived to the last."""
        size = self.script.slot_samples
        heard = [place for place, cause in enumerate(stream.causes) if cause is None]
        first, end = (heard[0], heard[-1] + 1) if heard else (0, 0)
        causes = stream.causes[first:end]
        start = (stream.first_slot + first) * size
        delay_ns = min(stream.delays_ns, default=0) + first * self.script.ptime_ms * 1_000_000
        return StreamTruth(
            ssrc=stream.ssrc,
            source=self.source,
            destination=self.destination,
            payload_type=self.script.number,
            codec=self.script.codec,
            first_ns=self.ideal_ns(stream.first_slot) + delay_ns,
            codes=self.codes[start : start + len(causes) * size],
            present=np.repeat(np.array([cause is None for cause in causes], dtype=np.bool_), size),
            gaps=tuple(_gaps(causes, size)),
            packets=stream.arrived,
            lost=stream.lost,
            duplicates=stream.duplicates,
        )


def _gaps(causes: list[Cause | None], size: int) -> Iterator[tuple[int, int, Cause]]:
    place = 0
    for cause, run in groupby(causes):
        length = len(list(run))
        if cause is not None:
            yield place * size, length * size, cause
        place += length


def impaired(script: MediaScript, *, loss: float, reordered: float = 0.0, seed: int) -> MediaScript:
    """The script with that share of speech packets lost and that share delayed behind the next one.

    Only speech well inside a run of speech is touched, so that the cause of every gap is beyond dispute.
    """
    slots = len(script.audio) // script.slot_samples
    rng = random.Random(seed)
    special = [(digit.at_s, digit.at_s + digit.seconds) for digit in script.digits]
    special += [*script.quiet_s, *script.suppressed_s, *((at_s, at_s) for at_s in script.restarts_s)]
    per_s = 1000 / script.ptime_ms
    plain = [
        slot
        for slot in range(5, slots - 5)
        if not any(start * per_s - 3 <= slot <= end * per_s + 3 for start, end in special)
    ]
    lost = frozenset(rng.sample(plain, round(len(plain) * loss)))
    candidates = [slot for slot in plain if slot not in lost]
    late_ns = dict.fromkeys(rng.sample(candidates, round(len(plain) * reordered)), script.ptime_ms * 1_300_000)
    return replace(script, lost=lost, late_ns=late_ns)
