"""What a tunnel carries is read as if it had come alone; what only looks like a tunnel stays what it was."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.layers.inet import IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from capture import frames as layers
from capture import tunnels
from capture.frames import FrameKind, Frames
from capture.linklayer import VLAN_PRESENT
from capture.records import GUARD_BYTES, LINK_ETHERNET, RecordBatch
from capture.tunnels import MAX_TZSP_TAGS
from tests.capture.batches import batch_of, rtp
from tests.capture.tunnelled import (
    INNER,
    INNER_6,
    IP_KINDS,
    KINDS,
    MAC,
    OUTER,
    OUTER_6,
    PAYLOAD,
    SPEECH,
    TZSP_PLAIN,
    TZSP_TAGGED,
    UDP_KINDS,
    gre,
    in_tunnel,
    tzsp,
    vxlan,
)

BOUNDED = settings(max_examples=100, deadline=None)
COLUMNS = ("kind", "ip_version", "protocol", "transport_wire", "vlan_outer", "vlan_inner", "tunnel")
OFFSETS = ("mac_start", "ip_start", "transport_start", "transport_end")


def one(frame: bytes, *, wire: int | None = None) -> tuple[dict[str, int], RecordBatch]:
    """The columns of one frame among others, offsets counted from its first byte."""
    batch = batch_of([b"\x45" * 7, frame, b"\x08\x00" * 40], gap=b"\xa5" * 16, wires=[7, wire or len(frame), 80])
    return row_of(layers.parse(batch), batch, 1), batch


def row_of(frames: Frames, batch: RecordBatch, row: int) -> dict[str, int]:
    columns = {name: int(getattr(frames, name)[row]) for name in COLUMNS + OFFSETS}
    start = int(batch.start[row])
    for name in OFFSETS:
        columns[name] -= start if columns[name] >= start else 0  # else not set
    return columns


def moved(columns: dict[str, int], by: int, deeper: int = 1) -> dict[str, int]:
    """The columns of a frame that lies `by` bytes further inside, in `deeper` more tunnels."""
    shifted = {name: columns[name] + by if columns[name] >= 0 else -1 for name in OFFSETS}
    return columns | shifted | {"tunnel": columns["tunnel"] + deeper}


INSIDES: dict[str, Packet] = {
    "IPv4": INNER,
    "IPv6": INNER_6,
    "VLAN": MAC / Dot1Q(vlan=100) / IP(src="192.0.2.1", dst="192.0.2.2") / SPEECH,
    "QinQ": Ether(bytes(MAC)[:12] + b"\x88\xa8") / Dot1Q(vlan=7) / Dot1Q(vlan=9) / IPv6() / SPEECH,
    "TCP": MAC / IP() / TCP(sport=5060, dport=5061) / Raw(b"INVITE"),
    "fragment": MAC / IP(flags="MF", proto=17) / Raw(bytes(64)),
    "short, padded": MAC / IP() / UDP(sport=1, dport=2) / Raw(b"\r\n") / Raw(bytes(16)),
    "IP in IP": MAC / IP(src="10.1.0.1", dst="10.1.0.2") / IP(src="192.0.2.1", dst="192.0.2.2") / SPEECH,
}


@pytest.mark.parametrize("outer", [OUTER, OUTER_6], ids=["over IPv4", "over IPv6"])
@pytest.mark.parametrize("inner", INSIDES.values(), ids=INSIDES)
@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_inside_is_read_as_if_it_had_come_alone(header, inner, outer):
    alone, _ = one(bytes(inner))
    assert alone["kind"] in (FrameKind.UDP, FrameKind.TCP, FrameKind.FRAGMENT)
    frame = in_tunnel(header, inner, outer)
    found, _ = one(frame)
    assert found == moved(alone, len(frame) - len(bytes(inner)))


@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_every_field(header):
    frame = in_tunnel(header)
    before = len(frame) - len(bytes(INNER))
    found, batch = one(frame)
    assert found == {
        "kind": FrameKind.UDP,
        "ip_version": 4,
        "protocol": 17,
        "transport_wire": 8 + len(PAYLOAD),
        "vlan_outer": 0,
        "vlan_inner": 0,
        "tunnel": 1,
        "mac_start": before,
        "ip_start": before + 14,
        "transport_start": before + 34,
        "transport_end": len(frame),
    }
    octets = batch.buffer[batch.start[1] :].tobytes()
    assert octets[before : before + 6] == bytes.fromhex("02aa00000004")
    assert octets[before + 42 : len(frame)] == PAYLOAD


@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_tags_outside_are_not_those_of_the_frame_inside(header):
    outer = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=99) / IP()
    assert one(in_tunnel(header, INNER, outer))[0]["vlan_outer"] == 0
    assert one(in_tunnel(header, INSIDES["VLAN"], outer))[0]["vlan_outer"] == VLAN_PRESENT | 100


@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_options_outside(header):
    outer = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(options=[IPOption_Router_Alert()])
    assert one(in_tunnel(header, INNER, outer))[0] == moved(one(in_tunnel(header))[0], 4, 0)


def test_without_an_ethernet_header_inside_the_one_outside_counts():
    outer = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=99) / IP()
    header = gre(0x22EB, seqnum_present=1) / ERSPAN_III(ft=2)
    frame = bytes(outer / header / Raw(bytes(INNER)[14:]))
    found, _ = one(frame)
    assert (found["kind"], found["tunnel"], found["mac_start"]) == (FrameKind.UDP, 1, 0)
    assert found["vlan_outer"] == VLAN_PRESENT | 99
    assert found["ip_start"] == len(frame) - len(bytes(INNER)) + 14


@pytest.mark.parametrize("trailer", [b"\xde\xad\xbe\xef", bytes(18)], ids=["check sequence", "padding"])
@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_trailers_are_not_payload(header, trailer):
    inside = in_tunnel(header, Raw(bytes(INNER) + trailer))
    outside = in_tunnel(header) + trailer
    plain, _ = one(in_tunnel(header))
    assert one(inside)[0] == plain
    assert one(outside)[0] == plain


@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_a_frame_cut_by_its_mirror_is_said_to_be_longer(header):
    found, _ = one(in_tunnel(header, Raw(bytes(INNER)[:-5])))
    assert found["transport_wire"] == 8 + len(PAYLOAD)
    assert found["transport_end"] - found["transport_start"] == 8 + len(PAYLOAD) - 5


@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_total_length_zero_inside_ends_with_the_packet_outside(header):
    inner = bytearray(bytes(INNER))
    inner[16:18] = b"\0\0"
    found, _ = one(in_tunnel(header, Raw(bytes(inner))) + bytes(9))
    assert found["transport_wire"] == 8 + len(PAYLOAD)


@pytest.mark.parametrize("first", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("second", KINDS.values(), ids=KINDS)
def test_tunnels_in_tunnels(first, second):
    alone, _ = one(bytes(INNER))
    frame = in_tunnel(first, Raw(in_tunnel(second)))
    assert one(frame)[0] == moved(alone, len(frame) - len(bytes(INNER)), 2)


@pytest.mark.parametrize(("depth", "tunnel", "kind"), [(4, 4, FrameKind.UDP), (5, 4, FrameKind.OTHER_IP)])
def test_depth_is_bounded(depth, tunnel, kind):
    frame = bytes(INNER)
    for _ in range(depth):
        frame = in_tunnel(IP_KINDS["ERSPAN II"], Raw(frame))
    found, _ = one(frame)
    assert (found["tunnel"], found["kind"]) == (tunnel, kind)


def test_vxlan_too_deep_is_udp():
    frame = bytes(INNER)
    for _ in range(5):
        frame = in_tunnel(UDP_KINDS["VXLAN"], Raw(frame))
    found, batch = one(frame)
    assert (found["tunnel"], found["kind"]) == (4, FrameKind.UDP)
    port = batch.buffer[batch.start[1] + found["transport_start"] + 2 :][:2].tobytes()
    assert port == (4789).to_bytes(2, "big")


ARP_FRAME = Ether(src="02:aa:00:00:00:03", dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc="02:aa:00:00:00:03", psrc="192.0.2.1")
DAMAGED = Ether(bytes(MAC)[:12] + b"\x08\x00") / Raw(b"\x44" * 24)


def vxlan_head(head: bytes, port: int = 4789) -> Packet:
    return UDP(sport=49200, dport=port) / Raw(head)


def udp_to(port: int, payload: bytes) -> bytes:
    return bytes(OUTER / UDP(sport=49200, dport=port) / Raw(payload))


SPEECH_PACKET = rtp(1, 160)
ONLY_UDP = {
    "RTP to the port of VXLAN": udp_to(4789, SPEECH_PACKET),
    "RTP to the port of VXLAN in Linux": udp_to(8472, SPEECH_PACKET),
    "RTP to the port of TZSP": udp_to(37008, SPEECH_PACKET),
    "SIP to the port of VXLAN": udp_to(4789, b"INVITE sip:1@example.org SIP/2.0\r\n\r\n"),
    "keep-alive to the port of VXLAN": udp_to(4789, b"\r\n\r\n"),
    "nothing to the port of VXLAN": udp_to(4789, b""),
    "nothing to the port of TZSP": udp_to(37008, b""),
    "STUN to the port of TZSP": udp_to(37008, b"\x01\x01\x00\x0c\x21\x12\xa4\x42" + bytes(24)),
    "VXLAN from its port": bytes(OUTER / UDP(sport=4789, dport=4788) / VXLAN(vni=7) / INNER),
    "VXLAN without the I flag": in_tunnel(vxlan_head(bytes(8))),
    "VXLAN with another flag": in_tunnel(vxlan_head(b"\x88\x00\x00\x01\x00\x00\x07\x00")),
    "VXLAN with reserved bits first": in_tunnel(vxlan_head(b"\x08\x00\x00\x01\x00\x00\x07\x00")),
    "VXLAN with reserved bits last": in_tunnel(vxlan_head(b"\x08\x00\x00\x00\x00\x00\x07\x01")),
    "VXLAN that ends with its header": in_tunnel(vxlan(), Raw(b"")),
    "VXLAN with ARP": in_tunnel(vxlan(), ARP_FRAME),
    "VXLAN with damage": in_tunnel(vxlan(), DAMAGED),
    "TZSP of version 2": in_tunnel(tzsp(b"\x02\x00\x00\x01\x01")),
    "TZSP keep-alive": in_tunnel(tzsp(b"\x01\x04\x00\x01\x01")),
    "TZSP with 802.11": in_tunnel(tzsp(b"\x01\x00\x00\x12\x01")),
    "TZSP with too many tags": in_tunnel(tzsp(TZSP_PLAIN[:4] + bytes(MAX_TZSP_TAGS) + b"\x01")),
    "TZSP with a tag beyond its end": in_tunnel(tzsp(TZSP_PLAIN[:4] + b"\x0a\xff")),
    "TZSP that ends with its tags": in_tunnel(tzsp(TZSP_TAGGED), Raw(b"")),
    "TZSP with ARP": in_tunnel(tzsp(TZSP_PLAIN), ARP_FRAME),
    "TZSP with damage": in_tunnel(tzsp(TZSP_PLAIN), DAMAGED),
}


@pytest.mark.parametrize("frame", ONLY_UDP.values(), ids=ONLY_UDP)
def test_what_only_looks_like_a_tunnel_stays_udp(frame):
    elsewhere = frame[:36] + (1234).to_bytes(2, "big") + frame[38:]
    found, _ = one(frame)
    assert found == one(elsewhere)[0]
    assert (found["kind"], found["tunnel"], found["transport_start"]) == (FrameKind.UDP, 0, 34)


def test_as_many_tags_as_may_be():
    frame = in_tunnel(tzsp(TZSP_PLAIN[:4] + bytes(MAX_TZSP_TAGS - 1) + b"\x01"))
    assert one(frame)[0]["tunnel"] == 1


OTHER = {
    "ARP in ERSPAN": (in_tunnel(IP_KINDS["ERSPAN II"], ARP_FRAME), FrameKind.OTHER_IP, 0),
    "damage in ERSPAN": (in_tunnel(IP_KINDS["ERSPAN II"], DAMAGED), FrameKind.DAMAGED, 1),
    "unknown version of ERSPAN II": (
        in_tunnel(gre(0x88BE, seqnum_present=1) / ERSPAN_II(ver=2)),
        FrameKind.OTHER_IP,
        0,
    ),
    "unknown version of ERSPAN III": (
        in_tunnel(gre(0x22EB, seqnum_present=1) / ERSPAN_III(ver=1)),
        FrameKind.OTHER_IP,
        0,
    ),
    "unknown frame type in ERSPAN III": (
        in_tunnel(gre(0x22EB, seqnum_present=1) / ERSPAN_III(ft=3)),
        FrameKind.OTHER_IP,
        0,
    ),
    "unknown protocol in GRE": (in_tunnel(gre(0x88CC)), FrameKind.OTHER_IP, 0),
    "nothing in GRE": (in_tunnel(gre(0x6558), Raw(b"")), FrameKind.OTHER_IP, 0),
    "nothing in ERSPAN": (in_tunnel(IP_KINDS["ERSPAN II"], Raw(b"")), FrameKind.OTHER_IP, 0),
}


@pytest.mark.parametrize(("frame", "kind", "tunnel"), OTHER.values(), ids=OTHER)
def test_other_insides(frame, kind, tunnel):
    found, _ = one(frame)
    assert (found["kind"], found["tunnel"]) == (kind, tunnel)


@pytest.mark.parametrize("protocol", [4, 41, 47])
def test_fragments_of_tunnels_are_fragments(protocol):
    fragment = Ether(bytes(MAC)[:12] + b"\x08\x00") / IP(proto=protocol, flags="MF") / Raw(b"\x00\x00\x65\x58" * 16)
    found, _ = one(bytes(fragment))
    assert (found["kind"], found["protocol"], found["tunnel"]) == (FrameKind.FRAGMENT, protocol, 0)


@pytest.mark.parametrize("neighbour", [b"\x00", b"\xff", b"\x45"])
@pytest.mark.parametrize("inner", [INSIDES["QinQ"], INSIDES["IPv4"]], ids=["QinQ", "IPv4"])
@pytest.mark.parametrize("header", KINDS.values(), ids=KINDS)
def test_truncation_at_every_byte(header, inner, neighbour):
    """By the snap length: the length on the wire stays. A tunnel that is cut in its headers is what it was outside."""
    frame = in_tunnel(header, inner)
    whole, _ = one(frame)
    sizes = range(len(frame) + 1)
    batch = batch_of([frame[:size] for size in sizes], wires=[len(frame)] * len(sizes), gap=neighbour * 96)
    frames = layers.parse(batch)
    for size in sizes:
        found = row_of(frames, batch, size)
        assert found["transport_end"] <= size
        if size >= whole["transport_start"]:
            assert found == whole | {"transport_end": min(size, whole["transport_end"])}
        elif found["kind"] == FrameKind.UDP:
            assert (found["tunnel"], found["transport_start"]) == (0, 34)
        else:
            assert found["kind"] != FrameKind.TCP


CHANGES = st.tuples(st.floats(0, 0.999), st.sampled_from([0, 1, 2, 4, 8, 16, 17, 47, 0x10, 0x45, 0x60, 0x88, 0xFF]))


TUNNELLED = [in_tunnel(header, inner) for header in KINDS.values() for inner in INSIDES.values()]
TUNNELLED += [in_tunnel(header, Raw(frame)) for header in KINDS.values() for frame in TUNNELLED[::17]]


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """Tunnels, also in tunnels, with bytes of their headers changed, cut short."""
    frame = draw(st.sampled_from(TUNNELLED))
    changed = bytearray(frame)
    for place, value in draw(st.lists(CHANGES, max_size=6)):
        changed[int(place * len(frame))] = value
    return bytes(changed[: int(draw(st.floats(0, 1)) * len(frame)) + 1])


@BOUNDED
@given(sent=st.lists(mangled(), min_size=1, max_size=20), longer=st.integers(0, 70_000))
def test_mangled_tunnels_do_not_matter_to_others(sent, longer):
    """Nothing raises, offsets lie inside the frame, and a frame's neighbours change nothing in it."""
    batch = batch_of(sent, wires=[len(frame) + longer for frame in sent])
    frames = layers.parse(batch)
    for row, frame in enumerate(sent):
        alone = batch_of([frame], wires=[len(frame) + longer], gap=b"\xa5" * 48)
        found = row_of(frames, batch, row)
        assert found == row_of(layers.parse(alone), alone, 0)
        if found["kind"] not in (FrameKind.NOT_IP, FrameKind.DAMAGED):
            assert 0 <= found["ip_start"] < found["transport_start"] <= found["transport_end"] <= len(frame)
            assert found["transport_end"] - found["transport_start"] <= found["transport_wire"]


@BOUNDED
@given(
    content=st.binary(max_size=200),
    head=st.sampled_from([b"", TZSP_PLAIN[:4], TZSP_TAGGED[:9], b"\x10\x00\x88\xbe", b"\x10\x00\x22\xeb"]),
    protocol=st.sampled_from([4, 17, 41, 47, 50]),
    port=st.sampled_from([4789, 37008]),
)
def test_any_bytes_have_an_entrance_inside_or_none(content, head, protocol, port):
    data = (struct.pack("!HHHH", 1, port, 0, 0) if protocol == 17 else b"") + head + content
    buffer = np.frombuffer(data + bytes(GUARD_BYTES), np.uint8)
    start, end = np.zeros(1, np.int64), np.full(1, len(data), np.int64)
    at, link = tunnels.inside(buffer, np.full(1, protocol, np.uint8), start, end)
    assert link[0] == tunnels.NOTHING or 0 <= at[0] < len(data)
    if protocol == 17:
        assert link[0] in (tunnels.NOTHING, LINK_ETHERNET)
