"""The frames behind a difference, as the real tshark lists them."""

import shutil
import struct
from pathlib import Path

import pytest

from appliance.auditing.audit import Difference, StreamKey, Subject
from appliance.auditing.framefilter import display_filter
from appliance.auditing.tsharkaccount import frames
from appliance.auditing.tsharkoutput import MAX_FRAMES
from tests.scenario import CALLEE, CALLER, call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import Address, Packet, frames_of, write_pcap

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
KEY = StreamKey(0xABCD, "192.0.2.1:40000", "192.0.2.2:53")
SIX = StreamKey(1, "[2001:db8::a]:40000", "[2001:db8::b]:40002")


def about(subject: Subject, name: str, tshark: int = 1) -> Difference:
    return Difference(subject=subject, name=name, ours=0, tshark=tshark)


def test_a_stream_key_is_read_back() -> None:
    assert [StreamKey.parse(str(key)) for key in (KEY, SIX)] == [KEY, SIX]


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (about(Subject.PACKETS, ""), ""),
        (about(Subject.CALL, 'a"b\\c@h'), 'sip.Call-ID contains "a\\"b\\\\c@h"'),
        (about(Subject.ANSWER, "4465?d775@host"), 'sip.Call-ID contains "d775@host"'),
        (
            about(Subject.STREAM_LOST, str(KEY)),
            "ip.src == 192.0.2.1 && udp.srcport == 40000 && ip.dst == 192.0.2.2 && udp.dstport == 53"
            " && rtp.ssrc == 0x0000abcd",
        ),
        (
            about(Subject.STREAM, str(SIX), tshark=0),
            "ipv6.src == 2001:db8::a && udp.srcport == 40000 && ipv6.dst == 2001:db8::b && udp.dstport == 40002",
        ),
    ],
)
def test_the_filter_of_a_difference(difference: Difference, expected: str) -> None:
    assert display_filter(difference) == expected


@needs_tshark
def test_the_first_frames_of_a_call_and_of_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "call.pcap"
    write_pcap(path, frames_of(play(call(call_id='a"b\\c@h', talk_s=2.0)).packets))
    shown = list(frames(path, display_filter(about(Subject.CALL, 'a"b\\c@h'))))
    assert len(shown) == MAX_FRAMES
    assert shown[0].startswith("frame 1, 0.000 s: SIP/SDP Request: INVITE sip:0698765432@")
    assert "Status: 100 Trying" in shown[1]
    media = f"ip.src == {CALLER.rtp.host} && udp.srcport == {CALLER.rtp.port} && ip.dst == {CALLEE.rtp.host}"
    shown = list(frames(path, media))
    assert len(shown) == MAX_FRAMES
    assert all(" s: RTP PT=ITU-T G.711 PCMU, SSRC=0x" in line for line in shown)


@needs_tshark
def test_what_tshark_takes_a_stream_for(tmp_path: Path) -> None:
    header = struct.pack("!BBHII", 0x80, 0, 1, 160, 0xABCD)
    packets = [
        Packet(ts_ns=1, source=Address("192.0.2.1", 40_000), destination=Address("192.0.2.2", 53), payload=header)
    ]
    write_pcap(tmp_path / "dns.pcap", frames_of(packets))
    [line] = frames(tmp_path / "dns.pcap", display_filter(about(Subject.STREAM, str(KEY), tshark=0)))
    assert "RTP" not in line


@needs_tshark
def test_a_damaged_tail_does_not_hide_what_lies_before_it(tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    write_pcap(path, frames_of(play(call(talk_s=2.0)).packets)[:2])
    path.write_bytes(path.read_bytes()[:-10])
    assert [line.partition(",")[0] for line in frames(path, "sip")] == ["frame 1"]
