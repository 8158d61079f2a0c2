"""What the kernel lets pass, asked of the kernel itself: it runs the program on datagrams of a socket pair."""

import functools
import itertools
import socket
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet, Raw

from capture.bpf import INSTRUCTION, MAX_INSTRUCTIONS, Assembler
from capture.errors import FilterError
from capture.frames import MAX_EXTENSION_HEADERS, FrameKind, parse
from capture.intake import Intake
from capture.kernelfilter import SNAP_BYTES, TUNNEL_PORTS, TUNNEL_PROTOCOLS, program
from capture.pcapfile import CaptureReader
from capture.records import LINK_ETHERNET, RecordBatch
from capture.sipwire import METHODS, SIPS_PORT
from tests.capture.batches import batch_of
from tests.corpus_truth import ABSENT, CAPTURES, CORPUS

SO_ATTACH_FILTER = 26
SIP_PORTS = frozenset((5060, 5080))
TUNNELS = frozenset((*TUNNEL_PROTOCOLS, *TUNNEL_PORTS))
RTP = b"\x80\x08" + bytes(10) + b"\xd5" * 160
RTCP = b"\x80\xc8\x00\x06" + bytes(24)
STUN = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
DTLS = b"\x16\xfe\xfd\x00\x00" + bytes(20)
ZRTP = b"\x10\x00\x00\x01ZRTP\x12\x34\x56\x78" + bytes(20)
DNS_QUERY = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x07example\x03com\x00\x00\x01\x00\x01"


class Kernel:
    """One end of a socket pair with the program attached."""

    def __init__(self, code: bytes) -> None:
        self._here, self._there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._there.setblocking(False)
        self._code = np.frombuffer(code, np.uint8)
        pointer = struct.pack("HP", len(code) // INSTRUCTION.size, self._code.ctypes.data)
        self._there.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)

    def passes(self, frame: bytes) -> bool:
        """Whether the frame comes through, whole; nothing else may be on the way."""
        self._here.send(frame)
        try:
            received = self._there.recv(SNAP_BYTES)
        except BlockingIOError:
            return False
        assert received == frame
        return True

    def close(self) -> None:
        self._here.close()
        self._there.close()


@pytest.fixture(scope="module", params=[TUNNELS, frozenset()], ids=["all tunnels", "no tunnels"])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    made = Kernel(program(SIP_PORTS, tunnels=request.param))
    yield made
    made.close()


@pytest.fixture(scope="module")
def wide() -> Iterator[Kernel]:
    """The program with all tunnels."""
    made = Kernel(program(SIP_PORTS, tunnels=TUNNELS))
    yield made
    made.close()


def tag(kind: int, number: int) -> Packet:
    return Dot1AD(vlan=number) if kind == 0x88A8 else Dot1Q(vlan=number)


def link(tags: tuple[int, ...], pppoe: bool) -> Packet:
    """Ethernet with tags, the outermost first, and a PPPoE session."""
    head = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for number, kind in enumerate(tags):
        head = head / tag(kind, 100 + number)
    return head / PPPoE(sessionid=7) / PPP() if pppoe else head


def framed(inner: Packet, tags: tuple[int, ...] = (), pppoe: bool = False) -> bytes:
    frame = bytearray(bytes(link(tags, pppoe) / inner))
    for place, kind in enumerate(tags):
        # scapy knows no 0x9100; and a tag in a tag has the type that the outer one names.
        frame[12 + 4 * place : 14 + 4 * place] = kind.to_bytes(2, "big")
    return bytes(frame)


V4 = IP(src="192.0.2.10", dst="198.51.100.20")
V4_OPTIONS = IP(src="192.0.2.10", dst="198.51.100.20", options=[IPOption_NOP()] * 8)
V6 = IPv6(src="2001:db8::10", dst="2001:db8:1::20")
LAYERS = {"v4": V4, "v4 options": V4_OPTIONS, "v6": V6}
LINKS = [
    (tags, pppoe)
    for tags in ((), (0x8100,), (0x88A8,), (0x9100,), (0x88A8, 0x8100), (0x9100, 0x8100, 0x8100), (0x8100,) * 4)
    for pppoe in (False, True)
]


def udp(payload: bytes, source: int = 40000, destination: int = 50000) -> Packet:
    return UDP(sport=source, dport=destination) / Raw(payload)


def tcp(source: int, destination: int, payload: bytes = b"") -> Packet:
    return TCP(sport=source, dport=destination) / Raw(payload)


WANTED = {
    "RTP": udp(RTP),
    "RTP with CSRC, extension and padding": udp(b"\xb1\x08" + bytes(100)),
    "RTCP": udp(RTCP),
    "STUN": udp(STUN),
    "DTLS": udp(DTLS),
    "DTLS change cipher spec": udp(b"\x14\xfe\xfd\x00\x01" + bytes(20)),
    "DTLS of the last type": udp(b"\x19\xfe\xff\x00\x01" + bytes(20)),
    "ZRTP": udp(ZRTP),
    "keep-alive on a SIP port": udp(b"\r\n\r\n", 5060, 5060),
    "from a SIP port": udp(b"anything", 5080, 40000),
    "to a SIP port": udp(b"anything", 40000, 5060),
    "SIP response": udp(b"SIP/2.0 200 OK\r\n\r\n"),
    **{f"SIP {name.decode()}": udp(name + b" sip:a@example.com SIP/2.0\r\n\r\n") for name in METHODS},
    "TCP from a SIP port": tcp(5060, 40000, b"SIP/2.0 200 OK\r\n"),
    "TCP to a SIP port": tcp(40000, 5080),
    "TLS handshake": tcp(40000, SIPS_PORT, b"\x16\x03\x01"),
}
UNWANTED = {
    "DNS": udp(DNS_QUERY, 40000, 53),
    "NTP": udp(b"\x23" + bytes(47), 123, 123),
    "DHCP": udp(b"\x01\x01\x06\x00" + bytes(240), 68, 67),
    "SNMP": udp(b"\x30\x2c\x02\x01\x01", 40000, 161),
    "SSDP": udp(b"M-SEARCH * HTTP/1.1\r\n", 40000, 1900),
    "QUIC": udp(b"\xc3\x00\x00\x00\x01" + bytes(60), 40000, 443),
    "RTP of version 1": udp(b"\x40\x08" + RTP[2:]),
    "STUN without its cookie": udp(b"\x00\x01\x00\x00\x21\x12\xa4\x43" + bytes(12)),
    "STUN with type bits of others": udp(b"\x04" + STUN[1:]),
    "TLS over UDP": udp(b"\x16\x03\x03\x00\x00" + bytes(20)),
    "before DTLS": udp(b"\x13\xfe\xfd" + bytes(20)),
    "behind DTLS": udp(b"\x1a\xfe\xfd" + bytes(20)),
    "ZRTP without its cookie": udp(b"\x10\x00\x00\x01ZRTQ" + bytes(24)),
    "empty datagram": udp(b""),
    "port beside a SIP port": udp(b"anything", 5059, 5061),
    "HTTP": tcp(40000, 80, b"GET / HTTP/1.1\r\n"),
    "HTTPS": tcp(443, 40000, b"\x16\x03\x03"),
    "TCP that looks like SIP on a port that is not configured": tcp(40000, 6000, b"INVITE sip:a@b SIP/2.0\r\n"),
    "ICMP": ICMP() / Raw(RTP),
}


@functools.cache
def wrapped(kind: str, layer: str) -> list[bytes]:
    """The packet behind each of `LINKS`."""
    packet = LAYERS[layer] / (WANTED | UNWANTED)[kind]
    return [framed(packet, tags, pppoe) for tags, pppoe in LINKS]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", WANTED)
def test_telephony_passes(kernel: Kernel, kind: str, layer: str) -> None:
    assert [kernel.passes(frame) for frame in wrapped(kind, layer)] == [True] * len(LINKS)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", UNWANTED)
def test_the_rest_does_not(kernel: Kernel, kind: str, layer: str) -> None:
    assert [kernel.passes(frame) for frame in wrapped(kind, layer)] == [False] * len(LINKS)


def test_what_is_not_ip_does_not_pass(wide: Kernel) -> None:
    assert not wide.passes(framed(ARP()))
    assert not wide.passes(framed(Raw(RTP)))
    assert not wide.passes(bytes(14))
    assert not wide.passes(b"\x00")
    assert not wide.passes(framed(V4 / udp(RTP), (0x8100,) * 5))
    assert not wide.passes(bytes(Ether(type=0x8863) / Raw(bytes(40))))


@pytest.mark.parametrize("fragment", [IP(flags="MF"), IP(frag=185), IP(flags="MF", frag=185)])
@pytest.mark.parametrize(("protocol", "wanted"), [(17, True), (6, True), (1, False)])
def test_fragments_of_udp_and_tcp_pass(kernel: Kernel, fragment: Packet, protocol: int, wanted: bool) -> None:
    head = V4.copy()
    head.flags, head.frag, head.proto = fragment.flags, fragment.frag, protocol
    assert kernel.passes(framed(head / Raw(DNS_QUERY))) is wanted


EXTENSIONS = {
    "hop by hop": (0, bytes(IPv6ExtHdrHopByHop(options=[RouterAlert()]))),
    "destination options": (60, bytes(IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(20))]))),
    "routing": (43, bytes(IPv6ExtHdrRouting(addresses=["2001:db8::1", "2001:db8::2"]))),
    "authentication": (51, b"\x00\x04" + bytes(2) + b"\x00\x00\x00\x01\x00\x00\x00\x01" + bytes(12)),
    "mobility": (135, b"\x00\x01" + bytes(14)),
}
"""Number and octets; the first of these is the number of what follows."""


def extended(packet: Packet, *names: str) -> Packet:
    """An IPv6 packet with these extension headers before what it carries."""
    protocol, octets = bytes(packet)[6], bytes(packet.payload)
    for name in reversed(names):
        number, header = EXTENSIONS[name]
        protocol, octets = number, bytes((protocol,)) + header[1:] + octets
    head = packet.copy()
    head.remove_payload()
    head.nh = protocol
    return head / Raw(octets)


@pytest.mark.parametrize("kind", [*WANTED, *UNWANTED])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_behind_an_ipv6_extension_header_the_same_holds(kernel: Kernel, extension: str, kind: str) -> None:
    packet = extended(V6 / (WANTED | UNWANTED)[kind], extension)
    assert [kernel.passes(framed(packet, *link)) for link in LINKS[:4]] == [kind in WANTED] * 4


@pytest.mark.parametrize(("count", "found"), [(MAX_EXTENSION_HEADERS, True), (MAX_EXTENSION_HEADERS + 1, False)])
def test_so_many_extension_headers_are_looked_behind(kernel: Kernel, count: int, found: bool) -> None:
    names = ["authentication" if number % 2 else "destination options" for number in range(count)]
    frame = framed(extended(V6 / udp(RTP), *names))
    assert kernel.passes(frame) is found
    assert bool(kept(batch_of([frame], wires=[len(frame)]))) is found


@pytest.mark.parametrize(("protocol", "wanted"), [(17, True), (6, True), (60, True), (58, False)])
def test_ipv6_fragments_of_udp_and_tcp_pass(kernel: Kernel, protocol: int, wanted: bool) -> None:
    for fragment in (IPv6ExtHdrFragment(nh=protocol, offset=185), IPv6ExtHdrFragment(nh=protocol, m=1)):
        assert kernel.passes(framed(V6 / fragment / Raw(bytes(100)))) is wanted
        assert kernel.passes(framed(V6 / IPv6ExtHdrHopByHop() / fragment / Raw(bytes(100)))) is wanted


def test_what_every_ipv6_host_says_does_not_pass(kernel: Kernel) -> None:
    """Reports of who listens to which group (MLD) come with an extension header."""
    alert = IPv6(src="fe80::1", dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    assert not kernel.passes(framed(alert / ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(dst="ff02::fb")])))
    assert not kernel.passes(framed(alert / ICMPv6MLReport()))
    assert not kernel.passes(framed(IPv6(src="fe80::1", dst="ff02::2", hlim=255) / ICMPv6ND_RS()))


@pytest.mark.parametrize(
    ("tunnel", "packet"),
    [
        ("gre", V4 / GRE() / V4 / udp(RTP)),
        ("erspan", V6 / GRE(proto=0x88BE) / Ether() / V4 / udp(RTP)),
        ("ipip", V4 / V4 / udp(RTP)),
        ("ipip", V4 / V6 / udp(RTP)),
        ("ipip", V6 / V4 / udp(RTP)),
        ("vxlan", V4 / UDP(sport=50000, dport=4789) / Raw(b"\x08" + bytes(7)) / Ether() / V4 / udp(RTP)),
        ("tzsp", V6 / UDP(sport=50000, dport=37008) / Raw(b"\x01\x00\x00\x01\x01") / Ether() / V4 / udp(RTP)),
    ],
)
def test_a_tunnel_passes_when_it_is_configured(tunnel: str, packet: Packet) -> None:
    related = {"gre": {"gre", "erspan"}, "erspan": {"gre", "erspan"}}.get(tunnel, {tunnel})
    for configured in TUNNELS:
        asked = Kernel(program(SIP_PORTS, tunnels=frozenset((configured,))))
        assert asked.passes(framed(packet)) is (configured in related), configured
        asked.close()


def test_short_frames(wide: Kernel) -> None:
    whole = framed(V4 / udp(STUN))
    shortest = 14 + 20 + 8 + 8
    assert [size for size in range(len(whole)) if wide.passes(whole[:size])] == list(range(shortest, len(whole)))
    on_port = framed(V4 / udp(b"", 40000, 5060))
    assert wide.passes(on_port[: 14 + 20 + 4])
    assert wide.passes(framed(V4 / udp(b"\x80")))


@pytest.mark.parametrize("ports", [frozenset(range(10_000, 10_600, 2)), frozenset(range(5000, 6000)), frozenset()])
def test_many_ports(ports: frozenset[int]) -> None:
    asked = Kernel(program(ports, tunnels=TUNNELS))
    for port in (1, 4999, 5000, 5999, 6000, 9999, 10_000, 10_001, 10_598, 10_599):
        assert asked.passes(framed(V4 / udp(b"x", port, 1))) is (port in ports), port
        assert asked.passes(framed(V6 / tcp(1, port))) is (port in ports), port
    assert asked.passes(framed(V4 / udp(RTP)))
    asked.close()


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(FilterError, match="unknown tunnel mpls"):
        program(SIP_PORTS, tunnels=frozenset(("mpls", "gre")))
    with pytest.raises(FilterError, match=f"instructions; the kernel takes {MAX_INSTRUCTIONS}"):
        program(frozenset(range(1, 65536, 2)), tunnels=TUNNELS)


def test_assembler_refuses_jumps_that_cannot_be() -> None:
    far = Assembler()
    far.if_equal(1, "end")
    for _ in range(256):
        far.load_byte(0)
    far.label("end")
    far.answer(0)
    with pytest.raises(FilterError, match="jump over 256 instructions; a condition reaches 255"):
        far.assemble()
    backward = Assembler()
    backward.label("here")
    backward.jump("here")
    with pytest.raises(FilterError, match="jump backward to here"):
        backward.assemble()
    with pytest.raises(FilterError, match="label here is there twice"):
        backward.label("here")
    nowhere = Assembler()
    nowhere.jump("there")
    with pytest.raises(FilterError, match="label there is nowhere"):
        nowhere.assemble()


def kept(batch: RecordBatch) -> set[int]:
    """Numbers of the frames that intake keeps; TCP only on ports that are configured.

    Capture times number the frames, and are found again in what intake hands over.
    """
    names = np.arange(len(batch))
    batch.ts_ns[:] = names
    frames = parse(batch)
    rows = frames.select(FrameKind.TCP)
    fits = frames.transport_start[rows] + 4 <= len(batch.buffer)
    rows = rows[fits]
    at = frames.transport_start[rows]
    ports = np.stack([batch.buffer[at + i].astype(int) << 8 | batch.buffer[at + i + 1] for i in (0, 2)])
    elsewhere = rows[~np.isin(ports, [*SIP_PORTS, SIPS_PORT]).any(axis=0)]
    found: set[int] = set()
    for window in Intake(SIP_PORTS).windows(batch):
        for piece in window.rows:
            found.update(piece[:, :8].copy().view("<i8")[:, 0].tolist())
        if window.signalling is not None:
            found.update(window.signalling.ts_ns.tolist())
    return found - set(elsewhere.tolist())


@pytest.mark.skipif(not CAPTURES, reason=ABSENT)
def test_nothing_of_the_corpus_that_intake_keeps_is_refused(wide: Kernel) -> None:
    checked = refused = 0
    for name in CAPTURES:
        with CaptureReader(CORPUS / name, batch_bytes=1 << 20) as reader:
            for batch in reader:
                ethernet = batch.link_type == LINK_ETHERNET
                frames = [
                    batch.buffer[s : s + n].tobytes()
                    for s, n in zip(batch.start[ethernet].tolist(), batch.captured[ethernet].tolist(), strict=True)
                ]
                if not frames:
                    continue
                wanted = kept(batch_of(frames, wires=batch.wire[ethernet].tolist()))
                passed = {place for place, frame in enumerate(frames) if wide.passes(frame)}
                assert wanted <= passed, f"{name}: frame {min(wanted - passed)} of a batch"
                checked += len(wanted)
                refused += len(frames) - len(passed)
    assert checked > 10_000
    assert refused > 0


SEEDS = [
    framed(layer / kind, tags, pppoe)
    for layer, kind, (tags, pppoe) in itertools.product(
        LAYERS.values(),
        [WANTED[name] for name in ("RTP", "RTCP", "STUN", "DTLS", "ZRTP", "SIP INVITE", "TCP to a SIP port")],
        LINKS[:6],
    )
] + [
    framed(V4 / GRE() / V4 / udp(RTP)),
    framed(V4 / V6 / udp(STUN)),
    framed(V6 / IPv6ExtHdrDestOpt() / udp(RTP)),
    framed(V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrFragment(nh=17) / udp(RTP)),
    framed(V4 / UDP(sport=50000, dport=4789) / Raw(b"\x08" + bytes(7)) / Ether() / V4 / udp(RTP)),
]


@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=3),
    size=st.integers(1, 300),
)
@settings(max_examples=600, deadline=None)
def test_intake_keeps_nothing_that_is_refused(
    wide: Kernel, seed: bytes, changes: list[tuple[int, int]], size: int
) -> None:
    frame = bytearray(seed)
    for place, value in changes:
        frame[min(place, len(frame) - 1)] = value
    cut = bytes(frame[:size])
    if kept(batch_of([cut], wires=[len(seed)])):
        assert wide.passes(cut)
