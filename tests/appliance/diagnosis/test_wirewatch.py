"""The rows of the fault matrix that packets tell: generated traffic with a fault in it, and the verdict."""

from dataclasses import replace

import pytest

from appliance.diagnosis.domains import Domain
from appliance.diagnosis.evidence import Cause, State, Step
from appliance.diagnosis.findings import Row
from appliance.diagnosis.rules import ports
from appliance.diagnosis.thresholds import DEFAULT
from appliance.diagnosis.verdict import verdict
from capture.events import EventKind
from capture.journal import Event
from tests.appliance.diagnosis.evidence_of import LC, LV, VC, E, L, M, V, healthy, with_check
from tests.appliance.diagnosis.watched import (
    LAN,
    NS,
    call,
    evidence,
    from_lan,
    is_rtp,
    losing,
    played,
    watch,
    without,
)
from tests.traffic.calls import START_NS
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Address, Packet, Wire, frames_of, seen_twice
from tests.traffic.rtcp import sender_report
from tests.traffic.signalling import DialogWriter, session
from tests.traffic.speech import speech


def found(folder, traffic, **more):
    wire, _ = watch(folder, traffic, **more)
    return [(finding.row, finding.domains) for finding in verdict(evidence(wire)).findings]


SEVERAL = [call(number, start_s=0.7 * number, out=number % 2 == 0) for number in range(4)]


def test_calls_without_a_fault_accuse_nobody(tmp_path):
    wire, _ = watch(tmp_path, played(SEVERAL))
    assert not verdict(evidence(wire)).findings
    assert wire.calls.answered == 4
    for leg in (wire.media.from_lan, wire.media.from_vpn):
        assert leg.streams == 4
        assert leg.lost == 0
        assert leg.packets == leg.expected > 3500
        assert leg.doubled == 0
        assert leg.jitter_ms is not None
        assert leg.jitter_ms < 1
    assert wire.media.unplaced.packets == 0
    assert wire.sip.from_lan
    assert wire.sip.from_vpn
    assert wire.sip.conversations.one_way == 0
    assert [(final.status, final.count) for final in wire.sip.finals] == [(200, 2), (200, 2)]


def test_the_same_while_the_calls_go_on(tmp_path):
    assert found(tmp_path, played(SEVERAL), until_s=14.0) == []


@pytest.mark.parametrize(
    ("concerned", "expected"),
    [
        (from_lan, [(Row.GAPS_FROM_LAN, L)]),
        (lambda packet: not from_lan(packet), [(Row.GAPS_FROM_VPN, VC)]),
        (lambda _packet: True, [(Row.GAPS_FROM_LAN, L)]),
    ],
)
def test_five_percent_loss(concerned, expected, tmp_path):
    wire, _ = watch(tmp_path, losing(played(SEVERAL), 0.05, concerned))
    assert [(finding.row, finding.domains) for finding in verdict(evidence(wire)).findings] == expected
    for leg, hit in ((wire.media.from_lan, expected[0][1] == L), (wire.media.from_vpn, concerned is not from_lan)):
        assert (0.03 < leg.lost / leg.expected < 0.07) == hit


def test_reordering_and_lateness_are_no_loss(tmp_path):
    shuffled = [
        replace(packet, ts_ns=packet.ts_ns + 50_000_000 * (packet.payload[3] % 5 == 0)) if is_rtp(packet) else packet
        for packet in played(SEVERAL)
    ]
    wire, _ = watch(tmp_path, sorted(shuffled, key=lambda packet: packet.ts_ns))
    assert wire.media.from_lan.lost == wire.media.from_vpn.lost == 0


def test_a_mirror_of_two_ports(tmp_path):
    wire, _ = watch(tmp_path, seen_twice(played(SEVERAL), Wire()))
    assert [(each.row, each.domains) for each in verdict(evidence(wire)).findings] == [(Row.DOUBLED, M)]
    assert wire.media.from_lan.lost == 0
    assert wire.media.from_lan.doubled > 0.95 * wire.media.from_lan.packets


@pytest.mark.parametrize("keeps_lan", [True, False])
def test_a_mirror_of_one_direction(keeps_lan, tmp_path):
    traffic = without(played(SEVERAL), lambda packet: from_lan(packet) is not keeps_lan)
    assert found(tmp_path, traffic) == [(Row.ONE_DIRECTION, M)]


@pytest.mark.parametrize("until_s", [11.0, 14.0, 22.0, 40.0])
def test_a_mirror_that_loses_a_direction_amid_calls_accuses_nobody_beyond(until_s, tmp_path):
    packets = played([call(number, start_s=2.5 * number, talk_s=15.0) for number in range(8)])
    border = packets[0].ts_ns + 8 * NS
    traffic = without(packets, lambda packet: packet.ts_ns > border and not from_lan(packet))
    assert {domain for _, domains in found(tmp_path, traffic, until_s=until_s) for domain in domains} <= {Domain.MIRROR}


def test_a_mirror_that_pauses_is_no_loss(tmp_path):
    packets = played(SEVERAL)
    border = packets[0].ts_ns + 8 * NS
    traffic = without(packets, lambda packet: border < packet.ts_ns < border + 5 * NS)
    assert found(tmp_path, traffic) == []


@pytest.mark.parametrize(
    ("is_dropped", "expected"),
    [
        (lambda packet: is_rtp(packet) and from_lan(packet), [(Row.LAN_SILENT, L)]),
        (lambda packet: is_rtp(packet) and not from_lan(packet), [(Row.VPN_SILENT, VC)]),
        (is_rtp, [(Row.MEDIA_BYPASSES, M)]),
    ],
)
@pytest.mark.parametrize("until_s", [18.5, None])
def test_media_that_are_missing(is_dropped, expected, until_s, tmp_path):
    assert found(tmp_path, without(played(SEVERAL), is_dropped), until_s=until_s) == expected


def test_no_media_and_over_within_seconds(tmp_path):
    calls = [call(number, talk_s=5.0, start_s=number) for number in range(4)]
    assert found(tmp_path, without(played(calls), is_rtp)) == [(Row.NO_MEDIA, L)]


def test_media_of_one_side_ends_amid_the_call(tmp_path):
    packets = played(SEVERAL)
    border = packets[0].ts_ns + 6 * NS
    keeps_alive = played([call(9, start_s=18.0, talk_s=1.0)])
    traffic = without(packets, lambda packet: is_rtp(packet) and not from_lan(packet) and packet.ts_ns > border)
    both = sorted(traffic + keeps_alive, key=lambda packet: packet.ts_ns)
    assert found(tmp_path, both, until_s=20.0) == [(Row.VPN_SILENT, VC)]


def test_sdp_with_an_address_behind_a_nat(tmp_path):
    def behind_nat(packet: Packet) -> Packet:
        hidden = b"192.168.1.10"
        body = packet.payload.replace(f"IN IP4 {LAN}".encode(), b"IN IP4 " + hidden)
        grown = len(body) - len(packet.payload)
        if grown:
            head, _, rest = body.partition(b"\r\n\r\n")
            body = head.replace(b"Content-Length: %d" % (len(rest) - grown), b"Content-Length: %d" % len(rest))
            body += b"\r\n\r\n" + rest
        return replace(packet, payload=body)

    packets = [packet if is_rtp(packet) else behind_nat(packet) for packet in played(SEVERAL)]
    traffic = without(packets, lambda packet: is_rtp(packet) and not from_lan(packet))
    assert found(tmp_path, traffic) == [(Row.NAT_IN_SDP, L)]


@pytest.mark.parametrize("rtp_vlan", [20, None])
def test_sip_on_a_vlan_whose_rtp_is_elsewhere(rtp_vlan, tmp_path):
    packets = played(SEVERAL)
    sip = frames_of(without(packets, is_rtp), Wire(vlans=(10,)))
    rtp = [packet for packet in packets if is_rtp(packet) and from_lan(packet)]
    frames = sip + (frames_of(rtp, Wire(vlans=(rtp_vlan,))) if rtp_vlan else [])
    assert found(tmp_path, sorted(frames)) == [(Row.VLAN_MISSING, M)]


@pytest.mark.parametrize(
    ("status", "out", "expected"),
    [
        ("503 Service Unavailable", True, [(Row.SERVER_ERROR, (Domain.CARRIER,))]),
        ("500 Server Internal Error", False, [(Row.LAN_ERROR, L)]),
        ("480 Temporarily Unavailable", True, [(Row.NOT_REACHED, (Domain.CARRIER,))]),
        ("403 Forbidden", True, [(Row.REFUSED, LC)]),
        ("486 Busy Here", True, []),
        ("404 Not Found", True, []),
        ("487 Request Terminated", True, []),
    ],
)
def test_final_responses(status, out, expected, tmp_path):
    refused = [call(number, start_s=number, out=out, final_status=status) for number in range(4)]
    assert found(tmp_path, played([*refused, call(9, start_s=1.0)])) == expected


def dialog(number: int) -> DialogWriter:
    script = call(number)
    return DialogWriter(call_id=script.call_id, caller=script.caller, callee=script.callee)


def repeated(packets, at_s):
    return [replace(packets[-1], ts_ns=START_NS + round(second * NS)) for second in at_s]


@pytest.mark.parametrize("out", [True, False])
def test_invite_without_an_answer(out, tmp_path):
    script = call(0, out=out)
    writer = DialogWriter(call_id="lost", caller=script.caller, callee=script.callee)
    writer.request(START_NS, writer_side(), "INVITE", body=session(script.caller, script.caller_media), in_dialog=False)
    packets = writer.packets + repeated(writer.packets, (0.5, 1.5, 3.5, 7.5, 15.5, 31.5))
    expected = [(Row.UNANSWERED, VC)] if out else [(Row.LAN_UNANSWERED, L)]
    assert found(tmp_path / "early", packets, until_s=20.0) == []
    assert found(tmp_path / "late", packets, until_s=33.0) == expected


def writer_side():
    from tests.traffic.signalling import Side

    return Side.CALLER


def test_answer_without_ack(tmp_path):
    packets = without(played([call(0)]), lambda packet: packet.payload.startswith((b"ACK", b"BYE")) or is_rtp(packet))
    accepted = next(packet for packet in packets if packet.payload.startswith(b"SIP/2.0 200"))
    again = [replace(accepted, ts_ns=accepted.ts_ns + round(second * NS)) for second in (0.5, 1.5, 3.5, 7.5)]
    kept = [packet for packet in packets if packet.ts_ns <= accepted.ts_ns]
    assert found(tmp_path, kept + again, until_s=12.0) == [(Row.NO_ACK, LV)]


def test_challenged_again_and_again(tmp_path):
    writer = dialog(0)
    for attempt in range(4):
        at_ns = START_NS + attempt * NS
        credentials = (("Proxy-Authorization", 'Digest username="x"'),) if attempt else ()
        invite = writer.request(at_ns, writer_side(), "INVITE", headers=credentials, in_dialog=False)
        challenge = (("Proxy-Authenticate", 'Digest realm="r", nonce="n"'),)
        writer.respond(
            at_ns + NS // 10, writer_side().other, "407 Proxy Authentication Required", invite, headers=challenge
        )
    assert found(tmp_path / "loop", writer.packets) == [(Row.REFUSED, LC)]
    assert found(tmp_path / "once", writer.packets[:4]) == []


def test_all_calls_end_after_the_same_time(tmp_path):
    calls = [
        call(number, talk_s=90.0, start_s=5.0 * number, caller_media=MEDIA, callee_media=MEDIA) for number in range(5)
    ]
    rows = found(tmp_path, played(calls))
    assert rows == [(Row.EQUAL_DURATIONS, L)]


MEDIA = MediaScript(audio=speech(100.0, seed=3), ptime_ms=60)


def test_marking_that_is_taken_away(tmp_path):
    def marked(frame, value):
        octets = bytearray(frame.octets)
        octets[15] = value
        return frame._replace(octets=bytes(octets))

    packets = played(SEVERAL)
    frames = [marked(frame, 46 << 2 if from_lan(packet) else 0) for packet in packets for frame in frames_of([packet])]
    assert found(tmp_path, frames) == [(Row.REMARKED, V)]


def test_a_telephone_with_a_bad_clock(tmp_path):
    media = MediaScript(audio=speech(80.0, seed=4), skew_ppm=300.0, jitter_ns=200_000)
    wire, _ = watch(
        tmp_path, played([call(0, talk_s=75.0, callee_media=media, caller_media=replace(media, skew_ppm=0.0))])
    )
    assert [(each.row, each.domains) for each in verdict(evidence(wire)).findings] == [(Row.SENDER_CLOCK, E)]
    [clock] = wire.media.from_vpn.clocks
    assert clock.sender == "203.0.113.21"
    assert clock.ppm == pytest.approx(300, abs=15)


def test_digital_silence(tmp_path):
    dead = MediaScript(audio=speech(30.0, seed=1) * 0)
    assert found(tmp_path, played([call(0, caller_media=dead), *SEVERAL[1:]])) == [(Row.DEAD_AIR, L)]


def receiver_report(ts_ns, packet, ssrc, lost, highest):
    import struct

    block = struct.pack("!IIIIII", ssrc, lost & 0xFFFFFF, highest, 0, 0, 0)
    payload = struct.pack("!BBHI", 0x81, 201, 7, 1) + block
    return Packet(
        ts_ns=ts_ns,
        source=Address(packet.destination.host, packet.destination.port + 1),
        destination=Address(packet.source.host, packet.source.port + 1),
        payload=payload,
    )


@pytest.mark.parametrize(
    ("heard_from_lan", "row", "domains"), [(True, Row.LOSS_TOWARDS_VPN, VC), (False, Row.LOSS_TOWARDS_LAN, L)]
)
def test_loss_that_receivers_report(heard_from_lan, row, domains, tmp_path):
    packets = played(SEVERAL)
    firsts: dict[bytes, Packet] = {}
    for packet in packets:
        if is_rtp(packet) and from_lan(packet) is heard_from_lan:
            firsts.setdefault(packet.payload[8:12], packet)
    reports = [
        receiver_report(packet.ts_ns + 10 * NS, packet, int.from_bytes(ssrc, "big"), 25, 500)
        for ssrc, packet in firsts.items()
    ]
    traffic = sorted(packets + reports, key=lambda packet: packet.ts_ns)
    assert found(tmp_path, traffic) == [(row, domains)]


def test_without_the_carriers_addresses_the_sides_stay_open(tmp_path):
    traffic = without(played(SEVERAL), lambda packet: is_rtp(packet) and from_lan(packet))
    assert found(tmp_path, traffic, beyond=()) == [(Row.ONE_WAY_UNPLACED, ())]


def test_hold_is_no_missing_side(tmp_path):
    from tests.traffic.calls import Hold
    from tests.traffic.signalling import Side

    held = [call(number, holds=(Hold(at_s=3.0, seconds=12.0, by=Side.CALLEE),)) for number in range(3)]
    assert found(tmp_path / "during", played(held), until_s=14.0) == []
    assert found(tmp_path / "after", played(held)) == []


def test_a_side_that_says_nothing_between_words_is_not_missing(tmp_path):
    quiet = MediaScript(audio=speech(40.0, seed=2), suppressed_s=((2.0, 3.5), (5.0, 30.0)))
    calls = [call(0, talk_s=22.0, caller_media=quiet), call(1, talk_s=22.0, callee_media=quiet)]
    assert found(tmp_path / "during", played(calls), until_s=20.0) == []
    assert found(tmp_path / "after", played(calls)) == []


def test_what_capture_counts_is_kept_for_five_minutes(tmp_path):
    packets = played(SEVERAL)
    at_ns = packets[0].ts_ns
    told = [
        Event(ts_ns=at_ns, kind=EventKind.INTERFACE, detail={"interface": 0, "name": "s0", "up": 1}),
        Event(
            ts_ns=at_ns + NS,
            kind=EventKind.COUNTERS,
            detail={"interface": 0, "packets": 900, "drops": 7, "nic_missed": 2},
        ),
    ]
    _, listening = watch(tmp_path, packets, told=told)
    [port] = listening.seen({}, 0)[1]
    assert (port.name, port.link_up, port.kernel_drops, port.nic_drops) == ("s0", True, 7, 2)
    assert port.group is None


def counters(at_ns, **counted):
    return Event(ts_ns=at_ns, kind=EventKind.COUNTERS, detail={"interface": 0, **counted})


def test_a_silence_that_was_usual_before_is_no_fault(tmp_path):
    packets = played(SEVERAL[:1])
    at_ns = packets[0].ts_ns
    up = Event(ts_ns=at_ns, kind=EventKind.INTERFACE, detail={"interface": 0, "name": "s0", "up": 1})
    listening = watch(tmp_path / "a", packets, told=[up])[1]
    for second, received in ((1, 5), (2, 0), (60, 0), (61, 3), (62, 0), (130, 0)):
        listening.event(counters(at_ns + second * NS, received=received, packets=received))
    [port] = listening.seen({}, 0)[1]
    assert (port.silent_s, port.usual_silence_s) == (69, 60)
    assert not list(ports.no_frames(with_spans(port), DEFAULT))
    listening.event(counters(at_ns + 152 * NS, received=0, packets=0))
    [port] = listening.seen({}, 0)[1]
    assert [found.row for found in ports.no_frames(with_spans(port), DEFAULT)] == [Row.NO_FRAMES]


def with_spans(port):
    return replace(healthy(), ports=(port,))


@pytest.mark.parametrize(
    ("asked", "late_s", "rows"),
    [("10.77.0.254", 0, [Row.ARP_UNANSWERED]), ("10.77.0.99", 0, []), ("10.77.0.254", -30, [])],
)
def test_a_router_that_is_asked_for_in_vain(asked, late_s, rows, tmp_path):
    packets = played(SEVERAL)
    at_ns = packets[-1].ts_ns - 2 * NS + late_s * NS
    told = [Event(ts_ns=at_ns, kind=EventKind.COUNTERS, detail={"interface": 0, "packets": 9, "arp_unanswered": asked})]
    wire, _ = watch(tmp_path, packets, told=told)
    silent = with_check(evidence(wire), Step.VPN_NEXT_HOP, Cause.NOT_PERMITTED, State.UNKNOWN)
    assert [finding.row for finding in verdict(silent).findings] == rows
    assert verdict(evidence(wire)).findings == ()  # we are answered


def test_many_streams_are_sampled_and_never_counted_as_lost(tmp_path):
    from appliance.diagnosis.wire import mediawatch

    calls = [call(number, talk_s=6.0) for number in range(30)]
    limit = mediawatch.MAX_STREAMS
    mediawatch.MAX_STREAMS = 20
    try:
        wire, _ = watch(tmp_path, played(calls))
    finally:
        mediawatch.MAX_STREAMS = limit
    assert wire.media.from_lan.lost == wire.media.from_vpn.lost == 0
    assert 0 < wire.media.from_lan.streams < 30
    assert wire.calls.answered == 30
    assert not verdict(evidence(wire)).findings


def test_reports_without_receivers_say_nothing(tmp_path):
    assert sender_report(0, 1, 2, 3, 4)
    assert found(tmp_path, played(SEVERAL[:1])) == []


def test_a_delay_that_changes_once_is_no_drift(tmp_path):
    media = MediaScript(audio=speech(95.0, seed=4), jitter_ns=200_000)
    packets = played([call(0, talk_s=85.0, callee_media=media, caller_media=replace(media, seed=9))])
    border = packets[0].ts_ns + 45 * NS
    later = [replace(each, ts_ns=each.ts_ns + 25_000_000 * (each.ts_ns > border)) for each in packets]
    wire, _ = watch(tmp_path, later)
    assert wire.media.from_lan.clocks == wire.media.from_vpn.clocks == ()


def test_all_clocks_off_together_are_nobodys(tmp_path):
    media = MediaScript(audio=speech(80.0, seed=4), skew_ppm=300.0, jitter_ns=200_000)
    assert found(tmp_path, played([call(0, talk_s=75.0, callee_media=media, caller_media=media)])) == []
