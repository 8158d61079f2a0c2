"""One RTP stream's share of a part: its packets in order, each told for what it is, on the call's time line."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from capture import packets as journal_packets
from capture.errors import UnsupportedSuiteError
from capture.journal import ROW_PREFIX_BYTES
from capture.packets import Packets
from capture.runs import StreamKey
from capture.sequence import SequenceCarry, Sequenced, put_in_order
from capture.srtp import SrtpStream, looks_protected
from dsp import dtmf, timeline
from dsp.drift import drift_ppm
from dsp.g711 import Law
from dsp.jitter import Jitter, interarrival_jitter
from dsp.timeline import SAMPLE_NS, Placement, TimelineCarry

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

OTHER, PCMU, PCMA, COMFORT_NOISE, TELEPHONE_EVENT = range(5)
_KINDS = {"PCMU": PCMU, "PCMA": PCMA, "CN": COMFORT_NOISE, "TELEPHONE-EVENT": TELEPHONE_EVENT}
_EVENT_BYTES = 4
_JUDGED_PACKETS = 1000
_MARKER_BYTE = ROW_PREFIX_BYTES + 1
"""Where a journal row has marker and payload type."""
LAWS = {PCMU: Law.PCMU, PCMA: Law.PCMA}


@dataclass(slots=True, kw_only=True)
class StreamState:
    """What is carried from part to part of one stream. Plain data for snapshots."""

    key: StreamKey
    codecs: dict[int, str]
    """Payload type to codec name."""
    keys: list[tuple[str, bytes]] = field(default_factory=list)
    """SDES suites and keys that may protect it."""
    protected: bool = False
    """Its packets are SRTP."""
    chosen_key: int = 0
    """Which of `keys` fits."""
    roc: int = 0
    """SRTP rollover counter reached."""
    sequence: SequenceCarry | None = None
    line: TimelineCarry | None = None
    end_sample: int | None = None
    """Sample of the call behind the last packet placed."""
    spoken: tuple[int, str] = (0, "")
    """Payload type and codec in the last part with speech."""
    quiet: bool = False
    """The sender announced comfort noise and has not spoken since."""
    cut_bytes: int = 0
    """Payload bytes that the snap length cut off the last packet placed."""
    closed_ns: int = -1
    """Capture time up to which packets were taken into earlier parts."""
    undecrypted: int = 0
    """Packets that no key opened."""


@dataclass(slots=True, kw_only=True)
class Track:
    """A stream's packets, placed. Positions are samples of the call."""

    state: StreamState
    packets: Packets
    ordered: Sequenced
    kind: npt.NDArray[np.uint8]
    """What each packet of `ordered` is: `PCMU`, `PCMA`, `COMFORT_NOISE`, ..."""
    audio: IntArray
    """Which packets of `ordered` carry samples."""
    start: IntArray
    """Position of each audio packet."""
    samples: IntArray
    """Its samples."""
    placement: Placement
    too_late_ns: IntArray
    """Capture times of packets that came after their part was closed."""

    @property
    def end(self) -> IntArray:
        """Position behind each audio packet."""
        return self.start + self.samples

    @property
    def has_audio(self) -> bool:
        """Whether there is anything to hear."""
        return len(self.audio) > 0

    @property
    def bare(self) -> IntArray:
        """Which packets of `ordered` carry samples of which the capture kept none, when that is so of all speech."""
        if self.has_audio:
            return np.zeros(0, np.int64)
        index = self.ordered.index
        cut = (self.packets.payload_bytes[index] == 0) & (self.packets.missing_bytes[index] > 0)
        return np.flatnonzero(((self.kind == PCMU) | (self.kind == PCMA)) & cut)

    @property
    def ends_quiet(self) -> bool:
        """Whether the last packet is comfort noise."""
        return bool(len(self.kind) and self.kind[-1] == COMFORT_NOISE)

    @property
    def quiet_start(self) -> int:
        """Where the stream begins: its first speech, or the comfort noise that it begins with."""
        first, start = int(self.audio[0]), int(self.start[0])
        if not first or self.kind[0] != COMFORT_NOISE or self.ordered.epoch[0] != self.ordered.epoch[first]:
            return start
        return start - int(self.ordered.rtp_time[first] - self.ordered.rtp_time[0])

    @property
    def is_unreadable(self) -> bool:
        """Whether it is SRTP whose keys were not in the signalling."""
        return self.state.protected and not self.state.keys

    def dominant_codec(self) -> tuple[int, str]:
        """Return payload type and codec of most packets, speech before anything else."""
        types = self.packets.payload_type[self.ordered.index]
        if self.has_audio:
            types = types[self.audio]
        if not len(types):
            return 0, ""
        payload_type = int(np.bincount(types).argmax())
        return payload_type, self.state.codecs.get(payload_type, "")

    def consumed_rows(self, consumed: int, *, final: bool) -> int:
        """Return how many packets of `ordered` belong to the first `consumed` speech packets; in the end, all."""
        if final:
            return len(self.ordered.index)
        return int(self.audio[consumed - 1]) + 1 if consumed else 0

    def longest_line(self, consumed: int) -> IntArray:
        """Return the packets of `ordered` that are the first `consumed` speech packets' longest line."""
        line = self.placement.line[:consumed]
        if not len(line) or line[-1] == 0:
            return self.audio[:consumed]
        longest: IntArray = self.audio[:consumed][line == np.bincount(line).argmax()]
        return longest

    def cut_bytes(self, row: int) -> int:
        """Return how many payload bytes the snap length cut off a speech packet; row -1 is the part before's last."""
        if row < 0:
            return self.state.cut_bytes
        return int(self.packets.missing_bytes[self.ordered.index[self.audio[row]]])

    def is_marked(self, at: int) -> bool:
        """Whether a packet of `ordered` has the marker bit."""
        index = self.ordered.index[at]
        return bool(self.packets.pieces[self.packets.piece[index]][self.packets.row[index], _MARKER_BYTE] & 0x80)

    def event_samples(self, at: int) -> int:
        """Return how long the telephone event in a packet of `ordered` lasted; 0 for any other packet."""
        index = int(self.ordered.index[at])
        if self.kind[at] != TELEPHONE_EVENT or self.packets.payload_bytes[index] < _EVENT_BYTES:
            return 0
        _, _, high, low = _payload(self.packets, index, _EVENT_BYTES)
        return high << 8 | low

    def jitter(self, line: IntArray) -> Jitter:
        """Interarrival jitter of the packets of a line."""
        index = self.ordered.index[line]
        if len(self.ordered.reordered):
            arrival = np.argsort(index, kind="stable")
            line, index = line[arrival], index[arrival]
        return interarrival_jitter(self.packets.arrival_ns[index], self.ordered.rtp_time[line])

    def drift_ppm(self, line: IntArray) -> float | None:
        """Drift of the sender's clock over the packets of a line."""
        return drift_ppm(self.packets.arrival_ns[self.ordered.index[line]], self.ordered.rtp_time[line])

    def events(self, origin_ns: int) -> list[tuple[str, int, int]]:
        """Return the keys pressed (RFC 4733): digit, position, samples."""
        members = np.flatnonzero(self.kind == TELEPHONE_EVENT)
        index = self.ordered.index[members]
        long_enough = self.packets.payload_bytes[index] >= _EVENT_BYTES
        members, index = members[long_enough], index[long_enough]
        if not len(members):
            return []
        payloads = np.array([_payload(self.packets, i, _EVENT_BYTES) for i in index.tolist()], np.uint8)
        times = self.ordered.rtp_time[members]
        return [
            (event.digit, self._position(event.start_rtp, times, index, origin_ns), event.duration_samples)
            for event in dtmf.events(times, payloads)
        ]

    def _position(self, rtp_time: int, times: IntArray, index: IntArray, origin_ns: int) -> int:
        if self.has_audio:
            nearest = int(np.argmin(np.abs(self.ordered.rtp_time[self.audio] - rtp_time)))
            return int(self.start[nearest]) + rtp_time - int(self.ordered.rtp_time[self.audio[nearest]])
        arrival = int(self.packets.arrival_ns[index[int(np.argmin(np.abs(times - rtp_time)))]])
        return (arrival - origin_ns) // SAMPLE_NS


def _payload(packets: Packets, index: int, size: int) -> list[int]:
    row = packets.pieces[packets.piece[index]][packets.row[index]]
    start = int(packets.payload_start[index])
    return [int(value) for value in row[start : start + size]]


def is_protected(packets: Packets, codecs: dict[int, str], *, negotiated: bool) -> bool:
    """Whether packets are SRTP: by their length where it tells, else as negotiated.

    Encryption is often offered and not used, and ZRTP is used without a word in the signalling.
    """
    kinds = _kinds(codecs)[packets.payload_type[:_JUDGED_PACKETS]]
    speech = np.flatnonzero((kinds == PCMU) | (kinds == PCMA))
    told = looks_protected(
        packets.sequence[speech],
        packets.rtp_time[speech],
        packets.payload_bytes[speech] + packets.missing_bytes[speech],
    )
    return negotiated if told is None else told


def lay(state: StreamState, packets: Packets, origin_ns: int) -> Track:
    """Order, decrypt and place the packets of one stream that are not yet in a part.

    Args:
        state: what earlier parts left; only its SRTP fields are changed.
        packets: what the journal holds within the time that counts, in arrival order.
        origin_ns: capture time of the call's sample 0.
    """
    ordered = put_in_order(packets.sequence, packets.rtp_time, packets.arrival_ns, state.sequence)
    late_ns = packets.arrival_ns[ordered.before_carry]
    if state.protected and state.keys:
        packets, ordered = _decrypt(state, packets, ordered)
    readable = state.keys or not state.protected
    kind = _kinds(state.codecs if readable else {})[packets.payload_type[ordered.index]]
    size = packets.payload_bytes[ordered.index]
    audio = np.flatnonzero(((kind == PCMU) | (kind == PCMA)) & (size > 0))
    placement = timeline.place(
        packets.arrival_ns[ordered.index[audio]],
        ordered.rtp_time[audio],
        size[audio],
        origin_ns=origin_ns,
        floor=state.end_sample,
        carry=state.line,
        epoch=ordered.epoch[audio],
    )
    return Track(
        state=state,
        packets=packets,
        ordered=ordered,
        kind=kind,
        audio=audio,
        start=placement.start,
        samples=size[audio],
        placement=placement,
        too_late_ns=late_ns[late_ns > state.closed_ns],
    )


def carry(track: Track, consumed: int) -> None:
    """Move the stream's state behind its first `consumed` audio packets."""
    if not consumed:
        return
    state, row = track.state, int(track.audio[consumed - 1])
    arrival_ns = int(track.packets.arrival_ns[track.ordered.index[row]])
    rtp_time = int(track.ordered.rtp_time[row])
    state.sequence = _sequence_carry(track, row)
    anchor_ns = int(track.placement.anchors_ns[track.placement.line[consumed - 1]])
    state.line = TimelineCarry(anchor_ns=anchor_ns, transit_ns=arrival_ns - rtp_time * SAMPLE_NS)
    state.end_sample = int(track.start[consumed - 1] + track.samples[consumed - 1])
    state.cut_bytes = track.cut_bytes(consumed - 1)
    state.spoken = track.dominant_codec()
    state.quiet = track.ends_quiet


def _sequence_carry(track: Track, row: int) -> SequenceCarry | None:
    """Where the numbers go on behind a packet of `ordered`: behind the last one whose number is believed."""
    ordered, arrival_ns = track.ordered, track.packets.arrival_ns
    sound = np.flatnonzero(~ordered.odd[: row + 1])
    odd_until_ns = int(arrival_ns[ordered.index[row]]) if ordered.odd[row] else -1
    if ordered.odd[row] and not track.state.protected:  # copies of SRTP are numbered as they were before decryption
        copies = ordered.duplicate[ordered.original == row]
        odd_until_ns = max([odd_until_ns, *arrival_ns[copies].tolist()])
    if not len(sound):
        earlier = track.state.sequence
        return None if earlier is None else replace(earlier, odd_until_ns=odd_until_ns)
    last = int(sound[-1])
    return SequenceCarry(
        epoch=int(ordered.epoch[last]),
        sequence=int(ordered.sequence[last]),
        rtp_time=int(ordered.rtp_time[last]),
        arrival_ns=int(arrival_ns[ordered.index[last]]),
        odd_until_ns=odd_until_ns,
    )


def _kinds(codecs: dict[int, str]) -> npt.NDArray[np.uint8]:
    table = np.zeros(128, np.uint8)
    for payload_type, codec in codecs.items():
        if 0 <= payload_type < 128:
            table[payload_type] = _KINDS.get(codec.upper(), OTHER)
    return table


def _decrypt(state: StreamState, packets: Packets, ordered: Sequenced) -> tuple[Packets, Sequenced]:
    datagrams = [packets.datagram(index) for index in ordered.index.tolist()]
    clear = _open(state, datagrams)
    state.undecrypted += clear.count(None)
    opened, kept = journal_packets.replace_datagrams(packets.select(ordered.index), clear)
    return opened, Sequenced(
        index=np.arange(len(opened)),
        sequence=ordered.sequence[kept],
        rtp_time=ordered.rtp_time[kept],
        epoch=ordered.epoch[kept],
        odd=ordered.odd[kept],
        duplicate=ordered.duplicate,
        original=np.searchsorted(kept, ordered.original),
        reordered=np.flatnonzero(np.isin(kept, ordered.reordered)),
        before_carry=np.zeros(0, np.int64),
    )


def _open(state: StreamState, datagrams: Sequence[bytes]) -> list[bytes | None]:
    """Decrypt with one key after the other what those before it left closed: a re-INVITE may change the key."""
    clear: list[bytes | None] = [None] * len(datagrams)
    roc, newest = state.roc, -1
    for number in sorted(range(len(state.keys)), key=lambda n: n != state.chosen_key):
        closed = [place for place, plain in enumerate(clear) if plain is None]
        if not closed:
            break
        suite, key_salt = state.keys[number]
        try:
            stream = SrtpStream(suite, key_salt, state.key[2], roc=roc)
        except UnsupportedSuiteError:
            continue
        opened = stream.decrypt([datagrams[place] for place in closed])
        for place, plain in zip(closed, opened, strict=True):
            clear[place] = plain
        latest = max((place for place in closed if clear[place] is not None), default=-1)
        if latest > newest:
            newest, state.chosen_key, state.roc = latest, number, stream.roc
    return clear
