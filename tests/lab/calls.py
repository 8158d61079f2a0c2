"""Real calls by SIPp: one process for each party, its speech a capture file that SIPp plays packet by packet.

Everything sent is known beforehand: SSRC, sequence and timestamps are those of the file. When a packet leaves is SIPp's
business.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

from tests.lab.network import Network, Node, host
from tests.traffic.calls import CallScript
from tests.traffic.g711 import PCMU
from tests.traffic.media import STATIC_PAYLOAD_TYPES, MediaScript, Sent, send
from tests.traffic.pcapwriter import Address, Packet, Transport, frames_of, write_pcap
from tests.traffic.signalling import Party, Side
from tests.traffic.speech import Audio, speech

SCENARIOS = Path(__file__).parent / "sipp"
SIP_PORT, RTP_PORT = 5060, 20000
HELD_S = (2.0, 3.8)
"""When nobody on hold speaks, counted from the first packet; the hold scenarios keep these times."""
MUSIC_HELD_S = (3.6, 3.8)
"""When the holder who plays music is silent: SIPp stops one file before it starts the next."""
_START_NS = 1_000_000_000_000_000_000
_HANG_UP_AFTER_MS = 600
"""A busy machine lets SIPp's player fall behind."""
_LIMIT_S = 40


class Plan(StrEnum):
    """What happens in a call."""

    PLAIN = "plain"
    HOLD = "hold"
    MUSIC = "hold with music"
    REFER = "refer"
    """The callee asks the caller to call somebody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabCall:
    """One call between the PBX and the carrier."""

    line: int
    """Telephone at either side; calls at the same time have lines of their own."""
    law: str = PCMU
    transport: Transport = Transport.UDP
    ipv6: bool = False
    seconds: float = 4.0
    """Length of what each party says, holds included."""
    plan: Plan = Plan.PLAIN
    caller: Node = Node.PBX
    transferred_from: "LabCall | None" = None
    """The call whose REFER this one follows; it starts when that one is over."""
    takes_over: bool = False
    """The INVITE of a transferred call also names the old dialog in Replaces."""

    @property
    def call_id(self) -> str:
        """Of its dialog."""
        return f"line{self.line}@lab"

    def node(self, side: Side) -> Node:
        """Where the party sits."""
        away = Node.CARRIER if self.caller is Node.PBX else Node.PBX
        return self.caller if side is Side.CALLER else away

    def party(self, side: Side) -> Party:
        """The telephone."""
        place = host(self.node(side), self.line, ipv6=self.ipv6)
        # Who was transferred keeps the number, on another line.
        line = self.transferred_from.line if self.transferred_from and side is Side.CALLER else self.line
        number = f"03355501{line:02}" if self.node(side) is Node.PBX else f"06987654{line:02}"
        return Party(number=number, sip=Address(place, SIP_PORT), rtp=Address(place, RTP_PORT))

    def media(self, side: Side) -> MediaScript:
        """What the party says."""
        seed = 2 * self.line + (side is Side.CALLEE)
        # The first sequence number is given, so that a logged packet can be found in the script again.
        return MediaScript(audio=_speech(self.seconds, seed), codec=self.law, seed=seed, first_sequence=65_500 + seed)

    def sent(self, side: Side, lost: frozenset[int] = frozenset()) -> Sent:
        """What the party sends, and what is left of it without the packets whose sequence numbers are `lost`."""
        script = self.media(side)
        first = script.first_sequence or 0
        slots = frozenset((sequence - first) % 65536 for sequence in lost)
        start_s, end_s = self.silence_s(side)
        return send(
            replace(script, lost=slots),
            self.party(side).rtp,
            self.party(side.other).rtp,
            _START_NS,
            lambda ts_ns: start_s <= (ts_ns - _START_NS) / 1e9 < end_s,
        )

    def silence_s(self, side: Side) -> tuple[float, float]:
        """From when to when the party says nothing on account of a hold."""
        match self.plan:
            case Plan.HOLD:
                return HELD_S
            case Plan.MUSIC:
                return MUSIC_HELD_S if side is Side.CALLER else HELD_S
            case _:
                return (0.0, 0.0)

    @property
    def script(self) -> CallScript:
        """The call as the generator would describe it."""
        return CallScript(
            caller=self.party(Side.CALLER),
            callee=self.party(Side.CALLEE),
            call_id=self.call_id,
            caller_media=self.media(Side.CALLER),
            callee_media=self.media(Side.CALLEE),
        )


@cache
def _speech(seconds: float, seed: int) -> Audio:
    return speech(seconds, seed=seed)


def place(network: Network, calls: Sequence[LabCall], folder: Path) -> None:
    """Makes all calls, those that wait for none at the same time, and returns when the last one is over."""
    callees = [_start(network, call, Side.CALLEE, folder) for call in calls]
    _wait_for_listeners(network, calls)
    callers: dict[LabCall, subprocess.Popen[bytes]] = {}
    for call in sorted(calls, key=lambda call: call.transferred_from is not None):
        if call.transferred_from is not None:
            callers[call.transferred_from].wait(_LIMIT_S)
        callers[call] = _start(network, call, Side.CALLER, folder)
    for process in [*callers.values(), *callees]:
        process.wait(_LIMIT_S)
    if any(process.returncode for process in [*callers.values(), *callees]):
        told = "\n".join(path.read_text() for path in sorted(folder.rglob("errors.log")))
        raise AssertionError(f"calls failed in {folder}:\n{told}")


def _start(network: Network, call: LabCall, side: Side, folder: Path) -> subprocess.Popen[bytes]:
    here = folder / f"line{call.line}-{side}"
    here.mkdir()
    scenario = f"{_SCENARIO[call.plan]}{side}.xml"
    shutil.copy(SCENARIOS / scenario, here / scenario)  # SIPp looks for the speech beside it
    for name, packets in _files(call, side):
        write_pcap(here / name, frames_of(packets), nanosecond=False)
    with (here / "screen.txt").open("wb") as screen:
        return subprocess.Popen(
            network.within(call.node(side), "sipp", "-sf", scenario, *_arguments(call, side)),
            cwd=here,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TERM": "xterm"},
        )


_SCENARIO = {Plan.PLAIN: "", Plan.HOLD: "hold_", Plan.MUSIC: "hold_", Plan.REFER: "refer_"}


def _files(call: LabCall, side: Side) -> Iterator[tuple[str, list[Packet]]]:
    packets = call.sent(side).packets
    resumed_ns = _START_NS + round(call.silence_s(side)[1] * 1e9)
    if resumed_ns == _START_NS:
        yield "speech.pcap", packets
        return
    yield "before.pcap", [packet for packet in packets if packet.ts_ns < resumed_ns]
    yield "after.pcap", [packet for packet in packets if packet.ts_ns >= resumed_ns]


def _arguments(call: LabCall, side: Side) -> Iterator[str]:
    here, there = call.party(side), call.party(side.other)
    if side is Side.CALLER:
        yield str(there.sip)
        yield from ("-cid_str", call.call_id)
    yield from ("-i", here.sip.host, "-bind_local", "-p", str(SIP_PORT), "-mi", here.rtp.host, "-mp", str(RTP_PORT))
    yield from ("-t", "t1" if call.transport is Transport.TCP else "u1", "-m", "1", "-d", str(_pause_ms(call, side)))
    yield from ("-timeout", str(_LIMIT_S), "-timeout_error", "-nostdin", "-trace_err", "-error_file", "errors.log")
    yield from ("-s", there.number)
    for key, value in _keys(call, side).items():
        yield from ("-key", key, value)


def _pause_ms(call: LabCall, side: Side) -> int:
    """How long the scenario waits where it says so: until all is said, or half-way for who transfers the call."""
    said_ms = round(call.seconds * 1000)
    match call.plan:
        case Plan.PLAIN:
            return said_ms + _HANG_UP_AFTER_MS
        case Plan.REFER:
            return said_ms // 2 + _HANG_UP_AFTER_MS
        case _:
            return said_ms - round(call.silence_s(side)[1] * 1000) + _HANG_UP_AFTER_MS


def _keys(call: LabCall, side: Side) -> dict[str, str]:
    caller = side is Side.CALLER
    held = "inactive" if call.plan is Plan.HOLD else "sendonly" if caller else "recvonly"
    return {
        "number": call.party(side).number,
        "tag": f"{side}-{call.line}",
        "pt": str(STATIC_PAYLOAD_TYPES[call.law]),
        "law": call.law,
        "hold": held,
        "far": str(call.party(side.other).sip),
        "far_tag": f"{side.other}-{call.line}",
        "target": f"sip:06987654{call.line + 1:02}@10.77.0.1",
        "extra": _extra_header(call),
    }


def _extra_header(call: LabCall) -> str:
    old = call.transferred_from
    if old is None:
        return "Subject: lab"
    if call.takes_over:
        return f"Replaces: {old.call_id};to-tag={Side.CALLEE}-{old.line};from-tag={Side.CALLER}-{old.line}"
    return f"Referred-By: <{old.party(Side.CALLEE).uri}>"


def _wait_for_listeners(network: Network, calls: Sequence[LabCall]) -> None:
    """A TCP connection to a callee that is not there yet would fail."""
    expected = {str(call.party(Side.CALLEE).sip) for call in calls}
    for _ in range(200):
        listening = {
            words[3]
            for node in (Node.PBX, Node.CARRIER)
            for line in network.run(node, "ss", "-Hlntu").splitlines()
            if len(words := line.split()[1:]) > 3
        }
        if expected <= listening:
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens at {', '.join(sorted(expected - listening))}")
