"""Evidence of a site where all is well, and of every fault that the matrix knows."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from appliance.diagnosis.domains import Domain, Domains
from appliance.diagnosis.evidence import (
    ArpSeen,
    CallsSeen,
    Cause,
    Check,
    Conversations,
    Evidence,
    Final,
    Leg,
    MediaSeen,
    Port,
    Role,
    SenderClock,
    SipSeen,
    State,
    Step,
    Window,
    Wire,
)
from appliance.diagnosis.findings import Row

NS = 1_000_000_000
NOW = 1_767_225_600 * NS
JUST_NOW = Window(begin_ns=NOW - NS // 2, end_ns=NOW)
WINDOW = Window(begin_ns=NOW - 60 * NS, end_ns=NOW)
A, M, L, V, C, E = (
    (Domain.APPLIANCE,),
    (Domain.MIRROR,),
    (Domain.LAN,),
    (Domain.VPN,),
    (Domain.CARRIER,),
    (Domain.ENDPOINT,),
)
LV, LC, VC = (*L, *V), (*L, *C), (*V, *C)

_CHECKED = (
    Step.SMART,
    Step.FILESYSTEM,
    Step.MEMORY,
    Step.TEMPERATURE,
    Step.CLOCK,
    Step.CERTIFICATES,
    Step.MANAGEMENT_LINK,
    Step.GATEWAY,
    Step.DNS,
    Step.VPN_NEXT_HOP,
    Step.CARRIER,
    Step.PIPELINE,
    Step.DISK_WRITE,
    Step.BROKER,
    Step.UPLOAD,
)
LEG = Leg(
    streams=10, packets=30_000, expected=30_000, ef=30_000, jitter_ms=1.0, reported=30_000, reporters=10, vlans=(10,)
)


def healthy() -> Evidence:
    """Ten calls at a time, every check done."""
    checks = [Check(step=step, state=State.OK, window=JUST_NOW) for step in _CHECKED]
    checks.append(Check(step=Step.POWER, state=State.NOT_OBSERVABLE, window=WINDOW))
    span = Port(
        name="enp2s0",
        role=Role.SPAN,
        link_up=True,
        speed_mbps=1000,
        full_duplex=True,
        received=61_000,
        received_bytes=13_000_000,
        peak_bps=2e6,
        silent_s=0.0,
        no_unicast_s=0.0,
        kernel_drops=0,
        nic_drops=0,
        crc_errors=0,
        alignment_errors=0,
        window=WINDOW,
    )
    management = replace(span, name="enp1s0", role=Role.MANAGEMENT, received=900, no_unicast_s=None, foreign=0)
    wire = Wire(
        sip=SipSeen(
            window=WINDOW,
            messages=120,
            from_lan=60,
            from_vpn=60,
            vlans=(10,),
            conversations=Conversations(pairs=1, one_way=0, packets=120),
            finals=(
                Final(status=200, from_lan=False, count=15, callees=15),
                Final(status=486, from_lan=False, count=1, callees=1),
            ),
            invites_out=10,
            invites_in=6,
        ),
        calls=CallsSeen(window=WINDOW, answered=15, durations_s=(4.0, 31.2, 95.0, 180.5, 182.0, 611.0)),
        media=MediaSeen(
            window=WINDOW, from_lan=LEG, from_vpn=LEG, bins=3000, conversations=Conversations(pairs=1, packets=60_000)
        ),
        arp=ArpSeen(window=WINDOW),
        last_from_vpn_ns=NOW,
    )
    return Evidence(at_ns=NOW, software="rokubox/test", checks=tuple(checks), ports=(span, management), wire=wire)


def with_check(evidence: Evidence, step: Step, cause: Cause = Cause.NONE, state: State = State.NG, **more) -> Evidence:
    others = tuple(check for check in evidence.checks if check.step is not step)
    window = Window(begin_ns=NOW - NS, end_ns=NOW)
    return replace(evidence, checks=(*others, Check(step=step, state=state, cause=cause, window=window, **more)))


def with_port(evidence: Evidence, role: Role = Role.SPAN, **changes) -> Evidence:
    return replace(
        evidence, ports=tuple(replace(port, **changes) if port.role is role else port for port in evidence.ports)
    )


def with_wire(evidence: Evidence, part: str, **changes) -> Evidence:
    assert evidence.wire is not None
    return replace(evidence, wire=replace(evidence.wire, **{part: replace(getattr(evidence.wire, part), **changes)}))


def _sip(**changes) -> Callable[[Evidence], Evidence]:
    return lambda evidence: with_wire(evidence, "sip", **changes)


def _calls(**changes) -> Callable[[Evidence], Evidence]:
    return lambda evidence: with_wire(evidence, "calls", **changes)


def _legs(lan: Mapping[str, object], vpn: Mapping[str, object], **changes) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        assert evidence.wire is not None
        media = evidence.wire.media
        legs = {"from_lan": replace(media.from_lan, **lan), "from_vpn": replace(media.from_vpn, **vpn)}  # type: ignore[arg-type]
        return with_wire(evidence, "media", **legs, **changes)

    return change


def _check(step: Step, cause: Cause = Cause.NONE, **more) -> Callable[[Evidence], Evidence]:
    return lambda evidence: with_check(evidence, step, cause, **more)


def _port(**changes) -> Callable[[Evidence], Evidence]:
    return lambda evidence: with_port(evidence, **changes)


def _silent_mirror(evidence: Evidence) -> Evidence:
    return replace(evidence, wire=Wire())


def _no_frames(evidence: Evidence) -> Evidence:
    return with_port(_silent_mirror(evidence), received=0, received_bytes=0, silent_s=45.0, no_unicast_s=45.0)


def _only_group(evidence: Evidence) -> Evidence:
    return with_port(_silent_mirror(evidence), received=40, no_unicast_s=70.0, group=40)


def _link_down(evidence: Evidence) -> Evidence:
    return with_port(_no_frames(evidence), link_up=False)


def _one_direction(evidence: Evidence) -> Evidence:
    evidence = with_wire(
        evidence,
        "media",
        from_vpn=Leg(),
        conversations=Conversations(pairs=1, one_way=1, packets=30_000),
    )
    evidence = with_wire(evidence, "calls", answered=10, vpn_missing=10, durations_s=())
    sip = {"from_vpn": 0, "finals": (), "conversations": Conversations(pairs=1, one_way=1, packets=60)}
    evidence = with_wire(evidence, "sip", **sip)
    assert evidence.wire is not None
    return replace(evidence, wire=replace(evidence.wire, last_from_vpn_ns=0))


def _swapped(evidence: Evidence) -> Evidence:
    evidence = with_check(_only_group(evidence), Step.GATEWAY, Cause.ARP_UNANSWERED)
    for step in (Step.DNS, Step.VPN_NEXT_HOP, Step.CARRIER, Step.BROKER, Step.UPLOAD, Step.CLOCK):
        evidence = with_check(evidence, step, Cause.TIMEOUT)
    return with_port(evidence, Role.MANAGEMENT, foreign=30_000, received=30_010)


def _gateway_gone(evidence: Evidence) -> Evidence:
    for step in (Step.VPN_NEXT_HOP, Step.CARRIER, Step.BROKER, Step.UPLOAD):
        evidence = with_check(evidence, step, Cause.TIMEOUT)
    return with_check(evidence, Step.GATEWAY, Cause.ARP_UNANSWERED)


def _no_media(*, vlan: int, **calls: int) -> Callable[[Evidence], Evidence]:
    def change(evidence: Evidence) -> Evidence:
        evidence = with_wire(evidence, "media", from_lan=Leg(), from_vpn=Leg(), conversations=Conversations())
        evidence = with_wire(evidence, "sip", vlans=(vlan,))
        return with_wire(evidence, "calls", **calls, durations_s=())

    return change


def _other_vlan(evidence: Evidence) -> Evidence:
    lan = replace(LEG, vlans=(20,))
    evidence = with_wire(
        evidence, "media", from_lan=lan, from_vpn=Leg(), conversations=Conversations(pairs=1, one_way=1, packets=30_000)
    )
    return with_wire(evidence, "calls", vlan_apart=15)


def _quiet_beyond(evidence: Evidence) -> Evidence:
    assert evidence.wire is not None
    return replace(evidence, wire=replace(evidence.wire, last_from_vpn_ns=NOW - 30 * NS))


def _carrier_gone(evidence: Evidence) -> Evidence:
    return _quiet_beyond(with_check(evidence, Step.CARRIER, Cause.TIMEOUT))


def _next_hop_gone(evidence: Evidence) -> Evidence:
    return _carrier_gone(with_check(evidence, Step.VPN_NEXT_HOP, Cause.TIMEOUT))


def _arp_at_the_mirror(evidence: Evidence) -> Evidence:
    """The VPN router does not lie in the management network, and is not reached from there."""
    evidence = with_wire(evidence, "sip", unanswered_out=5)
    evidence = with_check(evidence, Step.VPN_NEXT_HOP, Cause.NOT_PERMITTED, State.UNKNOWN)
    assert evidence.wire is not None
    return replace(evidence, wire=replace(evidence.wire, arp=ArpSeen(window=WINDOW, asked=1, unanswered=1)))


def _refused(status: int, count: int, callees: int = 5, *, from_lan: bool = False) -> Callable[[Evidence], Evidence]:
    final = Final(status=status, from_lan=from_lan, count=count, callees=callees, servers=("SBC/1",))
    return _sip(finals=(Final(status=200, from_lan=False, count=5, callees=5), final))


GAPS = {"packets": 28_500, "lost": 1500, "gap_bins": 800}
FEW_BINS = {"packets": 29_500, "lost": 500, "gap_bins": 40}
CLOCK = (SenderClock(sender="192.0.2.7", ppm=240.0, span_s=120.0),)

FAULTS: Mapping[str, tuple[Callable[[Evidence], Evidence], Row, Domains]] = {
    "SPAN link down": (_link_down, Row.SPAN_LINK_DOWN, M),
    "no frames while the management LAN is fine": (_no_frames, Row.NO_FRAMES, M),
    "only broadcast and multicast": (_only_group, Row.ONLY_GROUP, M),
    "one MAC direction only": (_one_direction, Row.ONE_DIRECTION, M),
    "every packet twice": (_legs({"doubled": 30_000}, {"doubled": 30_000}), Row.DOUBLED, M),
    "SIP on a VLAN, no RTP": (_no_media(vlan=10, silent_long=12), Row.VLAN_MISSING, M),
    "RTP on another VLAN, one side of it missing": (_other_vlan, Row.VLAN_MISSING, M),
    "no RTP, calls last normally": (_no_media(vlan=0, silent_long=12), Row.MEDIA_BYPASSES, M),
    "no RTP, BYE within seconds": (_no_media(vlan=0, silent_short=12), Row.NO_MEDIA, L),
    "the LAN's side missing": (_calls(lan_missing=9), Row.LAN_SILENT, L),
    "NAT'ed SDP": (_calls(vpn_missing=9, nowhere=9), Row.NAT_IN_SDP, L),
    "the carrier's side missing": (_calls(vpn_missing=9), Row.VPN_SILENT, VC),
    "gaps from the VPN": (_legs({}, GAPS), Row.GAPS_FROM_VPN, VC),
    "gaps from the LAN": (_legs(GAPS, {}), Row.GAPS_FROM_LAN, L),
    "gaps both ways, local drops": (
        lambda e: with_port(_legs(FEW_BINS, FEW_BINS, shared_bins=38)(e), kernel_drops=1000),
        Row.OVERLOAD,
        A,
    ),
    "adapter drops": (_port(nic_drops=50), Row.OVERLOAD, A),
    "gaps both ways, mirror near its speed": (
        lambda e: with_port(_legs(FEW_BINS, FEW_BINS, shared_bins=38)(e), speed_mbps=100, peak_bps=97e6),
        Row.OVERSUBSCRIBED,
        M,
    ),
    "gaps both ways, each on its own": (_legs(GAPS, GAPS, shared_bins=210), Row.GAPS_FROM_LAN, L),
    "gaps both ways at the same instants": (
        _legs(FEW_BINS, FEW_BINS, shared_bins=38),
        Row.GAPS_TOGETHER,
        (),
    ),
    "the far end reports loss": (_legs({"reported_lost": 1500}, {}), Row.LOSS_TOWARDS_VPN, VC),
    "one far end reports loss": (_legs({"reported_lost": 1500, "reporters": 1}, {}), Row.LOSS_TOWARDS_VPN, (*VC, *E)),
    "the telephones report loss": (_legs({}, {"reported_lost": 1500}), Row.LOSS_TOWARDS_LAN, L),
    "INVITE out unanswered": (_sip(unanswered_out=5), Row.UNANSWERED, VC),
    "INVITE in unanswered": (_sip(unanswered_in=5), Row.LAN_UNANSWERED, L),
    "INVITE unanswered, sides unknown": (_sip(unanswered_unplaced=1), Row.UNANSWERED_UNPLACED, ()),
    "503 from the carrier": (_refused(503, 4), Row.SERVER_ERROR, C),
    "500 from the PBX": (_refused(500, 4, from_lan=True), Row.LAN_ERROR, L),
    "408 from beyond": (_refused(408, 6), Row.NOT_REACHED, C),
    "480 from beyond, one destination": (_refused(480, 6, 1), Row.NOT_REACHED, (*C, *E)),
    "480 from the PBX": (_refused(480, 6, from_lan=True), Row.LAN_NOT_REACHED, L),
    "403": (_refused(403, 6), Row.REFUSED, LC),
    "403 from the PBX": (_refused(403, 6, from_lan=True), Row.LAN_REFUSES, L),
    "401/407 loop": (_sip(challenge_loops_out=3), Row.REFUSED, LC),
    "401 loop at the PBX": (_sip(challenge_loops_in=3), Row.LAN_REFUSES, L),
    "200 OK repeated, no ACK": (_sip(unacknowledged=2), Row.NO_ACK, LV),
    "all calls end after the same time": (
        _calls(durations_s=(12.0, 180.1, 180.2, 44.0, 180.0, 180.4, 180.3)),
        Row.EQUAL_DURATIONS,
        L,
    ),
    "ARP of the gateway unanswered": (_gateway_gone, Row.ARP_UNANSWERED, LV),
    "ARP of the gateway unanswered, VPN router answers": (
        _check(Step.GATEWAY, Cause.ARP_UNANSWERED),
        Row.ARP_UNANSWERED,
        L,
    ),
    "ARP of the VPN router unanswered": (
        lambda e: with_check(_carrier_gone(e), Step.VPN_NEXT_HOP, Cause.ARP_UNANSWERED),
        Row.ARP_UNANSWERED,
        LV,
    ),
    "ARP unanswered at the mirror": (
        _arp_at_the_mirror,
        Row.ARP_UNANSWERED,
        LV,
    ),
    "CRC errors at the mirror port": (_port(crc_errors=40), Row.LINE_ERRORS, L),
    "CRC errors at the management port": (lambda e: with_port(e, Role.MANAGEMENT, crc_errors=40), Row.LINE_ERRORS, L),
    "half duplex": (lambda e: with_port(e, Role.MANAGEMENT, full_duplex=False), Row.LINE_ERRORS, L),
    "DSCP EF leaving, 0 arriving": (_legs({}, {"ef": 0, "best_effort": 30_000, "jitter_ms": 31.0}), Row.REMARKED, V),
    "RTP clock off": (_legs({}, {"clocks": CLOCK}), Row.SENDER_CLOCK, E),
    "NTP lost": (_check(Step.CLOCK, Cause.NOT_SYNCHRONISED), Row.CLOCK_WRONG, A),
    "time servers do not answer": (_check(Step.CLOCK, Cause.TIMEOUT), Row.CLOCK_WRONG, A),
    "time steps": (_check(Step.CLOCK, Cause.STEPPED), Row.CLOCK_WRONG, A),
    "constant payload from the LAN": (_legs({"constant": 1}, {}), Row.DEAD_AIR, L),
    "constant payload from beyond": (_legs({}, {"constant": 1}), Row.DEAD_AIR, E),
    "SPAN cable in the management port": (_swapped, Row.SPAN_IN_MANAGEMENT, M),
    "management link down": (_check(Step.MANAGEMENT_LINK, Cause.LINK_DOWN), Row.MANAGEMENT_DOWN, L),
    "both links down": (
        lambda e: with_check(_link_down(e), Step.MANAGEMENT_LINK, Cause.LINK_DOWN),
        Row.MANAGEMENT_DOWN,
        L,
    ),
    "DNS of the LAN gone": (_check(Step.DNS, Cause.TIMEOUT, is_on_link=True), Row.DNS_GONE, L),
    "DNS elsewhere gone": (_check(Step.DNS, Cause.TIMEOUT, is_on_link=False), Row.DNS_GONE, ()),
    "carrier endpoint gone": (_carrier_gone, Row.CARRIER_GONE, VC),
    "VPN next hop gone": (_next_hop_gone, Row.NEXT_HOP_GONE, LV),
    "gateway does not forward": (
        lambda e: with_check(_gateway_gone(e), Step.GATEWAY, Cause.TIMEOUT),
        Row.NEXT_HOP_GONE,
        LV,
    ),
    "broker gone": (_check(Step.BROKER, Cause.REFUSED), Row.BROKER_GONE, ()),
    "broker's certificate expired": (_check(Step.BROKER, Cause.TLS_EXPIRED), Row.BROKER_GONE, ()),
    "delivery target gone": (_check(Step.UPLOAD, Cause.TIMEOUT), Row.UPLOAD_GONE, ()),
    "own certificate expired": (_check(Step.CERTIFICATES, Cause.EXPIRED), Row.CERTIFICATE_EXPIRED, A),
    "disk full": (_check(Step.FILESYSTEM, Cause.FULL), Row.DISK_UNUSABLE, A),
    "disk failing": (_check(Step.SMART, Cause.FAILING), Row.DISK_FAILING, A),
    "disk gives back something else": (_check(Step.DISK_WRITE, Cause.DIFFERS), Row.DISK_DIFFERS, A),
    "memory short": (_check(Step.MEMORY, Cause.LOW), Row.MEMORY_LOW, A),
    "too hot": (_check(Step.TEMPERATURE, Cause.HOT), Row.TOO_HOT, A),
    "under-voltage": (_check(Step.POWER, Cause.UNDER_VOLTAGE), Row.POWER_LOW, A),
    "test call failed": (_check(Step.PIPELINE, Cause.DIFFERS), Row.PIPELINE_FAILED, A),
    "recorder stopped": (_check(Step.CAPTURE, Cause.NOT_RUNNING), Row.RECORDER_STOPPED, A),
    "interface missing": (_check(Step.SPAN_LINK, Cause.INTERFACE_MISSING), Row.INTERFACE_MISSING, A),
    "no address": (_check(Step.GATEWAY, Cause.NO_ROUTE), Row.NO_ADDRESS, A),
    "one-way calls, sides unknown": (_calls(one_way_unplaced=5), Row.ONE_WAY_UNPLACED, ()),
}
"""What is changed in a healthy site's evidence, and the finding that must come first."""
