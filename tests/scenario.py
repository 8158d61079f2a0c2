"""A generated capture, imported by the command, and what a customer then finds in the archive."""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from appliance.cli import main
from tests.archive_reading import Samples, StoredPart, call_records, stored_parts
from tests.recorded_truth import account_differences, nanoseconds, part_differences
from tests.traffic.calls import CallScript, PlayedCall
from tests.traffic.media import MediaScript, StreamTruth
from tests.traffic.pcapwriter import Address, Frame, Link, Packet, frames_of, write_pcap
from tests.traffic.signalling import Party
from tests.traffic.speech import speech

SECOND_NS = 1_000_000_000
RATE_HZ = 8000
CALLER = Party(number="0335550101", sip=Address("10.77.0.11", 5060), rtp=Address("10.77.0.11", 16384))
CALLEE = Party(number="0698765432", sip=Address("10.77.8.20", 5060), rtp=Address("10.77.8.20", 24000))
SILENT = MediaScript(audio=speech(0.0, seed=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What one run of the command left."""

    archive: Path
    exit_code: int
    records: list[dict[str, Any]]
    parts: dict[str, StoredPart] = field(repr=False)
    """By file name, in order."""

    @property
    def only(self) -> dict[str, Any]:
        """The call record, when there is one and no more."""
        (record,) = self.records
        return record

    def call(self, call_id: str) -> dict[str, Any]:
        """The record of one SIP call."""
        (record,) = [each for each in self.records if each["sip"] and call_id in each["sip"]["call_ids"]]
        return record

    @property
    def media(self) -> list[dict[str, Any]]:
        """The records of media without a SIP call of their own."""
        return [record for record in self.records if not record["sip"]]

    def parts_of(self, record: dict[str, Any]) -> list[StoredPart]:
        """The recordings of a call, in order."""
        return [self.parts[entry["name"]] for entry in record["parts"]]

    @property
    def part(self) -> StoredPart:
        """The only part of the only call."""
        (part,) = self.parts_of(self.only)
        return part


def do_import(
    folder: Path,
    packets: Iterable[Packet | Frame],
    *,
    config: str = "",
    link: Link = Link.ETHERNET,
    arguments: Sequence[str] = (),
) -> Imported:
    """Write the packets (or frames) as a capture, import it with the command, and read the archive.

    Every part and every record is held against its schema, and the records against the parts.
    """
    capture, archive = folder / "capture.pcap", folder / "archive"
    sent = list(packets)
    frames = [each for each in sent if isinstance(each, Frame)]
    frames += frames_of(each for each in sent if isinstance(each, Packet))
    write_pcap(capture, frames, link=link)
    options = list(arguments)
    if config:
        (folder / "rokubox.toml").write_text(config)
        options += ["--config", str(folder / "rokubox.toml")]
    exit_code = main(["import", str(capture), "--output", str(archive), *options])
    found = {part.path.name: part for part in stored_parts(archive)}
    records = call_records(archive)
    assert list(part_differences(found.values())) == []
    wrong = [each for each in account_differences(archive, found, ()) if " made were " not in each]
    assert wrong == []
    return Imported(archive=archive, exit_code=exit_code, records=records, parts=found)


def media(seconds: float, seed: int, **changes: Any) -> MediaScript:
    """Speech of one party."""
    return MediaScript(audio=_spoken(seconds, seed), seed=seed, **changes)


@cache
def _spoken(seconds: float, seed: int) -> Samples:
    return speech(seconds, seed=seed)


def call(call_id: str = "call@example", talk_s: float = 6.0, **changes: Any) -> CallScript:
    """A plain answered call between the two usual telephones; both speak all the time."""
    plain = CallScript(
        caller=CALLER,
        callee=CALLEE,
        call_id=call_id,
        caller_media=media(talk_s, 1),
        callee_media=media(talk_s, 2),
        talk_s=talk_s,
        ring_s=1.0,
    )
    return replace(plain, **changes)


def moved(party: Party, *, host: str = "", rtp_port: int = 0, number: str = "") -> Party:
    """The telephone at another place."""
    here = host or party.sip.host
    return replace(
        party,
        number=number or party.number,
        sip=Address(here, party.sip.port),
        rtp=Address(here, rtp_port or party.rtp.port),
    )


def is_media(packet: Packet) -> bool:
    """RTP, not RTCP or SIP."""
    return packet.payload[0] >> 6 == 2 and not 192 <= packet.payload[1] <= 223


def rewritten(call: PlayedCall, change: Callable[[Packet], Packet | None]) -> list[Packet]:
    """The call's packets, each media packet changed or (None) taken out."""
    packets = [change(packet) if is_media(packet) else packet for packet in call.packets]
    return [packet for packet in packets if packet is not None]


def redescribed(packets: Iterable[Packet], change: Callable[[Address, bytes], bytes]) -> list[Packet]:
    """The packets with another session description where there is one: `change(sender, description)`."""
    changed = []
    for packet in packets:
        if b"\r\n\r\nv=0" in packet.payload:
            head, body = packet.payload.split(b"\r\n\r\n", 1)
            body = change(packet.source, body)
            length = b"\r\nContent-Length: %d" % len(body)
            head = re.sub(rb"\r\nContent-Length: [0-9]+", length, head)
            packet = replace(packet, payload=head + b"\r\n\r\n" + body)
        changed.append(packet)
    return changed


def without(packets: Iterable[Packet], *starts: str) -> list[Packet]:
    """The packets without the SIP messages that begin so."""
    return [packet for packet in packets if not packet.payload.startswith(tuple(start.encode() for start in starts))]


def rtp(
    ts_ns: int,
    source: Address,
    destination: Address,
    *,
    sequence: int,
    timestamp: int,
    payload: bytes,
    ssrc: int = 0x1234,
    payload_type: int = 0,
    marker: bool = False,
) -> Packet:
    """One RTP packet (RFC 3550 section 5.1)."""
    second = marker << 7 | payload_type
    header = struct.pack("!BBHII", 0x80, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return Packet(ts_ns=ts_ns, source=source, destination=destination, payload=header + payload)


def channel(parts: Sequence[StoredPart], number: int) -> Samples:
    """One channel over all parts of a call."""
    return np.concatenate([part.audio[:, number] for part in parts])


def placed(parts: Sequence[StoredPart], number: int, truth: StreamTruth, at_ns: int | None = None) -> Samples:
    """The samples of a channel where a stream's speech must be."""
    origin = origin_ns(parts[0])
    first = round(((truth.first_ns if at_ns is None else at_ns) - origin) * RATE_HZ / SECOND_NS)
    return channel(parts, number)[first : first + len(truth.pcm)]


def origin_ns(part: StoredPart) -> int:
    """Instant of the call's sample 0."""
    return nanoseconds(part.record["origin_at"])


def streams(part: StoredPart, side: int) -> list[dict[str, Any]]:
    """The streams of one channel, as `call.json` describes them."""
    described: list[dict[str, Any]] = part.record["channels"][side]["streams"]
    return described


def causes(part: StoredPart, side: int) -> dict[str, int]:
    """Samples in `fill` by cause, over one channel."""
    told: dict[str, int] = {}
    for stream in streams(part, side):
        for _, samples, cause in stream["fill"]:
            told[cause] = told.get(cause, 0) + samples
    return told
