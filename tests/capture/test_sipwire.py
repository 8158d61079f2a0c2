"""Which TCP segments are kept: a connection is SIP's by its port or from the first message on, however batches are
cut."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import frames as layers
from capture.records import RecordBatch
from capture.sipwire import MAX_CONNECTIONS, METHODS, SipConnections, begins_like_sip
from tests.capture.batches import batch_of, cut, datagram, wired
from tests.traffic.pcapwriter import Address, Packet, Transport, Wire, frames_of, link_header, packed, tcp

BOUNDED = settings(max_examples=100, deadline=None)
PORTS = frozenset((5060,))
CLIENT, SERVER = Address("192.0.2.1", 41000), Address("198.51.100.2", 15099)
CLIENT_6, SERVER_6 = Address("2001:db8::1", 41000), Address("2001:db8::2", 15099)
SYN, ACK, FIN, RST = 0x02, 0x10, 0x01, 0x04
INVITE = b"INVITE sip:0312345678@198.51.100.2 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1\r\n\r\n"


def segment(
    payload: bytes, source: Address = CLIENT, destination: Address = SERVER, *, flags: int = ACK, options: bytes = b""
) -> bytes:
    """An Ethernet frame with one TCP segment."""
    packet = datagram(payload, source, destination)
    content = bytearray(tcp(packet, 1000, 1, flags))
    content[12] = (5 + len(options) // 4) << 4
    content[20:20] = options
    return in_ip(packet, bytes(content))


def in_ip(packet: Packet, content: bytes) -> bytes:
    addresses = packed(packet.source.host) + packed(packet.destination.host)
    six = ":" in packet.source.host
    if six:
        head = struct.pack("!IHBB", 6 << 28, len(content), 6, 64) + addresses
    else:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 1, 0, 64, 6, 0) + addresses
    return link_header(Wire(), packet, 0x86DD if six else 0x0800, 0) + head + content


def kept(batch: RecordBatch, connections: SipConnections | None = None) -> list[int]:
    return (connections or SipConnections()).select(batch, layers.parse(batch), PORTS).tolist()


class TestBeginsLikeSip:
    @pytest.mark.parametrize("start", [*(method + b" sip:x" for method in METHODS), b"SIP/2.0 200 OK"])
    def test_starts(self, start):
        assert begins_like_sip(np.array([int.from_bytes(start[:4], "big")], np.uint32)).all()

    @pytest.mark.parametrize(
        "start", [b"GET /", b"invite sip:x", b"ACKS", b"BYED", b"\0\0\0\0", b"\xff\xff\xff\xff", b"HTTP/1.1"]
    )
    def test_others(self, start):
        assert not begins_like_sip(np.array([int.from_bytes(start[:4], "big")], np.uint32)).any()


@pytest.mark.parametrize(("client", "server"), [(CLIENT, SERVER), (CLIENT_6, SERVER_6)], ids=["IPv4", "IPv6"])
class TestAnyPort:
    def test_from_the_first_message_on_in_both_directions(self, client, server):
        batch = batch_of(
            [
                segment(b"", client, server, flags=SYN),
                segment(b"some other bytes", client, server),
                segment(INVITE[:40], client, server),
                segment(INVITE[40:], client, server),
                segment(b"", client, server),
                segment(b"SIP/2.0 100 Trying\r\n", server, client),
                segment(b"", server, client, flags=ACK | FIN),
            ]
        )
        assert kept(batch) == [2, 3, 5, 6]

    def test_a_response_alone(self, client, server):
        batch = batch_of([segment(b"x" * 30, client, server), segment(b"SIP/2.0 200 OK\r\n", server, client)])
        assert kept(batch) == [1]

    def test_other_connections_are_left(self, client, server):
        other = Address(client.host, client.port + 1)
        batch = batch_of(
            [segment(INVITE, client, server), segment(b"x" * 30, other, server), segment(b"y", client, server)]
        )
        assert kept(batch) == [0, 2]

    def test_it_is_remembered(self, client, server):
        connections = SipConnections()
        assert kept(batch_of([segment(INVITE, client, server)]), connections) == [0]
        assert kept(batch_of([segment(b"more", client, server), segment(b"z", server, client)]), connections) == [0, 1]


@pytest.mark.parametrize(
    "payload",
    [
        b"GET / HTTP/1.1\r\n",
        b"INVITE",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n",
        b"NOTIFY * HTTP/1.1\r\n",
        b"SIP/3",
        b"MESSAGE body",
    ],
)
def test_what_is_not_sip(payload):
    assert kept(batch_of([segment(payload)])) == []


def test_a_sip_port_keeps_everything_but_bare_acknowledgements():
    server = Address(SERVER.host, 5060)
    batch = batch_of(
        [
            segment(b"", CLIENT, server, flags=SYN),
            segment(b"", CLIENT, server),
            segment(b"any", CLIENT, server),
            segment(b"any", server, CLIENT, options=b"\x01" * 12),
            segment(b"", CLIENT, server, options=b"\x01" * 40),
            segment(b"", server, CLIENT, flags=RST),
        ]
    )
    assert kept(batch) == [0, 2, 3, 5]


def test_of_tls_only_handshakes():
    server = Address(SERVER.host, 5061)
    batch = batch_of(
        [
            segment(b"", CLIENT, server, flags=SYN),
            segment(b"\x16\x03\x01\x00\x05\x01", CLIENT, server),
            segment(b"\x17\x03\x03\x00\x05secret", CLIENT, server),
            segment(b"\x16\x03\x03\x00\x05\x02", server, CLIENT),
            segment(INVITE, CLIENT, server),
        ]
    )
    assert kept(batch) == [1, 3]


def test_options_lie_before_the_payload():
    assert kept(batch_of([segment(INVITE, options=b"\x01" * 40), segment(b"x", options=INVITE[:40])])) == [0, 1]
    assert kept(batch_of([segment(b"x", options=INVITE[:40])])) == []


@pytest.mark.parametrize("offset", range(5))
def test_a_header_length_that_cannot_be(offset):
    frame = bytearray(segment(INVITE, CLIENT, Address(SERVER.host, 5060), flags=SYN))
    frame[14 + 20 + 12] = offset << 4
    assert kept(batch_of([bytes(frame)])) == []


@pytest.mark.parametrize("neighbour", [b"\x00", b"\x50", b"\xff", INVITE])
def test_cut_segments_do_not_read_their_neighbours(neighbour):
    frame = segment(INVITE, CLIENT, Address(SERVER.host, 5060))
    header = 14 + 20 + 20
    for size in range(len(frame)):
        batch = batch_of([frame[:size], neighbour * 2], wires=[len(frame), len(neighbour) * 2])
        assert kept(batch) == ([0] if size > header else [])
    elsewhere = segment(INVITE)
    for size in range(len(elsewhere)):
        batch = batch_of([elsewhere[:size], neighbour * 2], wires=[len(elsewhere), len(neighbour) * 2])
        assert kept(batch) == ([0] if size >= header + len(b"INVITE sip:") else [])


ENDS = [(CLIENT, SERVER), (SERVER, CLIENT), (Address(CLIENT.host, 41001), SERVER), (CLIENT_6, SERVER_6)]
segments = st.builds(
    lambda ends, payload, flags: segment(payload, *ends, flags=flags),
    st.sampled_from(ENDS),
    st.sampled_from([b"", b"body of a message", INVITE, b"SIP/2.0 200 OK\r\n\r\n", b"INVI"]),
    st.sampled_from([ACK, ACK, ACK, SYN, ACK | FIN]),
)


@BOUNDED
@given(octets=st.lists(segments, min_size=1, max_size=14))
def test_the_split_into_batches_does_not_matter(octets):
    whole = batch_of(octets)
    expected = kept(whole)
    for at in range(1, len(octets)):
        connections = SipConnections()
        first = kept(cut(whole, 0, at), connections)
        assert first + [at + row for row in kept(cut(whole, at, len(octets)), connections)] == expected


def from_clients(payload: bytes, numbers: range) -> RecordBatch:
    """The same segment from as many clients."""
    frame = segment(payload)
    source = 14 + 12
    return batch_of([frame[:source] + struct.pack("!I", 0x0A000000 + n) + frame[source + 4 :] for n in numbers])


def test_connections_are_bounded_and_the_oldest_is_forgotten():
    connections = SipConnections()
    count = MAX_CONNECTIONS + 5
    for low in range(0, count, 16384):
        numbers = range(low, min(low + 16384, count))
        assert len(kept(from_clients(INVITE, numbers), connections)) == len(numbers)
    assert kept(from_clients(b"more", range(10)), connections) == [5, 6, 7, 8, 9]
    assert kept(from_clients(b"more", range(count - 3, count + 3)), connections) == [0, 1, 2]


def test_transport_of_the_traffic_writer():
    """The whole of a message that comes in many segments, on a port that nothing is known about."""
    packets = [
        Packet(ts_ns=10, source=CLIENT, destination=SERVER, payload=INVITE * 3, transport=Transport.TCP),
        Packet(
            ts_ns=20_000_000,
            source=SERVER,
            destination=CLIENT,
            payload=b"SIP/2.0 200 OK\r\n" * 9,
            transport=Transport.TCP,
        ),
    ]
    batch = wired(frames_of(packets, Wire(tcp_segment_bytes=50)))
    rows = kept(batch)
    layered = layers.parse(batch)
    total = sum(int(layered.transport_end[row] - layered.transport_start[row]) - 20 for row in rows)
    assert total == len(INVITE * 3) + len(b"SIP/2.0 200 OK\r\n" * 9)
