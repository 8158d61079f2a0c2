"""Generated traffic through intake and journal into `WireWatch`, as assembly would pass it on."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from appliance.diagnosis.evidence import Evidence, Wire
from appliance.diagnosis.wire.placement import Sides
from appliance.diagnosis.wire.watch import WireWatch
from capture import journal
from capture.events import EventKind
from capture.intake import Intake
from capture.journal import Event, EventBlock, MediaBlock, SignallingBlock
from capture.journalreader import JournalReader
from capture.journalstore import JournalStore
from capture.signalling import Signalling
from tests.appliance.diagnosis.evidence_of import healthy
from tests.appliance.journals import batch_of
from tests.traffic import calls
from tests.traffic.calls import CallScript, play, together
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Address, Frame, Packet, frames_of
from tests.traffic.signalling import Party, Side
from tests.traffic.speech import speech

NS = 1_000_000_000
SIP = frozenset({5060})
LAN, BEYOND = "10.77.0.10", "203.0.113.20"
NETWORK = "203.0.113.0/24"
ROUTERS = frozenset({"10.77.0.1", "10.77.0.254"})
_SPEECH = {side: speech(40.0, seed=seed) for seed, side in enumerate(Side)}


def call(number: int, *, talk_s: float = 20.0, start_s: float = 0.0, out: bool = True, **changes) -> CallScript:
    """One call between the PBX and the carrier."""
    lan = Party(number=f"03355501{number:02}", sip=Address(LAN, 5060), rtp=Address(LAN, 20000 + 2 * number))
    far = Party(
        number=f"06987654{number:02}", sip=Address(BEYOND, 5060), rtp=Address("203.0.113.21", 30000 + 2 * number)
    )
    script = CallScript(
        caller=lan if out else far,
        callee=far if out else lan,
        call_id=f"call-{number}",
        caller_media=MediaScript(audio=_SPEECH[Side.CALLER], jitter_ns=400_000, seed=2 * number),
        callee_media=MediaScript(audio=_SPEECH[Side.CALLEE], jitter_ns=400_000, seed=2 * number + 1),
        start_ns=calls.START_NS + round(start_s * NS),
        ring_s=1.0,
        talk_s=talk_s,
    )
    return replace(script, **changes)


def played(scripts: Iterable[CallScript]) -> list[Packet]:
    return together([play(script) for script in scripts])


def is_rtp(packet: Packet) -> bool:
    return packet.payload[0] >> 6 == 2 and packet.payload[1] & 0x7F < 64


def from_lan(packet: Packet) -> bool:
    return packet.source.host == LAN


def without(packets: Iterable[Packet], is_dropped: Callable[[Packet], bool]) -> list[Packet]:
    return [packet for packet in packets if not is_dropped(packet)]


def losing(packets: Iterable[Packet], share: float, concerned: Callable[[Packet], bool], seed: int = 1) -> list[Packet]:
    chance = random.Random(seed)
    return [packet for packet in packets if not (is_rtp(packet) and concerned(packet) and chance.random() < share)]


def watch(
    folder: Path,
    traffic: Sequence[Packet] | Sequence[Frame],
    *,
    beyond: tuple[str, ...] = (NETWORK,),
    until_s: float | None = None,
    told: Sequence[Event] = (),
) -> tuple[Wire, WireWatch]:
    """What the mirror showed once all of it, or that up to `until_s` after the first, has gone by."""
    frames = [each if isinstance(each, Frame) else None for each in traffic]
    whole = frames_of(each for each in traffic if isinstance(each, Packet)) if None in frames else list(traffic)
    whole = sorted(whole, key=lambda frame: frame.ts_ns)
    _write(folder, whole, until_s, told)  # type: ignore[arg-type]
    signalling, losses = Signalling(), {}
    with JournalReader(folder) as reader:
        watch = WireWatch(Sides(beyond=beyond, routers=ROUTERS), SIP, reader.read_into)
        signalling.dialogs.listener = watch.said
        while (item := reader.next()) is not None:
            match item[1]:
                case MediaBlock() as block:
                    watch.media(block)
                case SignallingBlock() as block:
                    watch.frames(block)
                    for ts_ns, changed in signalling.receive(block.frames):
                        if changed is not None:
                            watch.changed(ts_ns, changed)
                case EventBlock() as block:
                    for event in block.events:
                        watch.event(event)
        losses = signalling.losses
        return watch.seen(losses, 0)[0], watch


def _write(folder: Path, frames: list[Frame], until_s: float | None, told: Sequence[Event]) -> None:
    end_ns = frames[-1].ts_ns if until_s is None else frames[0].ts_ns + round(until_s * NS)
    intake = Intake(SIP)
    with JournalStore(folder) as store:
        at_ns = frames[0].ts_ns
        while at_ns <= end_ns:
            cycle = [frame for frame in frames if at_ns <= frame.ts_ns < at_ns + NS and frame.ts_ns <= end_ns]
            for window in intake.windows(batch_of(cycle)) if cycle else ():
                if window.signalling is not None:
                    store.append(journal.serialize_signalling(window.signalling))
                if len(window.extents):
                    media = journal.serialize_media(window.first_ns, window.last_ns, window.extents, window.rows)
                    store.append(media)
            at_ns += NS
            events = [event for event in told if at_ns - NS <= event.ts_ns < at_ns]
            tick = Event(ts_ns=min(at_ns, end_ns), kind=EventKind.TICK, detail={})
            store.append(journal.serialize_events([*events, tick]))


def evidence(wire: Wire) -> Evidence:
    """A site whose every check is right, and whose mirror shows this."""
    return replace(healthy(), wire=wire)
