"""The faults: how each is injected, whose it is, and how long its evidence takes to be complete."""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tests.appliance.diagnosis.watched import LAN, is_rtp
from tests.faults.player import Style, cutting, dropping, from_lan, losing, repeating, with_reports
from tests.faults.stand import Stand
from tests.traffic.calls import CallScript
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Packet, Wire
from tests.traffic.speech import speech

A, M, L, V, C, E = "appliance", "mirror", "lan", "vpn", "carrier", "endpoint"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row that one machine can show."""

    name: str
    guilty: tuple[str, ...]
    """Domains that the verdict has to name; empty: not observable."""
    inject: Callable[[Stand], object]
    complete_s: float
    """After so long the row's evidence is complete: from then on a verdict is due within 30 s."""
    also: tuple[str, ...] = ()
    """Who may be named besides: what was injected is their fault, too."""
    style: bool = False
    """It changes how calls go: of two such faults only one shows."""


def styled(**changes) -> Callable[[Stand], None]:
    return lambda stand: stand.player.exchange(replace(Style(), **changes))


def scripted(script: Callable[[CallScript], CallScript], **more) -> Callable[[Stand], None]:
    return styled(script=script, **more)


def beyond(packet: Packet) -> bool:
    return not from_lan(packet)


def _refused(status: str, *, out: bool = True) -> Callable[[CallScript], CallScript]:
    def change(script: CallScript) -> CallScript:
        is_out = script.caller.sip.host == LAN
        return replace(script, final_status=status) if is_out is out else script

    return change


def _longer(script: CallScript) -> CallScript:
    return replace(script, talk_s=20.0)


def _out_only(script: CallScript) -> CallScript:
    if script.caller.sip.host == LAN:
        return script
    return replace(script, caller=script.callee, callee=script.caller)


def _mute(script: CallScript) -> CallScript:
    dead = MediaScript(audio=speech(30.0, seed=1) * 0, seed=script.caller_media.seed)
    lan_calls = script.caller.sip.host == LAN
    changed = {"caller_media" if lan_calls else "callee_media": dead}
    return replace(script, talk_s=25.0, **changed)  # type: ignore[arg-type]


def _skewed(script: CallScript) -> CallScript:
    """Long calls; the far side's clock is fast."""
    plain, skewed = MediaScript(audio=_LONG, jitter_ns=200_000), MediaScript(audio=_LONG, skew_ppm=400.0)
    out = script.caller.sip.host == LAN
    caller, callee = (plain, skewed) if out else (skewed, plain)
    return replace(
        script,
        talk_s=80.0,
        caller_media=replace(caller, seed=script.caller_media.seed),
        callee_media=replace(callee, seed=script.callee_media.seed),
    )


_LONG = speech(85.0, seed=9)
_SPARSE = MediaScript(audio=speech(95.0, seed=8), ptime_ms=60)


def _equal(script: CallScript) -> CallScript:
    media = [replace(_SPARSE, seed=each.seed) for each in (script.caller_media, script.callee_media)]
    return replace(script, talk_s=90.0, caller_media=media[0], callee_media=media[1])


def _hidden(packets: list[Packet]) -> list[Packet]:
    """SDP of the LAN's side names an address behind a NAT, and what was sent there never arrives."""

    def told(packet: Packet) -> Packet:
        if is_rtp(packet) or not from_lan(packet) or b"\r\n\r\nv=0" not in packet.payload:
            return packet
        head, _, body = packet.payload.partition(b"\r\n\r\n")
        changed = body.replace(LAN.encode(), b"192.168.100.100")
        head = head.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(changed))
        return replace(packet, payload=head + b"\r\n\r\n" + changed)

    return [told(packet) for packet in packets if not (is_rtp(packet) and beyond(packet))]


def _challenged(packets: list[Packet]) -> list[Packet]:
    """The INVITE is challenged, sent again with credentials, challenged again ..."""
    invite = next(packet for packet in packets if packet.payload.startswith(b"INVITE"))
    found = []
    for attempt in range(5):
        at_ns = invite.ts_ns + attempt * 400_000_000
        credentials = b"Proxy-Authorization: Digest username=x\r\nContent-Length" if attempt else b"Content-Length"
        asked = re.sub(rb"CSeq: [0-9]+ ", b"CSeq: %d " % (attempt + 1), invite.payload)
        asked = asked.replace(b"Content-Length", credentials)
        kept = [line for line in asked.split(b"\r\n") if line.startswith((b"Via", b"From", b"To", b"Call-ID", b"CSeq"))]
        answer = [b"SIP/2.0 407 Proxy Authentication Required", *kept, b"Proxy-Authenticate: Digest nonce=n"]
        found.append(replace(invite, ts_ns=at_ns, payload=asked))
        found.append(
            Packet(
                ts_ns=at_ns + 50_000_000,
                source=invite.destination,
                destination=invite.source,
                payload=b"\r\n".join([*answer, b"Content-Length: 0", b"", b""]),
            )
        )
    return found


def _unacknowledged(packets: list[Packet]) -> list[Packet]:
    accepted = next(packet for packet in packets if packet.payload.startswith(b"SIP/2.0 200"))
    before = [packet for packet in packets if packet.ts_ns <= accepted.ts_ns and not is_rtp(packet)]
    rtp = [packet for packet in packets if is_rtp(packet) and packet.ts_ns < accepted.ts_ns + 32_000_000_000]
    again = [replace(accepted, ts_ns=accepted.ts_ns + round(at * 1e9)) for at in (0.5, 1.5, 3.5, 7.5, 11.5, 15.5)]
    return sorted(before + rtp + again, key=lambda packet: packet.ts_ns)


def _tagged(*, with_rtp: bool) -> Callable[[Packet], Wire]:
    return lambda packet: Wire(vlans=(20 if is_rtp(packet) and with_rtp else 10,))


def _broadcasts(stand: Stand) -> None:
    """The mirror's source is removed: the port hears what everybody hears."""
    stand.site.mirror(ports=())
    out = stand.site.raw("sw", "sw2")
    request = b"\xff" * 6 + bytes.fromhex("020000000077") + b"\x08\x06" + bytes(46)

    def send() -> None:
        while not stand.over.wait(0.5):
            with contextlib.suppress(OSError):
                out.send(request)
        out.close()

    threading.Thread(target=send, daemon=True).start()


def _swap_cables(stand: Stand) -> None:
    """The mirror goes into the management port, and the ordinary port to where the mirror was."""
    stand.site.ip("sw", "link set sw4 nomaster")
    _broadcasts(stand)
    stand.site.run("sw", "tc qdisc add dev sw1 clsact")
    for direction in ("ingress", "egress"):
        words = f"tc filter add dev sw1 {direction} protocol all u32 match u32 0 0 action mirred egress mirror dev sw4"
        stand.site.run("sw", words)


def _overload(stand: Stand) -> None:
    """Capture stands still while more comes than its ring holds."""
    pid = stand.pid("capture")
    os.kill(pid, signal.SIGSTOP)
    out = stand.site.raw("sw", "sw2")
    payload = b"\x80\x00" + bytes(10) + bytes(1380)
    ip = bytes.fromhex("4500058c00004000401100000a4d00630a4d0064") + bytes.fromhex("9c409c4205780000")
    frame = bytes.fromhex("020000000001020000000002 0800".replace(" ", "")) + ip + payload
    try:
        for _ in range(230_000):
            with contextlib.suppress(OSError):
                out.send(frame)
    finally:
        os.kill(pid, signal.SIGCONT)
        out.close()


def _throttle(stand: Stand) -> None:
    """The mirror port is too slow: frames of both directions are left out at the same instants."""
    stand.site.run("sw", "tc qdisc add dev sw2 root tbf rate 700kbit burst 8kb limit 12kb")


def _deaf_to_arp(node: str) -> Callable[[Stand], None]:
    def inject(stand: Stand) -> None:
        stand.site.run(node, "nft add table arp faults")
        chain = "add chain arp faults input { type filter hook input priority 0; policy drop; }"
        subprocess.run(stand.site.within(node, "nft", chain), check=True, capture_output=True)
        if node == "vpn":
            stand.player.exchange(Style(change=[lambda _: []]))  # whom the PBX does not find it does not call
            _ask_in_vain(stand)

    return inject


def _ask_in_vain(stand: Stand) -> None:
    """The PBX looks for the VPN router."""
    out = stand.site.raw("pbx", "p0")
    request = b"\xff" * 6 + bytes.fromhex("02000a4d000a 0806 0001080006040001 02000a4d000a 0a4d000a".replace(" ", ""))
    request += bytes(6) + bytes.fromhex("0a4d00fe") + bytes(18)

    def send() -> None:
        while not stand.over.wait(1.0):
            with contextlib.suppress(OSError):
                out.send(request)
        out.close()

    threading.Thread(target=send, daemon=True).start()


def _fill_disk(stand: Stand) -> None:
    with (stand.archive.root / "filler").open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 20))
            file.flush()


def _expire(stand: Stand) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    made = stand.authority.issue_cert("box.example", not_after=past)
    made.private_key_pem.write_to_path(stand.folder / "box.key")
    made.cert_chain_pems[0].write_to_path(stand.folder / "box.pem")


def _stop(name: str) -> Callable[[Stand], None]:
    return lambda stand: stand.site.stop(stand.services[name])


def _carrier_silent(stand: Stand) -> None:
    stand.site.stop(stand.services["options"])
    stand.player.exchange(
        Style(script=_out_only, change=[cutting([b"INVITE"]), repeating(b"INVITE", (0.5, 1.5, 3.5, 7.5, 15.5, 31.5))])
    )


def _carrier_away(stand: Stand) -> None:
    stand.site.stop(stand.services["options"])
    stand.player.exchange(Style(change=[lambda _: []]))


def _lost_beyond(packets: list[Packet]) -> list[Packet]:
    bare = [packet for packet in packets if packet.payload[:2] != b"\x81\xc9"]
    return with_reports(bare, lambda packet: 13 if from_lan(packet) else 0)


def _lost_towards_lan(packets: list[Packet]) -> list[Packet]:
    bare = [packet for packet in packets if packet.payload[:2] != b"\x81\xc9"]
    return with_reports(bare, lambda packet: 0 if from_lan(packet) else 13)


FAULTS = (
    Fault(name="SPAN cable out", guilty=(M,), complete_s=1, inject=lambda s: s.site.ip("sw", "link set sw2 down")),
    Fault(name="mirror session gone: no frames", guilty=(M,), complete_s=30, inject=lambda s: s.site.mirror(ports=())),
    Fault(name="only broadcast and multicast", guilty=(M,), complete_s=62, inject=_broadcasts),
    Fault(
        name="one-way mirror: what the VPN sends",
        guilty=(M,),
        complete_s=62,
        inject=lambda s: s.site.mirror(directions=("ingress",)),
    ),
    Fault(
        name="one-way mirror: what the LAN sends",
        guilty=(M,),
        complete_s=62,
        inject=lambda s: s.site.mirror(directions=("egress",)),
    ),
    Fault(name="doubled mirror", guilty=(M,), complete_s=32, inject=lambda s: s.site.mirror(ports=("sw0", "sw1"))),
    Fault(
        name="SIP on a VLAN, RTP's VLAN not mirrored",
        guilty=(M,),
        complete_s=20,
        style=True,
        inject=styled(change=[dropping(is_rtp)], wire=_tagged(with_rtp=False), script=_longer),
    ),
    Fault(
        name="RTP on another VLAN, one side of it missing",
        guilty=(M,),
        complete_s=62,
        style=True,
        inject=styled(change=[dropping(lambda p: is_rtp(p) and beyond(p))], wire=_tagged(with_rtp=True)),
    ),
    Fault(
        name="media bypasses the tap",
        guilty=(M,),
        complete_s=20,
        style=True,
        inject=styled(change=[dropping(is_rtp)], script=_longer),
    ),
    Fault(
        name="no RTP, BYE within seconds",
        guilty=(L,),
        complete_s=9,
        style=True,
        inject=styled(change=[dropping(is_rtp)], script=lambda s: replace(s, talk_s=4.0)),
    ),
    Fault(
        name="RTP of the LAN dropped",
        guilty=(L,),
        complete_s=9,
        style=True,
        inject=styled(change=[dropping(lambda p: is_rtp(p) and from_lan(p))]),
    ),
    Fault(
        name="RTP of the carrier dropped",
        guilty=(V, C),
        complete_s=9,
        style=True,
        inject=styled(change=[dropping(lambda p: is_rtp(p) and beyond(p))]),
    ),
    Fault(name="NAT'ed SDP", guilty=(L,), complete_s=9, style=True, inject=styled(change=[_hidden])),
    Fault(
        name="loss 5 % before the mirror, from the VPN",
        guilty=(V, C),
        complete_s=10,
        style=True,
        inject=styled(change=[losing(0.05, beyond)]),
    ),
    Fault(
        name="loss 5 % before the mirror, from the LAN",
        guilty=(L,),
        complete_s=10,
        style=True,
        inject=styled(change=[losing(0.05, from_lan)]),
    ),
    Fault(
        name="loss 5 % behind the mirror, towards the VPN",
        guilty=(V, C),
        complete_s=15,
        style=True,
        inject=styled(change=[_lost_beyond]),
    ),
    Fault(
        name="loss 5 % behind the mirror, towards the LAN",
        guilty=(L,),
        complete_s=15,
        style=True,
        inject=styled(change=[_lost_towards_lan]),
    ),
    Fault(name="kernel drops forced", guilty=(A,), complete_s=5, inject=_overload),
    Fault(name="mirror too slow, drops both ways", guilty=(), complete_s=30, also=(M,), inject=_throttle),
    Fault(
        name="no answer to INVITE",
        guilty=(V, C),
        complete_s=34,
        style=True,
        inject=_carrier_silent,
    ),
    Fault(
        name="no answer from the PBX",
        guilty=(L,),
        complete_s=34,
        style=True,
        inject=scripted(
            lambda s: s if s.callee.sip.host == LAN else replace(s, caller=s.callee, callee=s.caller),
            change=[cutting([b"INVITE"]), repeating(b"INVITE", (0.5, 1.5, 3.5, 7.5, 15.5, 31.5))],
        ),
    ),
    Fault(
        name="503 from the carrier",
        guilty=(C,),
        complete_s=5,
        style=True,
        inject=scripted(_refused("503 Service Unavailable")),
    ),
    Fault(
        name="500 from the PBX",
        guilty=(L,),
        complete_s=5,
        style=True,
        inject=scripted(_refused("500 Server Internal Error", out=False)),
    ),
    Fault(
        name="480 from beyond, many destinations",
        guilty=(C,),
        complete_s=25,
        style=True,
        inject=scripted(_refused("480 Temporarily Unavailable")),
    ),
    Fault(name="403", guilty=(L, C), complete_s=12, style=True, inject=scripted(_refused("403 Forbidden"))),
    Fault(
        name="407 again and again",
        guilty=(L, C),
        complete_s=4,
        style=True,
        inject=scripted(_out_only, change=[_challenged]),
    ),
    Fault(
        name="200 OK repeated, no ACK",
        guilty=(L, V),
        complete_s=8,
        style=True,
        inject=styled(change=[_unacknowledged]),
    ),
    Fault(
        name="all calls end after the same time",
        guilty=(L,),
        complete_s=104,
        style=True,
        inject=scripted(_equal),
    ),
    Fault(name="ARP of the gateway silent", guilty=(L,), complete_s=20, inject=_deaf_to_arp("gw")),
    Fault(name="ARP of the VPN router silent", guilty=(L, V), complete_s=20, style=True, inject=_deaf_to_arp("vpn")),
    Fault(
        name="DSCP EF leaving, 0 arriving",
        guilty=(V,),
        complete_s=62,
        style=True,
        inject=styled(tos=lambda packet: 46 << 2 if from_lan(packet) else 0),
    ),
    Fault(name="RTP clock 400 ppm off", guilty=(E,), complete_s=64, style=True, inject=scripted(_skewed)),
    Fault(name="NTP lost", guilty=(A,), complete_s=1, inject=lambda s: s.clock.write_text("lost")),
    Fault(name="time server gone", guilty=(A,), complete_s=62, inject=_stop("clock")),
    Fault(name="clock stepped", guilty=(A,), complete_s=2, inject=lambda s: s.clock.write_text("3600000000000")),
    Fault(name="telephone muted, digital silence", guilty=(L,), complete_s=17, style=True, inject=scripted(_mute)),
    Fault(name="SPAN cable in the management port", guilty=(M,), complete_s=62, inject=_swap_cables),
    Fault(
        name="management cable out", guilty=(L,), complete_s=1, inject=lambda s: s.site.ip("sw", "link set sw4 down")
    ),
    Fault(name="DNS gone", guilty=(L,), complete_s=19, inject=_stop("names")),
    Fault(name="broker gone", guilty=(), complete_s=16, inject=_stop("broker")),
    Fault(name="own certificate expired", guilty=(A,), complete_s=61, inject=_expire),
    Fault(name="carrier endpoint away", guilty=(V, C), complete_s=66, style=True, inject=_carrier_away),
    Fault(name="disk full", guilty=(A,), complete_s=61, inject=_fill_disk),
    Fault(name="recorder stopped", guilty=(A,), complete_s=22, inject=lambda s: s.stop_recorder()),
)
NOT_SHOWN = (
    "checksum and alignment errors, half duplex (veth has none)",
    "mirror near its port's speed (veth says 10 Gbit/s whatever passes): shown as `mirror too slow`",
    "SMART, supply voltage, temperature (no such sensors here)",
)
"""Rows that one machine cannot show; they stand in the table tests of the verdict."""
