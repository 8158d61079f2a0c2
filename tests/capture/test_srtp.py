"""SRTP: packets protected by pylibsrtp itself (wrap, loss, late start, forgery) and a real call of the corpus."""

import base64
import csv
import hashlib
import re
import shutil
import struct
import subprocess
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from capture.errors import UnsupportedSuiteError
from capture.srtp import LOST_AFTER_FAILURES, ROC_SEARCH_CYCLES, SEARCHES, SrtpStream

SSRC = 0x0DCDE9EE
SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}
SUITE = "AES_CM_128_HMAC_SHA1_80"
KEY = bytes(range(30))


def rtp(index: int, ssrc: int = SSRC) -> bytes:
    return (
        struct.pack("!BBHII", 0x80, 0, index & 0xFFFF, index * 160 & 0xFFFF_FFFF, ssrc) + index.to_bytes(4, "big") * 40
    )


def sender(suite: str = SUITE, key: bytes = KEY, ssrc: int = SSRC) -> Session:
    policy = Policy(key=key, ssrc_type=Policy.SSRC_SPECIFIC, ssrc_value=ssrc, srtp_profile=SUITES[suite][0])
    policy.window_size = 1024
    return Session(policy)


def protected(indices: Iterable[int], suite: str = SUITE, key: bytes = KEY) -> list[bytes]:
    """SRTP packets of these extended sequence numbers; the sender goes through all cycles before."""
    session, at, packets = sender(suite, key), 0, []
    for index in indices:
        while index - at > 0x4000:
            at += 0x4000
            session.protect(rtp(at - 1))
        at = max(at, index)
        packets.append(session.protect(rtp(index)))
    return packets


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_over_a_wrap_with_loss(suite: str) -> None:
    indices = [index for index in range(65_500, 65_580) if index % 7]
    key = bytes(range(100, 100 + SUITES[suite][1]))
    stream = SrtpStream(suite, key, SSRC)
    assert stream.decrypt(protected(indices, suite, key)) == [rtp(index) for index in indices]
    assert (stream.failed, stream.roc) == (0, 1)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("first", [(1 << 16) - 3, 1 << 16, (1 << 16) + 5, (3 << 16) + 40_000, (40 << 16) + 3])
def test_a_stream_picked_up_after_wraps_is_found(suite: str, first: int) -> None:
    indices = range(first, first + 20)
    key = bytes(range(100, 100 + SUITES[suite][1]))
    packets = protected(indices, suite, key)
    for roc in {0, first >> 16, (first >> 16) + 1}:
        stream = SrtpStream(suite, key, SSRC, roc=roc)
        assert stream.decrypt(packets) == [rtp(index) for index in indices]
        assert (stream.failed, stream.roc) == (0, indices[-1] >> 16)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5 << 16), st.lists(st.integers(1, 3000), min_size=1, max_size=12), st.data())
def test_any_cut_any_loss_gives_the_same_packets(first: int, steps: list[int], data: st.DataObject) -> None:
    indices = [first]
    for step in steps:
        indices.append(indices[-1] + step)
    packets = protected(indices)
    cut = data.draw(st.integers(0, len(packets)))
    whole = SrtpStream(SUITE, KEY, SSRC)
    clear = whole.decrypt(packets)
    assert clear == [rtp(index) for index in indices]
    one = SrtpStream(SUITE, KEY, SSRC)
    head = one.decrypt(packets[:cut])
    two = SrtpStream(SUITE, KEY, SSRC, roc=one.roc)
    assert head + two.decrypt(packets[cut:]) == clear
    assert (two.roc, two.failed) == (whole.roc if cut < len(packets) else one.roc, 0)


def test_late_packets_of_an_earlier_call_are_still_decrypted() -> None:
    indices = range(65_000, 67_000)
    packets = protected(indices)
    stream = SrtpStream(SUITE, KEY, SSRC)
    late = slice(0, 2000, 3)
    early = [packet for place, packet in enumerate(packets) if place % 3]
    assert None not in stream.decrypt(early)
    assert stream.decrypt(packets[late]) == [rtp(index) for index in indices[late]]
    assert stream.roc == 1


def test_a_part_that_begins_with_a_late_packet_of_the_cycle_before() -> None:
    packets = protected([(2 << 16) - 1, 2 << 16, (2 << 16) + 1])
    assert None not in SrtpStream(SUITE, KEY, SSRC, roc=2).decrypt(packets)


@pytest.mark.parametrize("jump", [40_000, 70_000, 5 << 16])
def test_an_outage_longer_than_half_a_cycle_loses_nothing_after_it(jump: int) -> None:
    indices = [*range(100, 150), *range(150 + jump, 200 + jump)]
    stream = SrtpStream(SUITE, KEY, SSRC)
    assert stream.decrypt(protected(indices)) == [rtp(index) for index in indices]
    assert stream.failed == 0


def test_forged_and_damaged_packets_are_none_and_change_nothing() -> None:
    packets = protected(range(1000, 1100))
    damaged = bytearray(packets[50])
    damaged[20] ^= 1
    other = Session(Policy(key=KEY, ssrc_type=Policy.SSRC_SPECIFIC, ssrc_value=9)).protect(rtp(1050, 9))
    bad = [bytes(damaged), b"", b"\x80", packets[51][:12], b"\x9f" * 40, bytes(4000), other, packets[0]]
    shown = packets[:50] + bad + packets[50:]
    stream = SrtpStream(SUITE, KEY, SSRC)
    clear = stream.decrypt(shown)
    assert clear[50:58] == [None] * 8
    assert clear[:50] + clear[58:] == [rtp(index) for index in range(1000, 1100)]
    assert (stream.failed, stream.roc) == (8, 0)


def test_packets_before_the_first_authentic_one_do_not_hide_the_stream() -> None:
    packets = protected(range((7 << 16) + 10, (7 << 16) + 40))
    stream = SrtpStream(SUITE, KEY, SSRC)
    junk = [packet[:-1] + bytes([packet[-1] ^ 1]) for packet in packets]
    clear = stream.decrypt(junk + packets)
    assert clear[:30] == [None] * 30
    assert clear[30:] == [rtp(index) for index in range((7 << 16) + 10, (7 << 16) + 40)]


def test_a_wrong_key_gives_nothing_and_its_cost_is_bounded() -> None:
    stream = SrtpStream(SUITE, bytes(30), SSRC)
    packets = protected(range(300))
    for _ in range(10):
        assert stream.decrypt(packets) == [None] * 300
    assert stream.failed == 3000
    assert SEARCHES * ROC_SEARCH_CYCLES < 3000
    assert LOST_AFTER_FAILURES.bit_count() == 1


@pytest.mark.parametrize("suite", ["AES_256_CM_HMAC_SHA1_80", "AES_192_CM_HMAC_SHA1_32", "F8_128_HMAC_SHA1_80", ""])
def test_suites_that_cannot_be_decrypted(suite: str) -> None:
    with pytest.raises(UnsupportedSuiteError, match="cannot be decrypted"):
        SrtpStream(suite, KEY, SSRC)


@pytest.mark.parametrize("size", [0, 29, 31, 46])
def test_a_key_of_another_length(size: int) -> None:
    with pytest.raises(UnsupportedSuiteError, match=f"takes 30 bytes of key and salt, not {size}"):
        SrtpStream(SUITE, bytes(size), SSRC)


CORPUS = Path(__file__).parents[2] / ".." / "shared" / "corpus"
CAPTURE = CORPUS / "voipshark-sip-srtp-sdes.pcap"


def tshark_fields(*arguments: str) -> list[list[str]]:
    command = ["tshark", "-r", str(CAPTURE), "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=,", *arguments]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split("\t") for line in output.splitlines()]


def ulaw_samples(payload: bytes) -> bytes:
    """G.711 mu-law by its definition, as little-endian 16 bits: not the product's tables."""

    def sample(code: int) -> int:
        code = ~code & 0xFF
        magnitude = (((code & 15) << 3) + 132 << (code >> 4 & 7)) - 132
        return -magnitude if code & 0x80 else magnitude

    table = [struct.pack("<h", sample(code)) for code in range(256)]
    return b"".join(table[code] for code in payload)


@pytest.mark.skipif(not CAPTURE.exists(), reason="the corpus of real captures is not beside the repository")
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_a_real_call_with_keys_in_its_sdp() -> None:
    offered = tshark_fields("-Y", "sdp", "-e", "ip.src", "-e", "sdp.media.port", "-e", "sdp.media_attr")
    keys: dict[str, set[bytes]] = {}
    for address, ports, attributes in offered:
        for found in re.findall(rf"crypto:\d+ {SUITE} inline:([A-Za-z0-9+/=]+)", attributes):
            keys.setdefault(f"{address}:{ports.split(',')[0]}", set()).add(base64.b64decode(found))
    packets: dict[tuple[str, str], list[bytes]] = {}
    media = tshark_fields("-Y", "udp && !sip", "-e", "ip.src", "-e", "udp.srcport", "-e", "udp.payload")
    for address, port, datagram in media:
        packet = bytes.fromhex(datagram)
        if len(packet) > 12 and packet[0] >> 6 == 2 and packet[1] & 0x7F == 0:
            packets.setdefault((f"{address}:{port}", f"0x{packet[8:12].hex()}"), []).append(packet)
    with (CORPUS / "truth_srtp_decrypted.csv").open(newline="") as file:
        truths = list(csv.DictReader(file))
    assert truths
    for truth in truths:
        mine = sorted(packets[truth["src"], truth["ssrc"]], key=lambda packet: packet[2:4])
        assert len(mine) == int(truth["packets"])
        assert all(b[2:4] > a[2:4] for a, b in pairwise(mine))
        digests = set()
        for key in keys[truth["src"]]:
            clear = SrtpStream(truth["suite"], key, int(truth["ssrc"], 16)).decrypt(mine)
            if None not in clear:
                payload = b"".join(packet[12:] for packet in clear if packet)
                digests.add(hashlib.sha256(ulaw_samples(payload)).hexdigest())
        assert digests == {truth["pcm_sha256"]}
