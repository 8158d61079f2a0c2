"""A call through a PBX that hands on only the signalling: two dialogs about the same media."""

from dataclasses import replace
from typing import Any

from tests.scenario import CALLEE, CALLER, SILENT, call, media
from tests.traffic.calls import MILLISECOND_NS, Hold, PlayedCall, play
from tests.traffic.media import MediaScript
from tests.traffic.pcapwriter import Address
from tests.traffic.signalling import Party

PBX = Address("10.77.0.1", 5060)


def legs(
    *,
    first_talk_s: float = 4.0,
    second_talk_s: float = 4.0,
    speech_s: float = 3.8,
    renumbered: bool = False,
    holds: tuple[Hold, ...] = (),
    scripts: tuple[MediaScript, MediaScript] | None = None,
    **changes: Any,
) -> list[PlayedCall]:
    """One call as two dialogs that announce the same media addresses; the first carries the media packets."""
    spoken = scripts or (media(speech_s, 1), media(speech_s, 2))
    changes = {"caller": CALLER, "callee": CALLEE, **changes}
    caller, callee = changes.pop("caller"), changes.pop("callee")
    first = call(
        "first@example",
        caller=caller,
        callee=replace(callee, sip=PBX),
        ring_s=2.0,
        talk_s=first_talk_s,
        caller_media=spoken[0],
        callee_media=spoken[1],
        holds=holds,
        **changes,
    )
    shown = (Party(number="9001", sip=PBX, rtp=caller.rtp), replace(callee, number="9002"))
    second = replace(
        first,
        call_id="second@example",
        caller=shown[0] if renumbered else replace(caller, sip=PBX),
        callee=shown[1] if renumbered else callee,
        start_ns=first.start_ns + 100 * MILLISECOND_NS,
        ring_s=1.8,
        talk_s=second_talk_s,
        reports=False,
        holds=tuple(replace(hold, at_s=hold.at_s + 0.11) for hold in holds),
        caller_media=replace(SILENT, codec=spoken[0].codec),
        callee_media=replace(SILENT, codec=spoken[1].codec),
    )
    return [play(first), play(second)]
