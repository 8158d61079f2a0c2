"""Answered calls of the last minutes by the media that came: both ways, one way, none. Pure.

A call is judged from `JUDGED_NS` after its answer on, and once more at its end; while somebody is on hold it is not.
Media of a side is what went to the address that the other side announced, whoever sent it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from appliance.diagnosis.evidence import CallsSeen, Window
from appliance.diagnosis.wire.mediawatch import Heard, MediaWatch
from appliance.diagnosis.wire.placement import Origin, Placement
from capture.endpoint import Endpoint
from capture.sipcall import EndCause, Side, SipCall

NS = 1_000_000_000
WINDOW_NS = 300 * NS
JUDGED_NS = 4 * NS
"""After the answer: media that is to come has come."""
SHORT_NS = 10 * NS
""""Within seconds"."""
LASTING_NS = 15 * NS
"""Nobody holds a silent line for so long by mistake."""
FRESH_NS = 10 * NS
"""Media that is older is no longer heard, unless silence is suppressed (RFC 3389)."""
AFTER_NS = 2 * NS
"""What is heard of a side so long after its media stopped shows that the mirror still shows it."""
MAX_CALLS = 20_000
MAX_DURATIONS = 60


class Media(StrEnum):
    """What was heard of a call."""

    BOTH = "both"
    NONE_SHORT = "none, and over within seconds"
    NONE = "none"
    UNDECIDED = "undecided"
    LAN_MISSING = "lan missing"
    VPN_MISSING = "vpn missing"
    VLAN_APART = "one way, on another VLAN than the signalling"
    UNPLACED = "one way"


@dataclass(slots=True, kw_only=True)
class _Judged:
    at_ns: int
    media: Media
    unreachable: bool
    """The customer's side announced an address that its media does not come from."""
    duration_s: float | None
    """Answer to end; None while it goes on."""


class CallWatch:
    """Judges calls as they change and, once a report is made, those that go on."""

    def __init__(
        self,
        placement: Placement,
        media: MediaWatch,
        last_ns: Callable[[Origin], int],
        sip_vlan: Mapping[tuple[bytes, bytes], int],
    ) -> None:
        """`last_ns` tells when anything of a side was heard last, `sip_vlan` on which VLAN two addresses signal."""
        self._sip_vlan = sip_vlan
        self._last_ns = last_ns
        self._placement = placement
        self._media = media
        self._open: dict[str, SipCall] = {}
        self._judged: dict[str, _Judged] = {}

    def changed(self, now_ns: int, call: SipCall) -> None:
        """Take note of a call that was answered, or is over."""
        self._learn(call)
        if call.answered_ns is None or not call.answer_seen:
            if call.is_over:
                self._open.pop(call.key, None)
            return
        if call.is_over:
            self._open.pop(call.key, None)
            self._judge(now_ns, call)
        elif len(self._open) < MAX_CALLS:
            self._open[call.key] = call

    def _learn(self, call: SipCall) -> None:
        """Where the parties sit tells where the addresses lie that they announce for themselves."""
        origin = self._placement.origin(call.invite_source.ip, call.invite_destination.ip)
        if origin is Origin.UNPLACED:
            return
        for epoch in call.media:
            if epoch.ip is not None and epoch.port:
                beyond = (epoch.side is Side.CALLER) is (origin is Origin.VPN)
                self._placement.learn_media(Endpoint(epoch.ip, epoch.port), beyond=beyond)

    def _judge(self, now_ns: int, call: SipCall) -> None:
        end_ns = call.ended_ns if call.is_over and call.ended_ns is not None else now_ns
        assert call.answered_ns is not None
        lasted_ns = end_ns - call.answered_ns
        ended = call.is_over and call.end_cause is not EndCause.CAPTURE_ENDED
        media, unreachable = self._media_of(call, lasted_ns, ended=ended)
        before = self._judged.pop(call.key, None)
        if media is Media.UNDECIDED and before is not None and before.media is not Media.BOTH:
            media = before.media  # what was wrong is not made good by hanging up
        self._judged[call.key] = _Judged(
            at_ns=now_ns,
            media=media,
            unreachable=unreachable,
            duration_s=lasted_ns / NS if ended else None,
        )
        if len(self._judged) > MAX_CALLS:
            del self._judged[next(iter(self._judged))]

    def _media_of(self, call: SipCall, lasted_ns: int, *, ended: bool) -> tuple[Media, bool]:
        assert call.answered_ns is not None
        if lasted_ns < (2 * NS if ended else JUDGED_NS) or call.holds or _is_one_sided(call):
            return Media.UNDECIDED, False
        fresh_ns = lasted_ns if _suppresses_silence(call) else min(FRESH_NS, lasted_ns)
        since_ns = call.answered_ns + lasted_ns - fresh_ns
        heard = {side: self._is_heard(call, side, since_ns) for side in Side}
        if all(heard.values()):
            return Media.BOTH, False
        if not any(heard.values()):
            return self._silent(call, lasted_ns, ended=ended), False
        missing = Side.CALLER if not heard[Side.CALLER] else Side.CALLEE
        if self._is_apart(call, missing.other):
            return Media.VLAN_APART, False
        origin = self._placement.origin(call.invite_source.ip, call.invite_destination.ip)
        if origin is Origin.UNPLACED:
            return Media.UNPLACED, False
        from_lan = (missing is Side.CALLER) is (origin is Origin.LAN)
        if not self._mirror_shows(Origin.LAN if from_lan else Origin.VPN, call, missing):
            return Media.UNDECIDED, False
        return (Media.LAN_MISSING if from_lan else Media.VPN_MISSING), self._announces_nowhere(call, origin)

    def _is_apart(self, call: SipCall, speaker: Side) -> bool:
        """Whether the media that there are come on another VLAN than the call's signalling."""
        ends = (call.invite_source.ip, call.invite_destination.ip)
        signalled = {self._sip_vlan.get(ends), self._sip_vlan.get(ends[::-1])} - {None}
        assert call.answered_ns is not None
        spoken = {heard.vlan for heard in self._to_other(call, speaker, call.answered_ns)}
        return bool(signalled) and bool(spoken) and signalled.isdisjoint(spoken)

    def _mirror_shows(self, origin: Origin, call: SipCall, missing: Side) -> bool:
        """Whether anything came from a side since the media that is missing was to come, or came last.

        Otherwise it may be the mirror that does not show that side any more.
        """
        assert call.answered_ns is not None
        last = [heard.last_ns for heard in self._to_other(call, missing, call.answered_ns)]
        return self._last_ns(origin) >= (max(last) + AFTER_NS if last else call.answered_ns)

    def _silent(self, call: SipCall, lasted_ns: int, *, ended: bool) -> Media:
        if any(self._is_heard(call, side, call.first_ns) for side in Side):
            return Media.UNDECIDED  # it spoke before
        if lasted_ns >= LASTING_NS:
            return Media.NONE
        return Media.NONE_SHORT if ended and lasted_ns <= SHORT_NS else Media.UNDECIDED

    def _is_heard(self, call: SipCall, speaker: Side, since_ns: int) -> bool:
        """Whether media went to where the other side wants to receive."""
        if self._to_other(call, speaker, since_ns):
            return True
        assert call.answered_ns is not None
        before = self._to_other(call, speaker, call.answered_ns)
        return any(self._media.suppresses_silence(heard.source) for heard in before)

    def _to_other(self, call: SipCall, speaker: Side, since_ns: int) -> list[Heard]:
        found = [
            self._media.was_heard(Endpoint(epoch.ip, epoch.port), since_ns)
            for epoch in call.media
            if epoch.side is speaker.other and epoch.ip is not None and epoch.port
        ]
        return [heard for heard in found if heard is not None]

    def _announces_nowhere(self, call: SipCall, origin: Origin) -> bool:
        """Whether the customer's side announced an address, and sends from others only: nothing finds its way to it."""
        ours = Side.CALLER if origin is Origin.LAN else Side.CALLEE
        announced = {epoch.ip for epoch in call.media if epoch.side is ours and epoch.ip is not None and epoch.port}
        sources = {heard.source for heard in self._to_other(call, ours, call.first_ns)}
        return bool(announced) and bool(sources) and announced.isdisjoint(sources)

    def seen(self, now_ns: int) -> CallsSeen:
        """Sum up the last minutes."""
        for key, call in list(self._open.items()):
            if call.is_over:
                del self._open[key]
            self._judge(now_ns, call)
        for key, judged in list(self._judged.items()):
            if judged.at_ns < now_ns - WINDOW_NS:
                del self._judged[key]
        all_of = list(self._judged.values())
        kinds = [judged.media for judged in all_of]
        durations = [judged.duration_s for judged in all_of if judged.duration_s is not None]
        return CallsSeen(
            window=Window(begin_ns=min((judged.at_ns for judged in all_of), default=now_ns), end_ns=now_ns),
            answered=sum(kind is not Media.UNDECIDED for kind in kinds),
            silent_short=kinds.count(Media.NONE_SHORT),
            silent_long=kinds.count(Media.NONE),
            lan_missing=kinds.count(Media.LAN_MISSING),
            vpn_missing=kinds.count(Media.VPN_MISSING),
            vlan_apart=kinds.count(Media.VLAN_APART),
            nowhere=sum(judged.unreachable for judged in all_of),
            one_way_unplaced=kinds.count(Media.UNPLACED),
            durations_s=tuple(round(each, 3) for each in durations[-MAX_DURATIONS:]),
        )


def _is_one_sided(call: SipCall) -> bool:
    """Whether somebody agreed not to send, or has no place to receive at: then one way is what they want."""
    directions = {epoch.direction for epoch in call.media if epoch.media == "audio"}
    sides = {epoch.side for epoch in call.media if epoch.media == "audio" and epoch.ip is not None and epoch.port}
    return len(sides) < 2 or not directions <= {"sendrecv"}


def _suppresses_silence(call: SipCall) -> bool:
    return any("CN" in epoch.codecs.values() for epoch in call.media)
