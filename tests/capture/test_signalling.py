"""Frames in; dialogs, evidence and media in fragments out, whatever order and pieces they come in."""

import itertools
import random
import struct
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture import signalling
from capture.endpoint import Endpoint
from capture.records import LINK_RAW
from capture.signalling import MAX_STREAMS, ClockReport, Protection, Signalling
from capture.sipcall import SipCall
from tests.capture.batches import (
    HERE,
    HERE_6,
    START_NS,
    THERE,
    THERE_6,
    batch_of,
    datagram,
    frame_of,
    rtp,
    wired,
)
from tests.capture.sip_messages import build, invite
from tests.traffic.calls import CallScript, play
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Address, Frame, FrameWriter, Packet, Transport, Wire, frames_of, packed
from tests.traffic.rtcp import sender_report
from tests.traffic.signalling import Party
from tests.traffic.speech import speech

BOUNDED = settings(max_examples=60, deadline=None)
SECOND_NS = 1_000_000_000
INVITE = invite()
LARGE = invite("User-Agent: " + "x" * 3000)
OTHER = invite("Call-ID: another@pbx.example")
SIP_HERE, SIP_THERE = Address(HERE.host, 5060), Address(THERE.host, 5060)
SIP_HERE_6, SIP_THERE_6 = Address(HERE_6.host, 5060), Address(THERE_6.host, 5060)


def endpoint(address: Address) -> Endpoint:
    return Endpoint(packed(address.host), address.port)


def received(frames: Iterable[Frame], state: Signalling | None = None, *, snap_bytes: int = 1 << 18) -> Signalling:
    state = state or Signalling()
    for _ in state.receive(wired(frames, snap_bytes=snap_bytes)):
        pass
    return state


def calls(state: Signalling) -> list[tuple[str, int]]:
    """Call-ID and time of each call, in order of appearance."""
    return [(call.call_id, call.first_ns) for call in state.dialogs.calls.values()]


def ids(state: Signalling) -> list[str]:
    return [call_id for call_id, _ in calls(state)]


def udp_frames(payload: bytes, *ends: Address, mtu: int = 1500, ts_ns: int = START_NS) -> list[Frame]:
    return list(FrameWriter(Wire(mtu=mtu)).frames(datagram(payload, *(ends or (SIP_HERE, SIP_THERE)), ts_ns=ts_ns)))


def again(frames: Sequence[Frame], order: Sequence[int]) -> list[Frame]:
    """The same frames in another order, a millisecond apart."""
    return [Frame(START_NS + 1_000_000 * place, frames[number].octets) for place, number in enumerate(order)]


class TestEvents:
    def test_before_each_frame_its_time_and_after_it_the_calls(self):
        frames = [
            *udp_frames(INVITE),
            *udp_frames(b"\r\n\r\n", ts_ns=START_NS + 5),
            *udp_frames(OTHER, ts_ns=START_NS + 9),
        ]
        state = Signalling()
        events = list(state.receive(wired(frames)))
        assert [ts_ns for ts_ns, _ in events] == [START_NS, START_NS, START_NS + 5, START_NS + 9, START_NS + 9]
        found = [call.call_id if isinstance(call, SipCall) else None for _, call in events]
        assert found == [None, "c0ffee@pbx.example", None, None, "another@pbx.example"]

    def test_counters(self):
        frames = [
            *udp_frames(INVITE),
            *udp_frames(b"INVITE sip:x SIP/2.0\r\nbroken"),
            *udp_frames(b"garbage on a SIP port"),
            *udp_frames(b"\r\n"),
            *udp_frames(sender_report(START_NS, 1, 2, 3, 4), HERE, THERE),
            *udp_frames(b"\x80\xc8\xff\xff" + bytes(8), HERE, THERE),
            *udp_frames(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), HERE, THERE),
            *udp_frames(b"\x16\xfe\xfd" + bytes(20), HERE, THERE),
            *udp_frames(b"\x10\x00\x00\x01ZRTP" + bytes(20), HERE, THERE),
            Frame(START_NS, bytes(12) + b"\x08\x06" + bytes(46)),
        ]
        counters = received(frames).counters
        assert (counters.sip, counters.sip_malformed) == (1, 2)
        assert (counters.rtcp, counters.rtcp_malformed) == (1, 1)
        assert (counters.stun, counters.keying, counters.other, counters.truncated) == (1, 2, 1, 0)

    @pytest.mark.parametrize("six", [False, True])
    def test_addresses_and_ports(self, six):
        ends = (SIP_HERE_6, SIP_THERE_6) if six else (SIP_HERE, SIP_THERE)
        state = received(udp_frames(b"\x16\xfe\xfd" + bytes(20), *ends))
        assert state.protected == {endpoint(ends[0]): Protection.DTLS, endpoint(ends[1]): Protection.DTLS}


@pytest.mark.parametrize("ends", [(SIP_HERE, SIP_THERE), (SIP_HERE_6, SIP_THERE_6)], ids=["IPv4", "IPv6"])
class TestFragments:
    def test_in_any_order(self, ends):
        frames = udp_frames(LARGE, *ends, mtu=1000)
        assert len(frames) == 4
        for order in itertools.permutations(range(4)):
            state = received(again(frames, order))
            assert calls(state) == [("c0ffee@pbx.example", START_NS + 3_000_000)]
            assert state.fragments.reassembled == 1

    def test_a_doubled_mirror(self, ends):
        frames = udp_frames(LARGE, *ends, mtu=1000)
        state = received(again(frames, [0, 0, 1, 1, 2, 2, 3, 3]))
        assert (state.counters.sip, state.counters.sip_malformed) == (1, 0)

    def test_a_missing_one(self, ends):
        frames = udp_frames(LARGE, *ends, mtu=1000)
        for missing in range(4):
            state = received(again(frames, [n for n in range(4) if n != missing]))
            assert (state.counters.sip, state.counters.sip_malformed) == (0, 0)

    def test_interleaved_datagrams(self, ends):
        writer = FrameWriter(Wire(mtu=1000))
        one, two = (
            list(writer.frames(datagram(invite(f"Call-ID: {n}@pbx.example", "Subject: " + "x" * 2500), *ends)))
            for n in range(2)
        )
        woven = [frame for pair in zip(one, two, strict=True) for frame in pair]
        assert ids(received(woven)) == ["0@pbx.example", "1@pbx.example"]

    def test_media_is_handed_over(self, ends):
        payload = rtp(7, 1120, b"\xd5" * 1600)
        state = received(again(udp_frames(payload, *ends, mtu=600), [2, 0, 1]))
        (packet,) = state.loose
        assert (packet.ts_ns, packet.source, packet.destination) == (
            START_NS + 2_000_000,
            endpoint(ends[0]),
            endpoint(ends[1]),
        )
        assert packet.payload == payload
        assert state.counters.sip_malformed == 0

    def test_rtcp(self, ends):
        report = sender_report(START_NS, 0xABC, 2, 3, 4) + b"\x81\xcc\x00\x63" + bytes(396)
        state = received(udp_frames(report, *ends, mtu=200))
        assert list(state.clocks) == [(packed(ends[0].host), 0xABC)]

    def test_cut_ones_are_left_and_counted(self, ends):
        state = received(udp_frames(LARGE, *ends, mtu=1000), snap_bytes=500)
        assert state.counters.sip == state.counters.sip_malformed == 0
        assert state.counters.truncated == len(udp_frames(LARGE, *ends, mtu=1000))
        assert not state.fragments.partial or state.fragments.held_bytes < 1000

    def test_tcp_in_fragments(self, ends):
        packet = Packet(ts_ns=START_NS, source=ends[0], destination=ends[1], payload=LARGE, transport=Transport.TCP)
        frames = list(FrameWriter(Wire(mtu=1000, tcp_segment_bytes=4000)).frames(packet))
        assert ids(received(frames)) == ["c0ffee@pbx.example"]


def messages(count: int) -> list[bytes]:
    return [invite(f"Call-ID: {n}@pbx.example") for n in range(count)]


def tcp_frames(
    content: bytes, *, segment_bytes: int = 100, ends: tuple[Address, Address] = (SIP_HERE, SIP_THERE)
) -> list[Frame]:
    """The data segments of one direction; handshake and acknowledgements left out, as if it had begun before the
    capture."""
    packet = Packet(ts_ns=START_NS, source=ends[0], destination=ends[1], payload=content, transport=Transport.TCP)
    return list(FrameWriter(Wire(tcp_segment_bytes=segment_bytes)).frames(packet))[3::2]


class TestTcp:
    @pytest.mark.parametrize("segment_bytes", [1, 7, 100, 1400])
    @pytest.mark.parametrize("from_the_beginning", [True, False])
    def test_messages_and_segments_do_not_coincide(self, segment_bytes, from_the_beginning):
        content = b"".join(messages(3))
        packet = datagram(content, SIP_HERE, SIP_THERE, transport=Transport.TCP)
        frames = list(FrameWriter(Wire(tcp_segment_bytes=segment_bytes)).frames(packet))
        if not from_the_beginning:
            # A single byte is taken for a keep-alive probe then.
            frames = tcp_frames(content, segment_bytes=max(segment_bytes, 2))
        state = received(frames)
        assert ids(state) == ["0@pbx.example", "1@pbx.example", "2@pbx.example"]
        assert (state.counters.sip_malformed, state.counters.sip_skipped_bytes) == (0, 0)

    @BOUNDED
    @given(seed=st.integers(0, 1 << 32), segment_bytes=st.sampled_from([60, 200, 600]))
    def test_reordered_and_repeated(self, seed, segment_bytes):
        chance = random.Random(seed)
        frames = tcp_frames(b"".join(messages(4)), segment_bytes=segment_bytes)
        order = sorted(range(len(frames)), key=lambda n: n + chance.uniform(0, 4) * (n > 0))
        order += chance.sample(order, len(order) // 3)
        state = received(again(frames, order))
        assert ids(state) == [f"{n}@pbx.example" for n in range(4)]

    def test_a_lost_segment_costs_its_message(self):
        frames = tcp_frames(b"".join(messages(5)), segment_bytes=len(messages(1)[0]))
        state = received(again(frames, [0, 1, 3, 4]))
        assert ids(state) == ["0@pbx.example", "1@pbx.example"]
        late = Frame(START_NS + 5 * SECOND_NS, tcp_frames(OTHER, ends=(SIP_THERE, SIP_HERE))[0].octets)
        received([late], state)
        assert ids(state)[:4] == ["0@pbx.example", "1@pbx.example", "3@pbx.example", "4@pbx.example"]

    def test_what_is_held_comes_out_at_the_end(self):
        frames = tcp_frames(b"".join(messages(3)), segment_bytes=len(messages(1)[0]))
        state = received(again(frames, [0, 2]))
        assert ids(state) == ["0@pbx.example"]
        assert [call.call_id for call in state.finish(START_NS + SECOND_NS)] == ["2@pbx.example"]
        assert state.finish(START_NS + SECOND_NS) == []

    def test_a_message_that_the_input_s_end_cuts(self):
        frames = tcp_frames(INVITE, segment_bytes=len(INVITE) - 20)
        state = received(frames[:1])
        assert ids(state) == []
        assert [call.call_id for call in state.finish(START_NS)] == ["c0ffee@pbx.example"]

    def test_a_snap_length_costs_the_rest_of_a_message(self):
        frames = tcp_frames(b"".join(messages(3)), segment_bytes=len(messages(1)[0]))
        state = received(frames, snap_bytes=54 + len(messages(1)[0]) - 60)
        state.finish(START_NS + SECOND_NS)
        assert ids(state) == ["0@pbx.example", "1@pbx.example", "2@pbx.example"]
        assert state.counters.truncated == 3

    def test_other_connections_do_not_mix(self):
        streams = [
            tcp_frames(message, ends=(Address(HERE.host, 6060 + n), SIP_THERE), segment_bytes=90)
            for n, message in enumerate(messages(4))
        ]
        woven = [frame for group in itertools.zip_longest(*streams) for frame in group if frame]
        assert sorted(ids(received(woven))) == [f"{n}@pbx.example" for n in range(4)]

    @pytest.mark.parametrize("offset", range(5))
    def test_a_header_length_that_cannot_be(self, offset):
        (frame,) = tcp_frames(INVITE, segment_bytes=4000)
        octets = bytearray(frame.octets)
        octets[14 + 20 + 12] = offset << 4
        assert ids(received([Frame(START_NS, bytes(octets))])) == []

    def test_tls_is_counted_once_a_direction(self):
        ends = (Address(HERE.host, 40_000), Address(THERE.host, 5061))
        hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"
        frames = [*tcp_frames(hello, ends=ends) * 2, *tcp_frames(b"\x16\x03\x03\x00\x05\x02", ends=ends[::-1])]
        state = received([*frames, *tcp_frames(hello, ends=(Address(HERE.host, 40_001), ends[1]))])
        assert state.counters.tls_connections == 2
        assert (state.counters.sip, state.counters.sip_malformed) == (0, 0)


def receiver_report(ssrc: int, *blocks: tuple[int, int]) -> bytes:
    """A report of `ssrc` about sources: (SSRC, packets lost in all)."""
    words = b"".join(struct.pack("!II", source, lost & 0xFFFFFF) + bytes(16) for source, lost in blocks)
    return struct.pack("!BBHI", 0x80 | len(blocks), 201, 1 + 6 * len(blocks), ssrc) + words


class TestReports:
    def test_sender_report(self):
        state = received(
            [
                *udp_frames(sender_report(START_NS, 5, 1000, 1, 1), HERE, THERE),
                *udp_frames(
                    sender_report(START_NS + 10 * SECOND_NS, 5, 81_000, 1, 1),
                    HERE,
                    THERE,
                    ts_ns=START_NS + 10 * SECOND_NS,
                ),
                *udp_frames(sender_report(START_NS, 5, 7, 1, 1), THERE, HERE),
            ]
        )
        assert set(state.clocks) == {(packed(HERE.host), 5), (packed(THERE.host), 5)}
        latest = state.clocks[packed(HERE.host), 5]
        assert latest == ClockReport(ntp=latest.ntp, rtp_time=81_000, arrival_ns=START_NS + 10 * SECOND_NS)
        assert latest.ntp >> 32 == (START_NS + 10 * SECOND_NS) // SECOND_NS + 2_208_988_800

    def test_losses_belong_to_the_one_who_is_told(self):
        report = receiver_report(9, (1, 25), (2, -3)) + receiver_report(9, (3, 0x7FFFFF))
        state = received(udp_frames(report, HERE_6, THERE_6))
        told = packed(THERE_6.host)
        assert state.losses == {(told, 1): 25, (told, 2): -3, (told, 3): 0x7FFFFF}

    def test_the_latest_counts(self):
        frames = [f for lost in (3, 8, 5) for f in udp_frames(receiver_report(9, (1, lost)), HERE, THERE)]
        assert received(frames).losses == {(packed(THERE.host), 1): 5}

    def test_tables_are_bounded(self):
        state = Signalling()
        per_frame = 31
        count = signalling.MAX_REMEMBERED + 100
        frames = [
            frame_of(receiver_report(0, *((ssrc, 1) for ssrc in range(low, low + per_frame))))
            for low in range(0, count, per_frame)
        ]
        for _ in state.receive(batch_of(frames)):
            pass
        assert len(state.losses) == signalling.MAX_REMEMBERED
        assert (packed(THERE.host), count - 1) in state.losses
        assert (packed(THERE.host), 0) not in state.losses


def test_framing_of_many_connections_is_bounded():
    """Of more open messages than there is room for, those that came last can go on."""
    state = Signalling()
    count = MAX_STREAMS + 50
    parts: tuple[list[bytes], list[bytes]] = [], []
    for number in range(count):
        ends = Address(HERE.host, 10_000 + number), SIP_THERE
        content = invite(f"Call-ID: {number}@pbx.example")
        for part, frame in zip(parts, tcp_frames(content, segment_bytes=len(content) - 9, ends=ends), strict=True):
            part.append(frame.octets)
    for part in parts:
        for _ in state.receive(batch_of(part)):
            pass
        assert len(state.streams) == MAX_STREAMS
    assert set(ids(state)) <= {f"{number}@pbx.example" for number in range(count)}
    assert state.counters.sip < MAX_STREAMS


def a_call(**options: object) -> CallScript:
    quiet = MediaScript(audio=speech(0.1, seed=1), codec="PCMU")
    return CallScript(
        caller=Party(number="0312345678", sip=SIP_HERE, rtp=HERE),
        callee=Party(number="0698765432", sip=SIP_THERE, rtp=THERE),
        call_id="call@192.0.2.10",
        caller_media=quiet,
        callee_media=quiet,
        start_ns=START_NS,
        ring_s=0.5,
        talk_s=2.0,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("transport", list(Transport))
@pytest.mark.parametrize("mtu", [1500, 300])
@pytest.mark.parametrize("wire", [Wire(), Wire(vlans=(1, 2)), Wire(pppoe_session=3)], ids=["plain", "QinQ", "PPPoE"])
def test_a_call_however_it_is_wrapped(transport, mtu, wire):
    packets = [packet for packet in play(a_call(transport=transport)).packets if b"SIP/2.0" in packet.payload[:80]]
    plain = received(frames_of(packets))
    segment_bytes = 1400 if mtu == 1500 else 150
    wrapped = Wire(vlans=wire.vlans, pppoe_session=wire.pppoe_session, mtu=mtu, tcp_segment_bytes=segment_bytes)
    state = received(frames_of(packets, wrapped))
    (call,), (expected,) = state.dialogs.calls.values(), plain.dialogs.calls.values()
    assert state.counters.sip == plain.counters.sip == len(packets)
    assert call.call_id == expected.call_id
    assert call.end_cause is not None
    assert call.end_cause is expected.end_cause
    for name in ("first_ns", "answered_ns", "ended_ns"):
        assert 0 <= getattr(call, name) - getattr(expected, name) < 100_000


@BOUNDED
@given(frames=st.lists(st.binary(max_size=120), max_size=20), kept=st.integers(0, 120))
def test_random_frames_never_raise(frames, kept):
    state = Signalling()
    for link in (1, LINK_RAW):
        for _ in state.receive(
            batch_of([frame[:kept] for frame in frames], link_type=link, wires=[len(f) for f in frames])
        ):
            pass
    state.finish(START_NS)


@BOUNDED
@given(seed=st.integers(0, 1 << 32))
def test_damaged_frames_never_raise(seed):
    chance = random.Random(seed)
    octets = [frame.octets for frame in SOUND]
    damaged = []
    for octet in chance.choices(octets, k=20):
        frame = bytearray(octet)
        for _ in range(chance.randrange(6)):
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        damaged.append(bytes(frame[: chance.randrange(len(frame) + 1)] if chance.random() < 0.3 else frame))
    state = Signalling()
    for _ in state.receive(batch_of(damaged)):
        pass
    state.finish(START_NS + SECOND_NS)
    assert state.fragments.held_bytes <= state.fragments.max_bytes


SOUND = [
    *udp_frames(INVITE),
    *udp_frames(LARGE, mtu=1000),
    *udp_frames(LARGE, SIP_HERE_6, SIP_THERE_6, mtu=1000),
    *udp_frames(build("BYE sip:0698765432@carrier.example SIP/2.0")),
    *udp_frames(sender_report(START_NS, 1, 2, 3, 4) + receiver_report(1, (2, 3)), HERE, THERE),
    *tcp_frames(b"".join(messages(2)), segment_bytes=300),
    *udp_frames(b"\x16\xfe\xfd" + bytes(20), HERE, THERE),
]
