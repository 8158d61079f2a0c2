"""The generator itself, against tshark and against its own truth: what rests on it is worth what it is worth."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.traffic.bulk import Bulk, write_bulk
from tests.traffic.calls import CallScript, Hold, PlayedCall, play
from tests.traffic.g711 import PCMA, PCMU, decode, encode
from tests.traffic.media import Digit, MediaScript, impaired
from tests.traffic.pcapwriter import Address, Link, Transport, Wire, frames_of, write_pcap
from tests.traffic.signalling import Party, Side
from tests.traffic.speech import speech

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
FOUR, SIX = ("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")


def example(hosts: tuple[str, str] = FOUR, transport: Transport = Transport.UDP) -> PlayedCall:
    plain = MediaScript(
        audio=speech(12.0, seed=5),
        digits=(Digit(at_s=2.0, digit="7"),),
        quiet_s=((4.0, 5.0),),
        twice=frozenset({20}),
        restarts_s=(6.0,),
        first_sequence=65530,
        first_timestamp=0xFFFFF000,
    )
    return play(
        CallScript(
            caller=Party(number="0312345678", sip=Address(hosts[0], 5060), rtp=Address(hosts[0], 4000)),
            callee=Party(number="0612345678", sip=Address(hosts[1], 5060), rtp=Address(hosts[1], 5000)),
            call_id="example",
            caller_media=impaired(plain, loss=0.02, reordered=0.02, seed=1),
            callee_media=MediaScript(audio=speech(12.0, seed=6), codec=PCMA, ptime_ms=30),
            holds=(Hold(at_s=8.0, seconds=2.0, by=Side.CALLEE),),
            talk_s=12.0,
            transport=transport,
            # Makes the INVITE larger than a frame.
            headers=(("Subject", "x" * 2000),),
        )
    )


def tshark(path: Path, *arguments: str) -> list[str]:
    checks = [f"{protocol}.check_checksum:TRUE" for protocol in ("ip", "udp", "tcp")]
    options = [each for check in checks for each in ("-o", check)]
    command = ["tshark", "-n", "-r", str(path), *options, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@needs_tshark
@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("hosts", [FOUR, SIX], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(
    "wire",
    [
        *(Wire(link=link) for link in Link),
        Wire(vlans=(10,)),
        Wire(vlans=(100, 10)),
        Wire(pppoe_session=7),
    ],
    ids=[*(link.name for link in Link), "VLAN", "QINQ", "PPPOE"],
)
def test_tshark_reads_every_wrapping(wire: Wire, hosts: tuple[str, str], transport: Transport, tmp_path: Path) -> None:
    call, path = example(hosts, transport), tmp_path / "wrapped.pcap"
    write_pcap(path, frames_of(call.packets, wire), link=wire.link)
    fields = (
        "_ws.malformed",
        "ip.checksum.status",
        "udp.checksum.status",
        "tcp.checksum.status",
        "sip.CSeq",
        "rtp.ssrc",
    )
    rows = [
        line.split("\t") for line in tshark(path, "-T", "fields", *(each for name in fields for each in ("-e", name)))
    ]
    malformed, *checksums, signalling, media = zip(*rows, strict=True)
    assert not any(malformed)
    assert {status for column in checksums for status in column} <= {"", "1"}
    assert sum(map(bool, signalling)) == sum(b"\r\nCSeq: " in packet.payload for packet in call.packets)
    packets = sum(truth.packets + truth.duplicates for truths in call.truths.values() for truth in truths)
    assert sum(map(bool, media)) == packets


def test_truth_is_what_the_packets_carry() -> None:
    call = example()
    for truths in call.truths.values():
        for truth in truths:
            sent = [packet.payload for packet in call.packets if packet.payload[8:12] == struct.pack("!I", truth.ssrc)]
            speech_packets = [
                payload for payload in sent if payload[1] & 0x7F == truth.payload_type and payload[0] == 0x80
            ]
            first = struct.unpack_from(
                "!I", min(speech_packets, key=lambda payload: _extended(payload, truths[0].ssrc)), 4
            )[0]
            placed = np.zeros(len(truth.codes), dtype=np.int16)
            for payload in speech_packets:
                at = (struct.unpack_from("!I", payload, 4)[0] - first) & 0xFFFFFFFF
                codes = np.frombuffer(payload, dtype=np.uint8, offset=12)
                placed[at : at + len(codes)] = decode(codes, truth.codec)
            np.testing.assert_array_equal(placed, truth.pcm)
            assert truth.lost == sum(cause == "loss" for _, _, cause in truth.gaps)


def _extended(payload: bytes, first_ssrc: int) -> int:
    """The timestamp, with the wrap of the example's first stream undone."""
    timestamp, ssrc = struct.unpack_from("!II", payload, 4)
    return int(timestamp + (1 << 32)) if ssrc == first_ssrc and timestamp < 0x80000000 else int(timestamp)


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_encoding_takes_the_nearest_code(law: str) -> None:
    samples = np.arange(-32768, 32768).astype(np.int16)
    levels = np.sort(decode(np.arange(256, dtype=np.uint8), law).astype(np.int32))
    distance = np.abs(decode(encode(samples, law), law).astype(np.int32) - samples)
    upper = levels[np.clip(np.searchsorted(levels, samples), 0, 255)]
    lower = levels[np.clip(np.searchsorted(levels, samples, side="right") - 1, 0, 255)]
    np.testing.assert_array_equal(distance, np.minimum(np.abs(upper - samples), np.abs(samples - lower)))


@needs_tshark
def test_bulk_capture_holds_what_it_says(tmp_path: Path) -> None:
    bulk, path = Bulk(calls=5, seconds=6), tmp_path / "bulk.pcap"
    written = write_bulk(bulk, path)
    wrong = "_ws.malformed or ip.checksum.status==0 or udp.checksum.status==0 or frame.time_delta<0"
    assert tshark(path, "-Y", wrong) == []
    assert len(tshark(path)) == written
    assert len(tshark(path, "-Y", "rtp")) == bulk.media_packets == 5 * 2 * 6 * 50
    assert len(tshark(path, "-Y", 'sip.Method=="BYE"')) == bulk.calls
    for stream in (0, 3):
        payloads = tshark(path, "-Y", f"rtp.ssrc=={bulk.ssrc(stream)}", "-T", "fields", "-e", "rtp.payload")
        assert bytes.fromhex("".join(payloads)) == bulk.codes(stream).tobytes()
