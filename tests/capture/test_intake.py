"""What becomes of each frame, row by row of the table; and that neither batches nor windows matter."""

import dataclasses
import itertools
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.intake import WINDOW_ROWS, Intake, IntakeCounters, Window
from capture.journal import MAX_SPAN_NS
from capture.records import LINK_ETHERNET, RecordBatch
from tests.capture.batches import (
    HERE,
    HERE_6,
    START_NS,
    THERE,
    THERE_6,
    batch_of,
    cut,
    datagram,
    frame_of,
    rtp,
    wired,
)
from tests.traffic.pcapwriter import Address, FrameWriter, Transport, Wire
from tests.traffic.rtcp import sender_report

BOUNDED = settings(max_examples=80, deadline=None)
SIP_PORTS = frozenset((5060, 5080))
SECOND_NS = 1_000_000_000
SIP = Address(THERE.host, 5060)
INVITE = b"INVITE sip:0312345678@198.51.100.20 SIP/2.0\r\n\r\n"
STUN = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)
DTLS = b"\x16\xfe\xfd\x00\x00" + bytes(20)
ZRTP = b"\x10\x00\x00\x01ZRTP\x12\x34\x56\x78" + bytes(20)


def windows_of(batches: Iterable[RecordBatch]) -> tuple[list[Window], IntakeCounters]:
    intake = Intake(SIP_PORTS)
    return [window for batch in batches for window in intake.windows(batch)], intake.counters


def media_of(windows: Sequence[Window]) -> dict:
    """(time, payload) of each flow's packets, in the order of the journal: sizes apart, in capture order within one."""
    media: dict[tuple[bytes, int], list[tuple[int, bytes]]] = defaultdict(list)
    for window in windows:
        rows = [row for piece in window.rows for row in piece]
        for extent in window.extents:
            mine, rows = rows[: extent["rows"]], rows[extent["rows"] :]
            assert len(mine) == extent["rows"]
            times = [int(row[:8].copy().view("<i8")[0]) for row in mine]
            assert (extent["first_ns"], extent["last_ns"]) == (min(times), max(times))
            assert all(len(row) == 8 + extent["captured"] for row in mine)
            key = (extent["flow"].tobytes(), int(extent["captured"]) << 16 | int(extent["wire"]))
            media[key] += [(ts_ns, row[8:].tobytes()) for ts_ns, row in zip(times, mine, strict=True)]
        assert not rows
    return dict(media)


def frames_kept(windows: Sequence[Window]) -> list[tuple[int, int, int, int, bytes]]:
    kept = []
    for window in windows:
        batch = window.signalling
        if batch is None:
            continue
        data = batch.buffer.tobytes()
        assert not any(data[-128:])
        columns = (batch.start, batch.captured, batch.wire, batch.ts_ns, batch.interface, batch.link_type)
        kept += [
            (ts_ns, wire, interface, link, data[start : start + captured])
            for start, captured, wire, ts_ns, interface, link in zip(*(c.tolist() for c in columns), strict=True)
        ]
    return kept


def one(frame: bytes) -> tuple[int, int, IntakeCounters]:
    """(media packets, signalling frames) of one frame between two of no interest."""
    boring = frame_of(b"\xff" * 64)
    windows, counters = windows_of([batch_of([boring, frame, boring])])
    assert counters.frames == 3
    counters = dataclasses.replace(counters, frames=1, other_udp=counters.other_udp - 2)
    return sum(len(rows) for rows in media_of(windows).values()), len(frames_kept(windows)), counters


def tcp_frame(payload: bytes, port: int) -> bytes:
    writer = FrameWriter(Wire())
    packet = datagram(payload, HERE, Address(THERE.host, port), transport=Transport.TCP)
    return [frame.octets for frame in writer.frames(packet)][3]


def fragments(size: int, *, six: bool = False, protocol: Transport = Transport.UDP) -> list[bytes]:
    ends = (HERE_6, THERE_6) if six else (HERE, THERE)
    wire = Wire(mtu=600, tcp_segment_bytes=size)
    frames = [frame.octets for frame in FrameWriter(wire).frames(datagram(INVITE * size, *ends, transport=protocol))]
    return [frame for frame in frames if len(frame) > 100]


SIGNALLING = {
    "RTCP": frame_of(sender_report(START_NS, 1, 2, 3, 4)),
    "RTCP of 8 bytes": frame_of(b"\x80\xc9\x00\x01\x12\x34\x56\x78"),
    "RTCP feedback": frame_of(b"\x81\xce\x00\x02" + bytes(8)),
    "STUN": frame_of(STUN),
    "DTLS": frame_of(DTLS),
    "ZRTP": frame_of(ZRTP),
    "SIP port": frame_of(b"anything", HERE, SIP),
    "configured SIP port": frame_of(b"anything", Address(HERE.host, 5080), THERE),
    "keep-alive on a SIP port": frame_of(b"\r\n\r\n", HERE, SIP),
    "SIP elsewhere": frame_of(INVITE),
    "SIP response elsewhere": frame_of(b"SIP/2.0 200 OK\r\n\r\n", HERE_6, THERE_6),
    "TCP on a SIP port": tcp_frame(b"any bytes", 5060),
    "TCP that begins like SIP": tcp_frame(INVITE, 7777),
    "TLS handshake": tcp_frame(b"\x16\x03\x01\x00\x05\x01", 5061),
    "first fragment of UDP": fragments(40)[0],
    "last fragment of UDP": fragments(40)[-1],
    "fragment of TCP": fragments(1000, protocol=Transport.TCP)[1],
    "IPv6 fragment": fragments(40, six=True)[1],
}
OTHERS = {
    "empty datagram": (frame_of(b""), "other_udp"),
    "RTP of version 1": (frame_of(b"\x40" + rtp(1, 2)[1:]), "other_udp"),
    "RTP cut below its header": (frame_of(rtp(1, 2)[:11]), "other_udp"),
    "RTCP cut below its SSRC": (frame_of(b"\x80\xc9\x00\x01\x12\x34\x56"), "other_udp"),
    "STUN without its cookie": (frame_of(b"\x00\x01\x00\x00" + bytes(16)), "other_udp"),
    "DNS": (frame_of(b"\x12\x34\x01\x00\x00\x01" + bytes(30), HERE, Address(THERE.host, 53)), "other_udp"),
    "half a SIP method": (frame_of(b"INVITE "), "other_udp"),
    "TCP of others": (tcp_frame(b"GET / HTTP/1.1\r\n", 80), "other_tcp"),
    "TLS of others": (tcp_frame(b"\x16\x03\x01\x00\x05\x01", 443), "other_tcp"),
    "TLS data": (tcp_frame(b"\x17\x03\x03\x00\x05secret", 5061), "other_tcp"),
    "ARP": (bytes(12) + b"\x08\x06" + bytes(46), "not_ip"),
    "no frame": (b"", "not_ip"),
    "damaged": (bytes(12) + b"\x08\x00\x42" + bytes(60), "damaged"),
    "OSPF": (frame_of(b"x" * 30)[:23] + b"\x59" + frame_of(b"x" * 30)[24:], "other_ip"),
    "fragment of ICMP": (fragments(40)[1][:23] + b"\x01" + fragments(40)[1][24:], "other_ip"),
}


class TestTable:
    @pytest.mark.parametrize(
        "payload",
        [
            rtp(1, 2),
            rtp(1, 2, b""),
            rtp(1, 2, b"x" * 1000, payload_type=96),
            b"\x80\x88" + rtp(1, 2)[2:],
            b"\xbf\xff" + rtp(1, 2)[2:],
        ],
        ids=["PCMA", "header alone", "video", "marker", "all bits"],
    )
    @pytest.mark.parametrize("six", [False, True])
    def test_media(self, payload, six):
        frame = frame_of(payload, *((HERE_6, THERE_6) if six else (HERE, THERE)))
        media, kept, counters = one(frame)
        assert (media, kept) == (1, 0)
        assert counters == IntakeCounters(frames=1, media=1)

    def test_media_on_a_sip_port(self):
        assert one(frame_of(rtp(1, 2), HERE, SIP))[:2] == (1, 0)

    @pytest.mark.parametrize("payload_type", [64, 95])
    def test_rtcp_with_rtp_on_one_port(self, payload_type):
        """RFC 5761 section 4: 64 to 95 with the marker bit are RTCP; without it they are payload types."""
        assert one(frame_of(rtp(1, 2, payload_type=0x80 | payload_type)))[:2] == (0, 1)
        assert one(frame_of(rtp(1, 2, payload_type=payload_type)))[:2] == (1, 0)

    @pytest.mark.parametrize("frame", SIGNALLING.values(), ids=SIGNALLING)
    def test_signalling(self, frame):
        media, kept, counters = one(frame)
        assert (media, kept) == (0, 1)
        assert counters == IntakeCounters(frames=1, signalling=1)

    @pytest.mark.parametrize(("frame", "counter"), OTHERS.values(), ids=OTHERS)
    def test_counted(self, frame, counter):
        media, kept, counters = one(frame)
        assert (media, kept) == (0, 0)
        assert counters == dataclasses.replace(IntakeCounters(frames=1), **{counter: 1})

    def test_signalling_is_kept_verbatim(self):
        octets = list(SIGNALLING.values())
        times = [START_NS + 7 * row for row in range(len(octets))]
        wires = [len(frame) + row for row, frame in enumerate(octets)]
        batch = batch_of(
            octets, times=times, wires=wires, interfaces=[row % 3 for row in range(len(octets))], gap=b"\xff" * 16
        )
        kept = frames_kept(windows_of([batch])[0])
        assert kept == [(times[row], wires[row], row % 3, LINK_ETHERNET, frame) for row, frame in enumerate(octets)]


class TestLengths:
    def test_udp_length_zero_takes_the_packet_s(self):
        frame = bytearray(frame_of(rtp(1, 2)))
        frame[38:40] = b"\0\0"
        windows, _ = windows_of([batch_of([bytes(frame)])])
        assert list(media_of(windows).values()) == [[(START_NS, rtp(1, 2))]]

    def test_udp_length_below_the_packet_s_ends_the_payload(self):
        frame = bytearray(frame_of(rtp(1, 2)))
        frame[38:40] = struct.pack("!H", 8 + 12 + 100)
        (packets,) = media_of(windows_of([batch_of([bytes(frame)])])[0]).values()
        assert packets == [(START_NS, rtp(1, 2)[:112])]

    @pytest.mark.parametrize("length", range(1, 20))
    def test_udp_length_below_the_headers(self, length):
        frame = bytearray(frame_of(rtp(1, 2)))
        frame[38:40] = struct.pack("!H", length)
        assert one(bytes(frame))[0] == 0

    def test_a_datagram_longer_than_any(self):
        """Offloaded on both layers, so that nothing but the frame says how long it is."""
        frame = bytearray(frame_of(rtp(1, 2)) + bytes(200_000))
        frame[16:18] = frame[38:40] = b"\0\0"
        windows, counters = windows_of([batch_of([bytes(frame)])])
        ((key, packets),) = media_of(windows).items()
        assert len(packets[0][1]) == 0xFFFF - 8
        assert key[1] == len(packets[0][1]) << 16 | len(packets[0][1])
        assert counters.media == 1

    def test_snap_length(self):
        octets = [frame_of(rtp(n, 160 * n)) for n in range(300)]
        for snap in (54, 55, 100, len(octets[0]) - 1):
            batch = batch_of(
                [frame[:snap] for frame in octets], wires=[len(frame) for frame in octets], gap=b"\x80" * 16
            )
            windows, counters = windows_of([batch])
            assert counters.truncated_media == counters.media == 300
            ((key, packets),) = media_of(windows).items()
            assert [payload for _, payload in packets] == [rtp(n, 160 * n)[: snap - 42] for n in range(300)]
            assert key[1] == (snap - 42) << 16 | 172

    @pytest.mark.parametrize("snap", range(54))
    def test_cut_before_the_end_of_rtp_s_header(self, snap):
        frame = frame_of(rtp(1, 2))
        batch = batch_of([frame[:snap], frame], wires=[len(frame)] * 2)
        windows, counters = windows_of([batch])
        assert counters.media == 1
        assert sum(map(len, media_of(windows).values())) == 1

    @pytest.mark.parametrize("frame", SIGNALLING.values(), ids=SIGNALLING)
    def test_cut_signalling_does_not_depend_on_its_neighbour(self, frame):
        for snap in range(min(len(frame), 90)):
            counts = set()
            for neighbour in (b"\0", b"\xff", INVITE, STUN[4:], b"\x16\xfe"):
                batch = batch_of([frame[:snap], neighbour * 20], wires=[len(frame), 20 * len(neighbour)])
                counts.add(len(frames_kept(windows_of([batch])[0])))
            assert len(counts) == 1


class TestWindows:
    def test_nothing(self):
        assert windows_of([batch_of([])])[0] == []

    def test_nothing_of_interest(self):
        assert windows_of([batch_of([frame_of(b"\xff" * 30)] * 3)])[0] == []

    def test_span(self):
        times = [START_NS + n * SECOND_NS // 2 for n in range(100)]
        windows, _ = windows_of([batch_of([frame_of(rtp(n, 0)) for n in range(100)], times=times)])
        assert [(w.first_ns, w.last_ns, int(w.extents["rows"].sum())) for w in windows] == [
            (START_NS + low * SECOND_NS // 2, START_NS + min(low + 10, 99) * SECOND_NS // 2, min(11, 100 - low))
            for low in range(0, 100, 11)
        ]

    @pytest.mark.parametrize("first", [-(1 << 63), -1, (1 << 63) - 1 - MAX_SPAN_NS, (1 << 63) - 2])
    def test_times_at_the_end_of_what_int64_holds(self, first):
        batch = batch_of([frame_of(rtp(n, 0)) for n in range(2)], times=[first, first + 1])
        windows, _ = windows_of([batch])
        assert [(window.first_ns, window.last_ns) for window in windows] == [(first, first + 1)]
        assert [ts_ns for packets in media_of(windows).values() for ts_ns, _ in packets] == [first, first + 1]

    def test_a_clock_that_goes_back(self):
        times = [START_NS, START_NS + 20_000_000, START_NS - 100 * SECOND_NS, START_NS + 40_000_000]
        windows, _ = windows_of([batch_of([frame_of(rtp(n, 0)) for n in range(4)], times=times)])
        (packets,) = media_of(windows).values()
        assert [ts_ns for ts_ns, _ in packets] == times
        assert all(window.last_ns - window.first_ns <= MAX_SPAN_NS for window in windows)

    def test_rows(self):
        count = 2 * WINDOW_ROWS + 10
        frame = np.frombuffer(frame_of(rtp(1, 2, b"")), np.uint8)
        small = batch_of([frame.tobytes()])
        data = np.zeros(count * len(frame) + 128, np.uint8)
        data[:-128] = np.tile(frame, count)
        batch = dataclasses.replace(
            small,
            buffer=data,
            start=np.arange(count) * len(frame),
            captured=np.full(count, len(frame)),
            wire=np.full(count, len(frame)),
            ts_ns=START_NS + np.arange(count),
            interface=np.zeros(count, np.uint16),
            link_type=np.full(count, LINK_ETHERNET, np.uint16),
        )
        windows, _ = windows_of([batch])
        assert [int(window.extents["rows"].sum()) for window in windows] == [WINDOW_ROWS, WINDOW_ROWS, 10]

    def test_as_many_flows_as_frames(self):
        """The worst batch: every packet is a flow of its own, in each of two windows."""
        count = WINDOW_ROWS + 1000
        frame = np.frombuffer(frame_of(rtp(1, 2, b"")), np.uint8)
        data = np.zeros(count * len(frame) + 128, np.uint8)
        rows = data[:-128].reshape(count, len(frame))
        rows[:] = frame
        rows[:, -4:] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
        batch = dataclasses.replace(
            batch_of([frame.tobytes()]),
            buffer=data,
            start=np.arange(count) * len(frame),
            captured=np.full(count, len(frame)),
            wire=np.full(count, len(frame)),
            ts_ns=START_NS + np.arange(count),
            interface=np.zeros(count, np.uint16),
            link_type=np.full(count, LINK_ETHERNET, np.uint16),
        )
        windows, counters = windows_of([batch])
        ssrcs = np.concatenate([window.extents["flow"]["ssrc"] for window in windows])
        assert len(np.unique(ssrcs, axis=0)) == count
        assert counters.flow_table_resets == 1


def traffic(choices: list[tuple[int, int, int]]) -> list[tuple[int, bytes]]:
    """(time, frame): RTP of a few flows and sizes, SIP over UDP and TCP, fragments, others."""
    ts_ns = START_NS
    frames: list = []
    for kind, flow, step_ms in choices:
        ts_ns += step_ms * 1_000_000
        number = len(frames)
        ends = (HERE_6, THERE_6) if flow == 3 else (HERE, Address(THERE.host, 6000 + flow))
        match kind:
            case 0 | 1 | 2:
                frames.append((ts_ns, frame_of(rtp(number, 160 * number, b"\xd5" * (kind * 80)), *ends)))
            case 3:
                frames.append((ts_ns, frame_of(INVITE, *ends)))
            case 4:
                frames.append(
                    (ts_ns, tcp_frame([b"x" * 30, INVITE, b"SIP/2.0 200 OK", b"body"][flow], 7000 + flow % 2))
                )
            case 5:
                frames.append((ts_ns, fragments(40, six=flow == 3)[flow % 2]))
            case _:
                frames.append((ts_ns, frame_of(b"\xff" * 40, *ends)))
    return frames


choices = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 3), st.sampled_from([0, 0, 1, 20, 3000, 40_000])),
    min_size=1,
    max_size=40,
)


@BOUNDED
@given(content=choices, cuts=st.lists(st.floats(0, 1), max_size=5))
def test_neither_batches_nor_windows_matter(content, cuts):
    frames = traffic(content)
    batch = batch_of([frame for _, frame in frames], times=[ts_ns for ts_ns, _ in frames])
    places = sorted({0, len(frames), *(int(place * len(frames)) for place in cuts)})
    pieces = [cut(batch, low, high) for low, high in itertools.pairwise(places)]
    whole, counters = windows_of([batch])
    split, split_counters = windows_of(pieces)
    assert media_of(split) == media_of(whole)
    assert frames_kept(split) == frames_kept(whole)
    assert split_counters == counters
    for window in whole + split:
        assert 0 <= window.last_ns - window.first_ns <= MAX_SPAN_NS
    assert [window.first_ns for window in whole] == sorted(window.first_ns for window in whole)


def test_payloads_are_the_packets_own():
    """Of interleaved flows and sizes, every packet comes out under its own flow, with its own time."""
    writer = FrameWriter(Wire(vlans=(5,)))
    sent: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    frames = []
    for n in range(400):
        ssrc = 1 + n % 7
        payload = rtp(n, n * 160, bytes([n % 256]) * (20 + 5 * (n % 3)), ssrc=ssrc)
        ts_ns = START_NS + n * 1_000_000
        sent[ssrc].append((ts_ns, payload))
        frames += list(writer.frames(datagram(payload, ts_ns=ts_ns)))
    windows, _ = windows_of([wired(frames)])
    found: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    for (flow, _), packets in media_of(windows).items():
        found[int.from_bytes(flow[52:56], "big")] += packets
    assert {ssrc: sorted(packets) for ssrc, packets in found.items()} == sent
