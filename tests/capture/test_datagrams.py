"""Fragments put together are what was sent, in whatever tunnel they came; hostile ones end."""

import random
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.datagrams import Datagram, datagrams, reassemble
from capture.fragments import FragmentReassembler
from capture.frames import MAX_TUNNEL_DEPTH, FrameKind
from capture.records import LINK_RAW, RecordBatch
from capture.signalling import Signalling
from capture.tunnels import UDP_TUNNEL_PORTS
from tests.capture.batches import HERE, HERE_6, START_NS, THERE, THERE_6, batch_of, datagram, wired
from tests.capture.sip_messages import invite
from tests.traffic.mirror import Tunnel, mirrored
from tests.traffic.pcapwriter import Address, Frame, FrameWriter, Packet, Transport, Wire, packed

BOUNDED = settings(max_examples=60, deadline=None)
CONTENT = bytes(random.Random(5).randbytes(1400))
ENDS = {"IPv4": (HERE, THERE), "IPv6": (HERE_6, THERE_6)}
LARGE = invite("Subject: " + "x" * 1000)


def found_in(batch: RecordBatch) -> list[Datagram]:
    """What a batch holds when its fragments are put together."""
    fragments = FragmentReassembler()
    found = []
    for ts_ns, _, each in datagrams(batch):
        whole = reassemble(fragments, ts_ns, each) if each.kind == FrameKind.FRAGMENT else each
        if whole is not None:
            found.append(whole)
    return found


def shuffled(frames: Iterable[Frame], seed: int) -> list[Frame]:
    octets = [frame.octets for frame in frames]
    random.Random(seed).shuffle(octets)
    return [Frame(START_NS + 1000 * place, each) for place, each in enumerate(octets)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mtu", [576, 1500], ids=["many fragments", "two fragments"])
@pytest.mark.parametrize("six", [False, True], ids=["over IPv4", "over IPv6"])
@pytest.mark.parametrize("ends", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("tunnel", Tunnel)
def test_a_full_frame_that_its_tunnel_fragmented(tunnel, ends, six, mtu, seed):
    frames = list(FrameWriter().frames(datagram(CONTENT, *ends)))
    seen = mirrored(frames, tunnel, six=six, wire=Wire(mtu=min(mtu, 1440 if mtu == 1500 else mtu)))
    assert len(frames) == 1
    assert len(seen) > 1
    (found,) = found_in(wired(shuffled(seen, seed)))
    assert found.kind == FrameKind.UDP
    assert found.addresses == packed(ends[0].host) + packed(ends[1].host)
    assert found.data[8:] == CONTENT
    assert not found.truncated


def test_the_longest_payload():
    """IPv4 cannot say the length of what fragments can add up to."""
    inner = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 17, 0) + packed(HERE.host) + packed(THERE.host)
    inner += struct.pack("!HHHH", 5004, 6004, 0, 0) + bytes(65_535 - 28)
    packet = Packet(ts_ns=START_NS, source=HERE, destination=THERE, payload=b"")
    pieces = list(FrameWriter(Wire(mtu=9000)).in_ip(packet, 4, inner))
    (found,) = found_in(batch_of(pieces))
    assert (found.kind, len(found.data)) == (FrameKind.UDP, 65_535 - 20)


@pytest.mark.parametrize("protocol", [6, 17, 50])
def test_what_is_in_no_tunnel(protocol):
    packet = Packet(ts_ns=START_NS, source=HERE, destination=THERE, payload=b"")
    pieces = list(FrameWriter(Wire(mtu=600)).in_ip(packet, protocol, CONTENT))
    (found,) = found_in(batch_of(pieces))
    assert found.data == CONTENT
    assert found.kind == {6: FrameKind.TCP, 17: FrameKind.UDP, 50: FrameKind.OTHER_IP}[protocol]


@pytest.mark.parametrize("port", UDP_TUNNEL_PORTS)
def test_fragments_to_a_tunnel_s_port_that_are_none(port):
    (found,) = found_in(wired(FrameWriter(Wire(mtu=600)).frames(datagram(LARGE, HERE, Address(THERE.host, port)))))
    assert (found.kind, found.data[8:]) == (FrameKind.UDP, LARGE)


def test_an_incomplete_or_cut_tunnel_gives_nothing():
    seen = mirrored(FrameWriter().frames(datagram(CONTENT)), Tunnel.ERSPAN_2, wire=Wire(mtu=576))
    assert found_in(wired(seen[:-1])) == []
    assert found_in(wired(seen, snap_bytes=400)) == []


def nested(depth: int) -> list[bytes]:
    """Packets of which the last completes a packet that completes the next, and so on; a UDP datagram is innermost."""

    def fragment(number: int, offset: int, more: bool, protocol: int, data: bytes) -> bytes:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), number, more << 13 | offset >> 3, 64, protocol, 0)
        return head + packed(HERE.host) + packed(THERE.host) + data

    protocol, content = 17, struct.pack("!HHHH", 5004, 6004, 24, 0) + bytes(16)
    packets = []
    for number in range(depth):
        packets.append(fragment(number, 0, True, protocol, content[:8]))
        content, protocol = fragment(number, 8, False, protocol, content[8:]), 4
    return [*packets, content]


@pytest.mark.parametrize(("depth", "found"), [(1, 1), (MAX_TUNNEL_DEPTH, 1), (MAX_TUNNEL_DEPTH + 1, 0), (1200, 0)])
def test_fragments_in_fragments_are_bounded(depth, found):
    assert len(found_in(batch_of(nested(depth), link_type=LINK_RAW))) == found


@BOUNDED
@given(
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
    tunnel=st.sampled_from(list(Tunnel)),
    seed=st.integers(0, 99),
)
def test_mangled_fragments_never_raise(changes, tunnel, seed):
    seen = mirrored(FrameWriter(Wire(mtu=900)).frames(datagram(CONTENT)), tunnel, wire=Wire(mtu=500))
    octets = [bytearray(frame.octets) for frame in shuffled(seen, seed)]
    for place, value in changes:
        frame = octets[place % len(octets)]
        frame[place // len(octets) % min(len(frame), 110)] = value
    found = found_in(batch_of([bytes(frame) for frame in octets]))
    assert all(len(each.data) <= 65_535 for each in found)


def received(frames: Iterable[Frame]) -> Signalling:
    state = Signalling()
    for _ in state.receive(wired(frames)):
        pass
    return state


def over_tcp(content: bytes, port: int) -> list[Frame]:
    """Handshake and content in full segments, through a tunnel."""
    ends = Address(HERE.host, 40_000), Address(THERE.host, port)
    packet = datagram(content, *ends, transport=Transport.TCP)
    return mirrored(FrameWriter(Wire(tcp_segment_bytes=1460)).frames(packet), Tunnel.ERSPAN_2)


HANDSHAKE_FRAMES = 3


class TestTcp:
    """Large segments come in fragments, and all fragments are kept: only here can be told what they carry."""

    def test_sip(self):
        state = received(over_tcp(LARGE * 3, 7777))
        assert (state.counters.sip, state.tcp.picked_up) == (3, 0)

    def test_sip_without_its_handshake(self):
        state = received(over_tcp(LARGE * 3, 7777)[HANDSHAKE_FRAMES:])
        assert state.counters.sip == 3

    def test_anything_else_takes_no_room(self):
        sent = over_tcp(CONTENT * 9, 443)
        state = received(frame for frame in sent if struct.unpack_from("!H", frame.octets, 20)[0] & 0x3FFF)
        assert state.fragments.reassembled > 5
        assert (state.counters.sip, state.tcp.directions, state.streams) == (0, {}, {})

    @pytest.mark.parametrize("size", [1, 3, 19, 20, 22])
    def test_short_segments(self, size):
        packet = Packet(ts_ns=START_NS, source=HERE, destination=THERE, payload=b"")
        inner = FrameWriter().in_ip(packet, 6, (b"\x11\x11" * 6 + b"\x50" + bytes(40))[:size])
        seen = mirrored([Frame(START_NS, next(iter(inner)))], Tunnel.ERSPAN_2, wire=Wire(mtu=60))
        assert len(seen) > 1
        assert received(seen).tcp.directions == {}
