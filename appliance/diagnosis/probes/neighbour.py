"""Whether a station on the management network is there: ARP (RFC 826) or neighbour discovery, and echo.

The kernel asks for the address when something is to be sent; its table says what came of it. A host that answers no
echo is there all the same when the kernel has confirmed its address.
"""

import socket
import time
from contextlib import suppress

from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step
from appliance.diagnosis.probes import echo, ipcommand, sockets
from appliance.diagnosis.probes.wayout import WayOut

SETTLE_S = 9.0
"""Delay (5 s) and three probes until a stale entry is confirmed or has failed (`arp(7)`)."""
_LOOK_S = 0.25
_DISCARD = 9
_CONFIRMED, _FAILED = "REACHABLE", ("FAILED", "INCOMPLETE")


def look_for(step: Step, address: str, way: WayOut) -> Check:
    """Look for a gateway or next hop."""
    on_link = way.is_on_link(address)
    if not way.interface or not way.networks:
        return Check(step=step, state=State.NG, cause=Cause.NO_ROUTE, target=address, is_on_link=on_link)
    try:
        answer = echo.ask(address, way.interface)
    except OSError:
        answer = None
        if on_link is False:
            return Check(step=step, state=State.NG, cause=Cause.UNREACHABLE, target=address, is_on_link=on_link)
    if answer is not None and answer.round_trip_ms is not None:
        figures = (Figure(name="round_trip", value=round(answer.round_trip_ms, 2), unit="ms"),)
        return Check(step=step, state=State.OK, target=address, is_on_link=on_link, figures=figures)
    if not on_link:
        state = State.UNKNOWN if answer is None else State.NG
        cause = Cause.NOT_PERMITTED if answer is None else Cause.TIMEOUT
        return Check(step=step, state=state, cause=cause, target=address, is_on_link=on_link)
    return _by_table(step, address, way)


def _by_table(step: Step, address: str, way: WayOut) -> Check:
    """A station on the link that answers no echo: ask the kernel, which asks the station."""
    until = time.monotonic() + SETTLE_S
    state = ""
    while time.monotonic() < until:
        _provoke(address, way.interface)
        state = _state(address, way.interface)
        if state == _CONFIRMED or state in _FAILED:
            break
        time.sleep(_LOOK_S)
    if state in _FAILED and state != "FAILED":
        time.sleep(3 * _LOOK_S)  # the last of three requests may still be answered
        state = _state(address, way.interface)
    if state == _CONFIRMED:
        return Check(step=step, state=State.OK, target=address, is_on_link=True)
    if state in ("", *_FAILED):
        figures = (Figure(name="arp_unanswered", value=3, of=3),)
        cause = Cause.ARP_UNANSWERED
        return Check(step=step, state=State.NG, cause=cause, target=address, is_on_link=True, figures=figures)
    return Check(step=step, state=State.UNKNOWN, cause=Cause.TIMEOUT, target=address, is_on_link=True)


def _provoke(address: str, interface: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as opened:
        sockets.bind_to(opened, interface, address)
        opened.sendto(b"", (address, _DISCARD))


def _state(address: str, interface: str) -> str:
    for entry in ipcommand.ask("neighbour", "show", "to", address, "dev", interface):
        states = entry.get("state") or [""]
        return str(states[0])
    return ""
