"""Where the transport payload lies, for every wrapping that a mirror shows; and that nothing on the wire can confuse
it."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Packet, Raw

from capture import frames as layers
from capture.frames import FrameKind, Frames
from capture.linklayer import VLAN_PRESENT
from capture.records import (
    GUARD_BYTES,
    LINK_ETHERNET,
    LINK_IPV4,
    LINK_IPV6,
    LINK_LINUX_SLL,
    LINK_LINUX_SLL2,
    LINK_LOOP,
    LINK_NULL,
    LINK_PPP,
    LINK_PPP_ETHER,
    LINK_RAW,
    RecordBatch,
)
from tests.capture.batches import HERE, HERE_6, THERE, THERE_6, batch_of, datagram, frame_of
from tests.capture.tunnelled import KINDS, PAYLOAD, in_tunnel
from tests.traffic.pcapwriter import FrameWriter, Link, Transport, Wire

BOUNDED = settings(max_examples=100, deadline=None)
_TYPED = (LINK_ETHERNET, LINK_LINUX_SLL, LINK_LINUX_SLL2, LINK_RAW, LINK_IPV4, LINK_IPV6)
LINKS = (*_TYPED, LINK_NULL, LINK_LOOP, LINK_PPP, LINK_PPP_ETHER)

UDP_V4 = bytes(IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=5004, dport=6004) / Raw(PAYLOAD))
UDP_V6 = bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=5004, dport=6004) / Raw(PAYLOAD))


def transport_of(batch: RecordBatch, frames: Frames, row: int = 0) -> bytes:
    return batch.buffer[frames.transport_start[row] : frames.transport_end[row]].tobytes()


def udp_payload(frame: bytes, link_type: int = LINK_ETHERNET, *, version: int = 4) -> Frames:
    """Parse one frame among others and see that it is UDP with `PAYLOAD`."""
    batch = batch_of(
        [b"\x45" * 7, frame, b"\x08\x00" * 40], link_type=[LINK_ETHERNET, link_type, LINK_ETHERNET], gap=bytes(16)
    )
    frames = layers.parse(batch)
    assert frames.kind[1] == FrameKind.UDP
    assert frames.ip_version[1] == version
    assert frames.protocol[1] == 17
    segment = transport_of(batch, frames, 1)
    assert segment[8:] == PAYLOAD
    assert frames.transport_wire[1] == len(segment)
    assert segment[:4] == struct.pack("!HH", 5004, 6004)
    return frames


def stack(*parts: Packet) -> bytes:
    """Headers around a UDP datagram with `PAYLOAD`."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole / part
    return bytes(whole / UDP(sport=5004, dport=6004) / Raw(PAYLOAD))


def ether(ether_type: int) -> Ether:
    """With addresses given: scapy would ask the network for them."""
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=ether_type)


V4 = IP(src="192.0.2.1", dst="192.0.2.2")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")


class TestLinkLayers:
    @pytest.mark.parametrize(
        ("link", "link_type"),
        [
            (Link.ETHERNET, LINK_ETHERNET),
            (Link.SLL, LINK_LINUX_SLL),
            (Link.SLL2, LINK_LINUX_SLL2),
            (Link.RAW, LINK_RAW),
            (Link.NULL, LINK_NULL),
        ],
    )
    @pytest.mark.parametrize("six", [False, True])
    def test_generated(self, link, link_type, six):
        ends = (HERE_6, THERE_6) if six else (HERE, THERE)
        frames = udp_payload(frame_of(PAYLOAD, *ends, Wire(link=link)), link_type, version=6 if six else 4)
        assert (frames.mac_start[1] >= 0) == (link is Link.ETHERNET)

    @pytest.mark.parametrize(
        ("head", "link_type", "six"),
        [
            (struct.pack("<I", 2), LINK_NULL, False),
            (struct.pack(">I", 2), LINK_NULL, False),
            (struct.pack("<I", 24), LINK_NULL, True),
            (struct.pack(">I", 28), LINK_NULL, True),
            (struct.pack("<I", 30), LINK_NULL, True),
            (struct.pack(">I", 2), LINK_LOOP, False),
            (struct.pack(">I", 30), LINK_LOOP, True),
            (b"", LINK_IPV4, False),
            (b"", LINK_IPV6, True),
            (b"", LINK_RAW, True),
            (b"\x00\x21", LINK_PPP, False),
            (b"\x00\x57", LINK_PPP, True),
            (b"\xff\x03\x00\x21", LINK_PPP, False),
            (b"\xff\x03\x00\x57", LINK_PPP, True),
            (b"\x11\x00\x00\x2a\x00\x40\x00\x21", LINK_PPP_ETHER, False),
            (b"\x11\x00\x00\x2a\x00\x40\x00\x57", LINK_PPP_ETHER, True),
        ],
    )
    def test_by_hand(self, head, link_type, six):
        frames = udp_payload(head + (UDP_V6 if six else UDP_V4), link_type, version=6 if six else 4)
        assert frames.mac_start[1] == -1

    def test_all_in_one_batch(self):
        rows = [
            (frame_of(PAYLOAD), LINK_ETHERNET),
            (frame_of(PAYLOAD, wire=Wire(link=Link.SLL)), LINK_LINUX_SLL),
            (UDP_V6, LINK_RAW),
            (b"\x02\0\0\0" + UDP_V4, LINK_NULL),
            (frame_of(PAYLOAD, wire=Wire(pppoe_session=7)), LINK_ETHERNET),
            (b"\x00\x57" + UDP_V6, LINK_PPP),
            (frame_of(PAYLOAD, wire=Wire(link=Link.SLL2)), LINK_LINUX_SLL2),
        ]
        batch = batch_of([frame for frame, _ in rows], link_type=[link for _, link in rows])
        frames = layers.parse(batch)
        assert frames.kind.tolist() == [FrameKind.UDP] * len(rows)
        assert {transport_of(batch, frames, row)[8:] for row in range(len(rows))} == {PAYLOAD}
        assert frames.select(FrameKind.UDP).tolist() == list(range(len(rows)))

    def test_no_frames(self):
        frames = layers.parse(batch_of([]))
        assert len(frames.kind) == 0

    @pytest.mark.parametrize("link_type", [0xFFFF, 147, 127])
    def test_unknown_link_type_is_not_ip(self, link_type):
        assert layers.parse(batch_of([UDP_V4], link_type=link_type)).kind.tolist() == [FrameKind.NOT_IP]

    @pytest.mark.parametrize("ether_type", [0x0806, 0x88CC, 0x0027, 0x05DD])
    def test_other_ethernet_is_not_ip(self, ether_type):
        frame = bytes(12) + struct.pack("!H", ether_type) + UDP_V4
        assert layers.parse(batch_of([frame])).kind.tolist() == [FrameKind.NOT_IP]


class TestTags:
    @pytest.mark.parametrize(
        ("vlans", "outer", "inner"),
        [
            ((), 0, 0),
            ((100,), VLAN_PRESENT | 100, 0),
            ((0,), VLAN_PRESENT, 0),
            ((4094, 7), VLAN_PRESENT | 4094, VLAN_PRESENT | 7),
            ((1, 2, 3), VLAN_PRESENT | 1, VLAN_PRESENT | 2),
            ((1, 2, 3, 4), VLAN_PRESENT | 1, VLAN_PRESENT | 2),
        ],
    )
    @pytest.mark.parametrize("session", [None, 0x2A])
    def test_tags(self, vlans, outer, inner, session):
        frames = udp_payload(frame_of(PAYLOAD, wire=Wire(vlans=vlans, pppoe_session=session)))
        assert (frames.vlan_outer[1], frames.vlan_inner[1]) == (outer, inner)

    @pytest.mark.parametrize("ether_type", [0x8100, 0x88A8, 0x9100])
    def test_all_tag_types(self, ether_type):
        frame = bytes(12) + struct.pack("!HHH", ether_type, 0xE005, 0x0800) + UDP_V4
        assert udp_payload(frame).vlan_outer[1] == VLAN_PRESENT | 5

    def test_tags_behind_a_cooked_header(self):
        frame = frame_of(PAYLOAD, wire=Wire(link=Link.SLL))
        tagged = frame[:14] + struct.pack("!HH", 0x8100, 9) + frame[14:]
        assert udp_payload(tagged, LINK_LINUX_SLL).vlan_outer[1] == VLAN_PRESENT | 9

    def test_too_many_tags_are_not_ip(self):
        frame = frame_of(PAYLOAD, wire=Wire(vlans=(1, 2, 3, 4, 5)))
        assert layers.parse(batch_of([frame])).kind.tolist() == [FrameKind.NOT_IP]

    def test_tags_are_each_frame_s_own(self):
        wires = [Wire(vlans=tags) for tags in ((), (5,), (6, 7), (), (8,))]
        frames = layers.parse(batch_of([frame_of(PAYLOAD, wire=wire) for wire in wires]))
        assert [int(tag) & 0xFFF for tag in frames.vlan_outer] == [0, 5, 6, 0, 8]
        assert [int(tag) & 0xFFF for tag in frames.vlan_inner] == [0, 0, 7, 0, 0]
        assert (frames.kind == FrameKind.UDP).all()


class TestIpv4:
    def test_options(self):
        udp_payload(stack(ether(0x0800), IP(src="192.0.2.1", dst="192.0.2.2", options=[IPOption_Router_Alert()])))

    def test_trailer_of_a_short_frame_is_not_payload(self):
        udp_payload(frame_of(PAYLOAD) + bytes(20))

    def test_total_length_zero_of_an_offloaded_packet(self):
        frame = bytearray(frame_of(PAYLOAD))
        frame[16:18] = b"\0\0"
        udp_payload(bytes(frame))

    def test_total_length_zero_when_cut(self):
        frame = bytearray(frame_of(PAYLOAD))
        frame[16:18] = b"\0\0"
        batch = batch_of([bytes(frame[:50])], wires=[len(frame)])
        frames = layers.parse(batch)
        assert frames.transport_end[0] - frames.transport_start[0] == 50 - 34
        assert frames.transport_wire[0] == len(frame) - 34

    @pytest.mark.parametrize(
        ("place", "value"),
        [(14, 0x55), (14, 0x65), (14, 0x44), (14, 0x4F), (17, 19)],
        ids=[
            "version 5",
            "version 6",
            "short header",
            "header longer than the packet",
            "total shorter than the header",
        ],
    )
    def test_damaged(self, place, value):
        frame = bytearray(frame_of(b""))
        frame[place] = value
        frame[16] = 0
        assert layers.parse(batch_of([bytes(frame)])).kind.tolist() == [FrameKind.DAMAGED]

    def test_fragments(self):
        writer = FrameWriter(Wire(mtu=300))
        octets = [frame.octets for frame in writer.frames(datagram(bytes(range(256)) * 3))]
        batch = batch_of(octets)
        frames = layers.parse(batch)
        assert (frames.kind == FrameKind.FRAGMENT).all()
        assert (frames.protocol == 17).all()
        joined = b"".join(transport_of(batch, frames, row) for row in range(len(octets)))
        assert joined[8:] == bytes(range(256)) * 3

    def test_do_not_fragment_is_no_fragment(self):
        udp_payload(stack(ether(0x0800), IP(src="192.0.2.1", dst="192.0.2.2", flags="DF")))

    @pytest.mark.parametrize(
        ("segment", "kind"), [(TCP(), FrameKind.TCP), (Raw(b"x" * 20), FrameKind.OTHER_IP)], ids=["TCP", "other"]
    )
    def test_other_protocols(self, segment, kind):
        frames = layers.parse(batch_of([bytes(ether(0x0800) / IP(proto=6 if kind == FrameKind.TCP else 89) / segment)]))
        assert frames.kind.tolist() == [kind]


EXTENSIONS = {
    "hop by hop": (IPv6ExtHdrHopByHop(),),
    "destination": (IPv6ExtHdrDestOpt(),),
    "routing": (IPv6ExtHdrRouting(addresses=["2001:db8::9"]),),
    "authentication": (AH(nh=17, payloadlen=4, spi=1, seq=2, icv=b"\x11" * 12),),
    "atomic fragment": (IPv6ExtHdrFragment(offset=0, m=0, id=7),),
    "several": (
        IPv6ExtHdrHopByHop(),
        IPv6ExtHdrDestOpt(),
        IPv6ExtHdrRouting(),
        AH(nh=17, payloadlen=4, icv=b"\x11" * 12),
    ),
    "before an atomic fragment": (IPv6ExtHdrHopByHop(), IPv6ExtHdrFragment(offset=0, m=0, id=7)),
    "behind an atomic fragment": (IPv6ExtHdrFragment(offset=0, m=0, id=7), IPv6ExtHdrDestOpt()),
}


class TestIpv6:
    @pytest.mark.parametrize("headers", EXTENSIONS.values(), ids=EXTENSIONS)
    def test_extension_headers(self, headers):
        udp_payload(stack(ether(0x86DD), V6, *headers), version=6)

    def test_fragments(self):
        writer = FrameWriter(Wire(mtu=300))
        octets = [frame.octets for frame in writer.frames(datagram(bytes(range(256)) * 3, HERE_6, THERE_6))]
        batch = batch_of(octets)
        frames = layers.parse(batch)
        assert (frames.kind == FrameKind.FRAGMENT).all()
        assert (frames.protocol == 17).all()
        joined = b"".join(transport_of(batch, frames, row)[8:] for row in range(len(octets)))
        assert joined[8:] == bytes(range(256)) * 3

    def test_a_fragment_s_data_is_not_taken_for_headers(self):
        head = bytes(IPv6(nh=44, plen=24, src="2001:db8::1", dst="2001:db8::2"))
        fragment = struct.pack("!BBHI", 60, 0, 8 | 1, 5) + b"\x11" + bytes(15)
        frames = layers.parse(batch_of([bytes(12) + b"\x86\xdd" + head + fragment]))
        assert frames.kind.tolist() == [FrameKind.FRAGMENT]

    def test_endless_extension_headers_end(self):
        chain = b"\x00\x00" + bytes(6)
        packet = bytes(IPv6(nh=0, plen=8 * 60, src="::1", dst="::2")) + chain * 60
        assert layers.parse(batch_of([packet], link_type=LINK_RAW)).kind[0] in (FrameKind.OTHER_IP, FrameKind.DAMAGED)

    def test_extension_headers_beyond_the_packet(self):
        packet = bytes(IPv6(nh=0, plen=8, src="::1", dst="::2")) + b"\x11\xff" + bytes(6)
        assert layers.parse(batch_of([packet], link_type=LINK_RAW)).kind.tolist() == [FrameKind.DAMAGED]


GRE_KINDS = {
    "plain": GRE(proto=0x0800),
    "key": GRE(proto=0x0800, key_present=1, key=9),
    "sequence": GRE(proto=0x0800, seqnum_present=1, sequence_number=3),
    "checksum": GRE(proto=0x0800, chksum_present=1),
    "all": GRE(proto=0x0800, chksum_present=1, key_present=1, seqnum_present=1, key=9, sequence_number=3),
}


class TestTunnels:
    @pytest.mark.parametrize("gre", GRE_KINDS.values(), ids=GRE_KINDS)
    def test_gre(self, gre):
        frames = udp_payload(stack(ether(0x0800), IP(src="10.0.0.1", dst="10.0.0.2", proto=47), gre, V4))
        assert frames.tunnel[1] == 1

    @pytest.mark.parametrize(
        "ppp",
        [b"\x00\x21", b"\x21", b"\xff\x03\x00\x21", b"\xff\x03\x21"],
        ids=["two bytes", "compressed", "framed", "framed and compressed"],
    )
    @pytest.mark.parametrize("acknowledged", [False, True])
    def test_ppp_in_enhanced_gre(self, ppp, acknowledged):
        flags = 0x3001 | (0x0080 if acknowledged else 0)
        gre = struct.pack("!HHHHI", flags, 0x880B, len(ppp) + len(UDP_V4), 5, 1) + (bytes(4) if acknowledged else b"")
        outer = bytes(ether(0x0800) / IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / Raw(gre + ppp + UDP_V4))
        assert udp_payload(outer).tunnel[1] == 1

    @pytest.mark.parametrize(
        ("parts", "depth", "version"),
        [
            ((IP(proto=4), V4), 1, 4),
            ((IP(proto=41), V6), 1, 6),
            ((IPv6(nh=4), V4), 1, 4),
            ((IPv6(nh=41), V6), 1, 6),
            ((IPv6(nh=47), GRE(proto=0x86DD), V6), 1, 6),
            ((IP(proto=47), GRE(proto=0x0800), IP(proto=4), V4), 2, 4),
            ((IP(proto=4), IP(proto=4), IP(proto=41), IPv6(nh=4), V4), 4, 4),
        ],
        ids=["4 in 4", "6 in 4", "4 in 6", "6 in 6", "GRE over 6", "IP in IP in GRE", "four deep"],
    )
    def test_ip_in_ip(self, parts, depth, version):
        outermost = ether(0x86DD if isinstance(parts[0], IPv6) else 0x0800)
        assert udp_payload(stack(outermost, *parts), version=version).tunnel[1] == depth

    def test_too_deep_is_left(self):
        frame = stack(ether(0x0800), *[IP(proto=4)] * 5, V4)
        assert layers.parse(batch_of([frame])).kind.tolist() == [FrameKind.OTHER_IP]

    def test_vlan_pppoe_gre_and_options_together(self):
        outer = IP(src="10.0.0.1", dst="10.0.0.2", proto=47, options=[IPOption_Router_Alert()])
        tagged = ether(0x8100) / Dot1Q(vlan=5, type=0x8864) / PPPoE(sessionid=3) / PPP(proto=0x21)
        frames = udp_payload(stack(tagged, outer, GRE(proto=0x86DD, key_present=1, key=1), V6), version=6)
        assert (frames.tunnel[1], frames.vlan_outer[1]) == (1, VLAN_PRESENT | 5)

    def test_fragment_inside_a_tunnel(self):
        inner = IP(src="192.0.2.1", dst="192.0.2.2", proto=17, flags="MF") / Raw(bytes(64))
        frames = layers.parse(batch_of([bytes(ether(0x0800) / IP(proto=4) / inner)]))
        assert frames.kind.tolist() == [FrameKind.FRAGMENT]
        assert frames.protocol.tolist() == [17]

    def test_damaged_inside_a_tunnel(self):
        frames = layers.parse(batch_of([bytes(ether(0x0800) / IP(proto=4) / Raw(b"\x45" * 10))]))
        assert frames.kind.tolist() == [FrameKind.DAMAGED]


SHAPES = {
    "plain": (frame_of(PAYLOAD), LINK_ETHERNET),
    "QinQ": (frame_of(PAYLOAD, wire=Wire(vlans=(1, 2))), LINK_ETHERNET),
    "PPPoE": (frame_of(PAYLOAD, HERE_6, THERE_6, Wire(pppoe_session=1)), LINK_ETHERNET),
    "cooked": (frame_of(PAYLOAD, wire=Wire(link=Link.SLL2)), LINK_LINUX_SLL2),
    "PPP": (b"\xff\x03\x00\x21" + UDP_V4, LINK_PPP),
    "IPv6 extensions": (stack(ether(0x86DD), V6, *EXTENSIONS["several"]), LINK_ETHERNET),
    "atomic fragment": (stack(ether(0x86DD), V6, *EXTENSIONS["behind an atomic fragment"]), LINK_ETHERNET),
    "GRE": (stack(ether(0x0800), IP(proto=47), GRE_KINDS["all"], V4), LINK_ETHERNET),
    "PPP in GRE": (
        stack(ether(0x0800), IP(proto=47), Raw(b"\x30\x01\x88\x0b" + bytes(8) + b"\xff\x03\x21"), V4),
        LINK_ETHERNET,
    ),
    "4 in 6": (stack(ether(0x86DD), IPv6(nh=4), V4), LINK_ETHERNET),
    "ERSPAN": (in_tunnel(KINDS["ERSPAN III with a platform subheader"]), LINK_ETHERNET),
    "options": (stack(ether(0x0800), IP(options=[IPOption_Router_Alert()])), LINK_ETHERNET),
}


HINTED = [(in_tunnel(KINDS[name]), LINK_ETHERNET) for name in ("VXLAN", "TZSP with tags")]
"""What is UDP as long as its inside is not there."""


def check_bounds(batch: RecordBatch, frames: Frames) -> None:
    """Whatever the bytes: offsets lie inside the frame, and its neighbours do not matter."""
    transport = np.flatnonzero(
        np.isin(frames.kind, (FrameKind.UDP, FrameKind.TCP, FrameKind.FRAGMENT, FrameKind.OTHER_IP))
    )
    start, end = frames.transport_start[transport], frames.transport_end[transport]
    assert (start >= batch.start[transport]).all()
    assert (start <= end).all()
    assert (end <= (batch.start + batch.captured)[transport]).all()
    assert (end - start <= frames.transport_wire[transport]).all()
    ip = frames.ip_start[transport]
    assert (ip >= batch.start[transport]).all()
    assert (ip + np.where(frames.ip_version[transport] == 6, 40, 20) <= start).all()


@pytest.mark.parametrize(("frame", "link_type"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("neighbour", [b"\x00", b"\xff", b"\x45"])
def test_truncation_at_every_byte(frame, link_type, neighbour):
    sizes = range(len(frame) + 1)
    frames_cut = [frame[:size] for size in sizes]
    batch = batch_of(frames_cut, link_type=link_type, wires=[len(frame)] * len(frames_cut), gap=neighbour * 96)
    frames = layers.parse(batch)
    check_bounds(batch, frames)
    payload_at = frame.rindex(PAYLOAD)
    for size in sizes:
        if size < payload_at - 8:
            assert frames.kind[size] != FrameKind.UDP
            continue
        assert frames.kind[size] == FrameKind.UDP
        assert transport_of(batch, frames, size) == frame[payload_at - 8 : size]
        assert frames.transport_wire[size] == 8 + len(PAYLOAD)


def hostile_frames() -> st.SearchStrategy[tuple[bytes, int]]:
    """Random bytes, and real frames with bytes changed, cut short."""

    def changed(shape: tuple[bytes, int], changes: list[tuple[float, int]], keep: float) -> tuple[bytes, int]:
        frame = bytearray(shape[0])
        for place, value in changes:
            frame[int(place * len(frame))] = value
        return bytes(frame[: int(keep * len(frame) + 1)]), shape[1]

    change = st.tuples(
        st.floats(0, 0.999), st.sampled_from([0, 1, 4, 6, 17, 41, 44, 47, 51, 60, 0x45, 0x4F, 0x60, 0x81, 0xFF])
    )
    return st.one_of(
        st.tuples(st.binary(max_size=120), st.sampled_from(LINKS)),
        st.builds(
            changed, st.sampled_from([*SHAPES.values(), *HINTED]), st.lists(change, max_size=12), st.floats(0, 1)
        ),
    )


@BOUNDED
@given(rows=st.lists(hostile_frames(), min_size=1, max_size=30), longer=st.integers(0, 100_000))
def test_no_bytes_raise(rows, longer):
    frames_in = [frame for frame, _ in rows]
    batch = batch_of(
        frames_in, link_type=[link for _, link in rows], wires=[len(frame) + longer for frame in frames_in]
    )
    assert not batch.buffer[-GUARD_BYTES:].any()
    frames = layers.parse(batch)
    check_bounds(batch, frames)
    for row, (frame, link) in enumerate(rows):
        alone = batch_of([frame], link_type=link, wires=[len(frame) + longer], gap=b"\xa5" * 48)
        one = layers.parse(alone)
        for name in ("kind", "tunnel", "vlan_outer", "vlan_inner", "ip_version", "protocol", "transport_wire"):
            assert getattr(one, name)[0] == getattr(frames, name)[row]
        if frames.kind[row] not in (FrameKind.NOT_IP, FrameKind.DAMAGED):
            assert transport_of(alone, one) == transport_of(batch, frames, row)
            assert one.ip_start[0] - alone.start[0] == frames.ip_start[row] - batch.start[row]


def test_tcp_of_the_traffic_writer():
    octets = [frame.octets for frame in FrameWriter().frames(datagram(b"x" * 3000, transport=Transport.TCP))]
    batch = batch_of(octets)
    frames = layers.parse(batch)
    assert (frames.kind == FrameKind.TCP).all()
    assert sum(len(transport_of(batch, frames, row)) - 20 for row in range(len(octets))) == 3000
