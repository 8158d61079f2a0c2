"""A capture for measuring: many concurrent calls, both directions, 20 ms packets, written by numpy at the disk's pace.

    python -m tests.traffic.bulk --calls 500 --seconds 60 --output bulk.pcap

Every call has its INVITE..ACK before the media and its BYE after, every stream an RTCP sender report each 5 s. Even
calls speak PCMU, odd ones PCMA. Calls start evenly over the first two seconds, so that packets of all calls interleave.
The file is made one second at a time: memory does not grow with its length.
"""

import argparse
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tests.traffic.calls import CallScript, play
from tests.traffic.g711 import PCMA, PCMU, encode
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Address, FrameWriter, Link, Packet, Wire, mac, packed
from tests.traffic.rtcp import sender_report
from tests.traffic.signalling import Party
from tests.traffic.speech import speech

SLOT_SAMPLES = 160
SLOT_NS = 20_000_000
SLOTS_PER_S = 50
SECOND_NS = 1_000_000_000
START_NS = 1_767_287_045_000_000_000
RING_S = 0.5
STAGGER_NS = 2 * SECOND_NS
REPORT_SLOTS = 5 * SLOTS_PER_S
TRACKS = 16
TRACK_SLOTS = 20 * SLOTS_PER_S

RECORD = np.dtype(
    [
        ("seconds", "<u4"), ("fraction_ns", "<u4"), ("captured", "<u4"), ("wire", "<u4"),
        ("ethernet", "V14"),
        ("ip_start", "V4"), ("identification", ">u2"), ("ip_rest", "V4"), ("ip_checksum", ">u2"), ("addresses", "V8"),
        ("ports", "V4"), ("udp_length", ">u2"), ("udp_checksum", ">u2"),
        ("rtp_flags", "u1"), ("rtp_type", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4"),
        ("payload", f"V{SLOT_SAMPLES}"),
    ]
)  # fmt: skip
"""One pcap record of 16 + 214 bytes."""
OPAQUE = np.dtype(f"V{RECORD.itemsize}")


@cache
def tracks(law: str) -> npt.NDArray[np.uint8]:
    """Speech that the streams pick from: codes, shape `(TRACKS, TRACK_SLOTS, SLOT_SAMPLES)`."""
    spoken = [speech(TRACK_SLOTS / SLOTS_PER_S, seed=seed) for seed in range(TRACKS)]
    return encode(np.stack(spoken), law).reshape(TRACKS, TRACK_SLOTS, SLOT_SAMPLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What is in the capture. Stream `2 n` is the caller's of call `n`, stream `2 n + 1` the callee's."""

    calls: int
    seconds: int

    @property
    def streams(self) -> int:
        """Two for each call."""
        return 2 * self.calls

    @property
    def media_packets(self) -> int:
        """RTP packets in the capture."""
        return self.streams * self.seconds * SLOTS_PER_S

    def answer_ns(self, call: int) -> int:
        """When the call is answered; its media start 30 ms later and last `seconds`."""
        return START_NS + SECOND_NS + call * STAGGER_NS // self.calls

    def ssrc(self, stream: int) -> int:
        """The stream's SSRC."""
        return (stream + 1) * 0x9E3779B1 & 0xFFFFFFFF

    def codes(self, stream: int) -> npt.NDArray[np.uint8]:
        """All G.711 codes that the stream carries, shape `(samples,)`: the truth."""
        slots = (np.arange(self.seconds * SLOTS_PER_S) + _first_track_slot(stream)) % TRACK_SLOTS
        return tracks(_law(stream))[stream % TRACKS][slots].reshape(-1)

    def script(self, call: int) -> CallScript:
        """The call's signalling, without its media."""
        nothing = MediaScript(audio=np.zeros(0, dtype=np.int16), codec=_law(2 * call))
        return CallScript(
            caller=_party(call, 0),
            callee=_party(call, 1),
            call_id=f"bulk-{call}@{_host(call, 0)}",
            caller_media=nothing,
            callee_media=nothing,
            start_ns=self.answer_ns(call) - round(RING_S * SECOND_NS),
            ring_s=RING_S,
            talk_s=self.seconds + 0.1,
        )


def _law(stream: int) -> str:
    return PCMA if stream // 2 % 2 else PCMU


def _first_track_slot(stream: int) -> int:
    return stream * 37 % TRACK_SLOTS


def _host(call: int, side: int) -> str:
    return f"10.{20 + side}.{call // 250}.{call % 250 + 1}"


def _party(call: int, side: int) -> Party:
    host = _host(call, side)
    number = f"0{3 + 3 * side}{call:08d}"
    return Party(number=number, sip=Address(host, 5060), rtp=Address(host, 16384 + 2 * (call % 8000)))


def _record_templates(bulk: Bulk) -> npt.NDArray[np.void]:
    """Per stream a record with everything that does not change, checksums over the constant part included."""
    records = np.zeros(bulk.streams, dtype=RECORD)
    for stream in range(bulk.streams):
        call, side = divmod(stream, 2)
        here, there = _party(call, side).rtp, _party(call, 1 - side).rtp
        record = records[stream]
        record["ethernet"] = np.void(mac(there.host) + mac(here.host) + b"\x08\x00")
        record["addresses"] = np.void(packed(here.host) + packed(there.host))
        record["ports"] = np.void(struct.pack("!HH", here.port, there.port))
        record["ssrc"] = bulk.ssrc(stream)
        record["rtp_type"] = 8 if _law(stream) == PCMA else 0
    records["captured"] = records["wire"] = RECORD.itemsize - 16
    records["ip_start"] = np.void(struct.pack("!BBH", 0x45, 0xB8, 20 + 8 + 12 + SLOT_SAMPLES))
    records["ip_rest"] = np.void(struct.pack("!HBB", 0, 64, 17))
    records["udp_length"] = 8 + 12 + SLOT_SAMPLES
    records["rtp_flags"] = 0x80
    return records


def _word_sums(octets: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Sum of the 16-bit big-endian words along the last axis."""
    return octets[..., 0::2].sum(axis=-1, dtype=np.int64) * 256 + octets[..., 1::2].sum(axis=-1, dtype=np.int64)


def _folded(total: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The Internet checksum of sums below 2^32."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class _MediaWriter:
    """Makes the RTP records of a range of slots of all streams at once."""

    def __init__(self, bulk: Bulk) -> None:
        self.bulk = bulk
        self.templates = _record_templates(bulk)
        octets = self.templates.view(np.uint8).reshape(bulk.streams, RECORD.itemsize)
        self._ip_sum = _word_sums(octets[:, 30:50])
        # The pseudo header's protocol and length, then ports, length and the RTP header's constant part.
        self._udp_sum = _word_sums(octets[:, 42:70]) + 17 + 8 + 12 + SLOT_SAMPLES
        stream = np.arange(bulk.streams)
        self.first_sequence = (stream * 4099 + 17) & 0xFFFF
        self.first_timestamp = (stream * 0x3C6EF372 + 12345) & 0xFFFFFFFF
        # Phases within a packet interval differ from call to call, and the callee answers half an interval off.
        answers = np.array([bulk.answer_ns(call) for call in range(bulk.calls)], dtype=np.int64)
        self.first_ns = np.repeat(answers, 2) + 30_000_000 + stream % 2 * (SLOT_NS // 2)
        self._laws = np.array([_law(each) == PCMA for each in range(bulk.streams)])
        self._pool = np.stack([tracks(PCMU), tracks(PCMA)])
        self._pool_sums = _word_sums(self._pool)
        self._payloads = self._pool.view(f"V{SLOT_SAMPLES}")[..., 0]

    def records(self, slots: range) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
        """Times (ns) and records of these slots, in order of time."""
        stream, slot = (
            each.ravel() for each in np.meshgrid(np.arange(self.bulk.streams), np.asarray(slots), indexing="ij")
        )
        jitter_ns = (stream * 7919 + slot * 104729) % 1_500_000
        ts_ns = self.first_ns[stream] + slot * SLOT_NS + jitter_ns
        order = np.argsort(ts_ns, kind="stable")
        ts_ns, stream, slot = ts_ns[order], stream[order], slot[order]
        records = self.templates[stream]
        records["seconds"], records["fraction_ns"] = ts_ns // SECOND_NS, ts_ns % SECOND_NS
        identification = (stream * 31 + slot) & 0xFFFF
        records["identification"] = identification
        records["ip_checksum"] = _folded(self._ip_sum[stream] + identification)
        sequence = (self.first_sequence[stream] + slot) & 0xFFFF
        timestamp = (self.first_timestamp[stream] + slot * SLOT_SAMPLES) & 0xFFFFFFFF
        marker = np.where(slot == 0, 0x80, 0)
        records["sequence"], records["timestamp"] = sequence, timestamp
        records["rtp_type"] |= marker.astype(np.uint8)
        where = (self._laws[stream].astype(np.int64), stream % TRACKS, (slot + stream * 37) % TRACK_SLOTS)
        records["payload"] = self._payloads[where]
        changing = sequence + (timestamp >> 16) + (timestamp & 0xFFFF) + marker
        total = _folded(self._udp_sum[stream] + changing + self._pool_sums[where])
        records["udp_checksum"] = np.where(total == 0, 0xFFFF, total)
        # As plain bytes: numpy turns the fields of a structured array to native order when it concatenates.
        return ts_ns, records.view(OPAQUE)

    def reports(self, slots: range) -> Iterator[Packet]:
        """The RTCP sender reports that fall into these slots."""
        for slot in slots:
            if slot % REPORT_SLOTS != REPORT_SLOTS - 1:
                continue
            for stream in range(self.bulk.streams):
                yield self._report(stream, slot)

    def _report(self, stream: int, slot: int) -> Packet:
        call, side = divmod(stream, 2)
        here, there = _party(call, side).rtp, _party(call, 1 - side).rtp
        ts_ns = int(self.first_ns[stream]) + slot * SLOT_NS + 1_700_000
        timestamp = (int(self.first_timestamp[stream]) + slot * SLOT_SAMPLES) & 0xFFFFFFFF
        return Packet(
            ts_ns=ts_ns,
            source=Address(here.host, here.port + 1),
            destination=Address(there.host, there.port + 1),
            payload=sender_report(ts_ns, self.bulk.ssrc(stream), timestamp, slot + 1, (slot + 1) * SLOT_SAMPLES),
        )


def write_bulk(bulk: Bulk, path: Path) -> int:
    """Writes the capture; returns the number of packets in it."""
    media = _MediaWriter(bulk)
    frames = FrameWriter(Wire())
    signalling = sorted(
        (packet for call in range(bulk.calls) for packet in play(bulk.script(call)).packets),
        key=lambda packet: packet.ts_ns,
    )
    written = 0
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, Link.ETHERNET))
        waiting = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=OPAQUE))
        others = signalling
        for second in range(bulk.seconds):
            slots = range(second * SLOTS_PER_S, (second + 1) * SLOTS_PER_S)
            # Calls started up to 2 s later reach back: keep what a later second may still precede.
            border_ns = int(media.first_ns.min()) + (second + 1) * SECOND_NS
            ts_ns, records = _merged(waiting, media.records(slots))
            others = sorted([*others, *media.reports(slots)], key=lambda packet: packet.ts_ns)
            ready = int(np.searchsorted(ts_ns, border_ns))
            due = [packet for packet in others if packet.ts_ns < border_ns]
            written += _write(file, frames, ts_ns[:ready], records[:ready], due)
            waiting, others = (ts_ns[ready:], records[ready:]), others[len(due) :]
        written += _write(file, frames, *waiting, others)
    return written


def _merged(
    one: tuple[npt.NDArray[np.int64], npt.NDArray[np.void]], two: tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
    ts_ns = np.concatenate([one[0], two[0]])
    order = np.argsort(ts_ns, kind="stable")
    return ts_ns[order], np.concatenate([one[1], two[1]])[order]


def _write(
    file: BinaryIO,
    frames: FrameWriter,
    ts_ns: npt.NDArray[np.int64],
    records: npt.NDArray[np.void],
    others: Sequence[Packet],
) -> int:
    """Media records with the other packets between them."""
    place = 0
    for packet in others:
        following = int(np.searchsorted(ts_ns, packet.ts_ns))
        file.write(records[place:following].tobytes())
        place = following
        for at_ns, octets in frames.frames(packet):
            file.write(struct.pack("<IIII", *divmod(at_ns, SECOND_NS), len(octets), len(octets)) + octets)
    file.write(records[place:].tobytes())
    return len(records) + len(others)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write a capture of many concurrent calls.")
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--output", type=Path, required=True)
    wanted = parser.parse_args()
    bulk = Bulk(calls=wanted.calls, seconds=wanted.seconds)
    written = write_bulk(bulk, wanted.output)
    print(f"{wanted.output}: {bulk.calls} calls, {bulk.streams} streams, {written} packets, {bulk.media_packets} RTP")


if __name__ == "__main__":
    main()
