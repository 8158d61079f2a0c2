"""tshark's account, from the real tshark on generated captures, and from its output line by line."""

import json
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest

from appliance.auditing import tsharkaccount, tsharkoutput
from appliance.auditing.audit import Account, StreamKey
from appliance.auditing.auditrules import StreamFigures
from appliance.auditing.tsharkaccount import hold_against, read_account, recount
from appliance.errors import ToolFailedError, ToolMissingError
from tests import corpus_truth
from tests.corpus_truth import ABSENT, CAPTURES, CORPUS
from tests.traffic.pcapwriter import Address, Packet, Transport, frames_of, write_pcap

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
CALLER, CALLEE = Address("192.0.2.1", 40_000), Address("192.0.2.2", 40_002)
KEY = StreamKey(0xABCD, str(CALLER), str(CALLEE))


def rtp(number: int, destination: Address = CALLEE, source: Address = CALLER, payload_type: int = 0) -> Packet:
    header = struct.pack("!BBHII", 0x80, payload_type, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 0xABCD)
    return Packet(ts_ns=number * 20_000_000, source=source, destination=destination, payload=header + bytes(160))


def capture(folder: Path, packets: Iterable[Packet]) -> Path:
    path = folder / "generated.pcap"
    write_pcap(path, frames_of(packets))
    return path


def sip(start: str, cseq: str, call_id: str, to_tag: str = "") -> bytes:
    tag = f";tag={to_tag}" if to_tag else ""
    fields = [
        start, "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1", "From: <sip:1@a.example>;tag=f",
        f"To: <sip:2@a.example>{tag}", f"Call-ID: {call_id}", f"CSeq: {cseq}", "Content-Length: 0", "", "",
    ]  # fmt: skip
    return "\r\n".join(fields).encode()


@needs_tshark
def test_unannounced_media_over_ipv4_and_ipv6(tmp_path: Path) -> None:
    here, there = Address("2001:db8::1", 40_000), Address("2001:db8::2", 40_002)
    packets = [p for n in range(1, 31) for p in (rtp(n), rtp(n, there, here))]
    account = read_account(capture(tmp_path, packets))
    six = StreamKey(0xABCD, "[2001:db8::1]:40000", "[2001:db8::2]:40002")
    assert account.packets == 60
    assert {key: (s.packets, s.lost, s.payloads) for key, s in account.streams.items()} == {
        KEY: (30, 0, ("g711U",)),
        six: (30, 0, ("g711U",)),
    }
    recounted = recount(tmp_path / "generated.pcap", [KEY, six])
    assert {key: figures.packets for key, figures in recounted.items()} == {KEY: 30, six: 30}


@needs_tshark
def test_duplicates_and_a_restart_are_explained(tmp_path: Path) -> None:
    numbers = [*range(1, 31), 30, *range(20_000, 20_030)]
    ours = StreamFigures(packets=60, lost=0, duplicates=1, codec="PCMU")
    path = capture(tmp_path, map(rtp, numbers))
    account = Account(packets=61, sip_calls=frozenset(), answered=frozenset(), streams={KEY: ours})
    theirs, differences = hold_against(path, account)
    assert theirs.streams[KEY].packets == 61
    assert all(difference.explanation for difference in differences)
    assert any("starts anew" in difference.explanation for difference in differences)


@needs_tshark
def test_media_on_a_port_that_tshark_gives_to_another_protocol(tmp_path: Path) -> None:
    to_dns = Address("192.0.2.2", 53)
    key = StreamKey(0xABCD, str(CALLER), str(to_dns))
    path = capture(tmp_path, [rtp(number, to_dns) for number in range(1, 31)])
    assert read_account(path).streams == {}
    ours = Account(
        packets=30, sip_calls=frozenset(), answered=frozenset(), streams={key: StreamFigures(packets=30, lost=0)}
    )
    _theirs, [difference] = hold_against(path, ours)
    assert difference.explanation.startswith("tshark takes the packets for another protocol")


@needs_tshark
def test_several_messages_in_one_segment_are_told_apart(tmp_path: Path) -> None:
    here, there = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)
    asked = sip("INVITE sip:2@a.example SIP/2.0", "1 INVITE", "a@h") + sip(
        "OPTIONS sip:2@a SIP/2.0", "1 OPTIONS", "b@h"
    )
    told = sip("SIP/2.0 200 OK", "1 INVITE", "a@h", "t") + sip("SIP/2.0 404 No", "1 OPTIONS", "b@h", "t")
    packets = [
        Packet(ts_ns=1, source=here, destination=there, payload=asked, transport=Transport.TCP),
        Packet(ts_ns=2, source=there, destination=here, payload=told, transport=Transport.TCP),
    ]
    account = read_account(capture(tmp_path, packets))
    assert set(account.sip) == {"a@h", "b@h"}
    assert account.sip["a@h"].invite_statuses == {200}
    assert account.sip["a@h"].sound
    assert account.sip["b@h"].invite_statuses == frozenset()


@needs_tshark
def test_a_file_that_is_no_capture(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"RIFF but not a capture")
    with pytest.raises(ToolFailedError, match=r"cannot read the capture: .*speech\.wav"):
        read_account(path)


def test_no_tshark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="tshark is not installed"):
        tsharkaccount.read_account(tmp_path / "any.pcap")


@needs_tshark
@pytest.mark.skipif(not CAPTURES, reason=ABSENT)
def test_a_damaged_tail_is_told_and_costs_nothing_before_it() -> None:
    name = "jnetpcap-truncated-file.pcap"
    account = read_account(CORPUS / name)
    assert account.packets == corpus_truth.frames_of(name)
    assert "cut short" in account.damage


def test_lines_that_cannot_be_read_are_counted() -> None:
    lines = [
        '{"layers":{"sip":[1]}}',
        "{no json",
        '{"index":{}}',
        json.dumps({"layers": {"sip": {"sip_sip_Call-ID": "a"}}}),
    ]
    account = tsharkoutput.account(lines)
    assert account.unreadable == 2
    assert set(account.sip) == {"a"}


def test_fields_that_do_not_fit_are_left_out() -> None:
    good = ["eth:ip:udp:rtp", "192.0.2.1", "192.0.2.2", "", "", "40000", "40002", "0x0000abcd", "7", "160", "0"]
    inner = ["eth:ipv6:ip:udp:rtp", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", *good[5:]]
    lines = ["\t".join(good), "\t".join(inner), "\t".join(good[:-1]), "\t".join(["", *good[1:7], "", "", "", ""])]
    assert {key: figures.packets for key, figures in tsharkoutput.recount(lines).items()} == {KEY: 1}
