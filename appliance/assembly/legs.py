"""How calls hang together: transfers, replacements, and the two sides of a PBX or SBC that are one call."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from appliance.assembly.work import Work
from capture.numbers import canonical
from capture.sipcall import CallState, SipCall
from storage.records import Link, Links

LEG_NS = 60_000_000_000
"""A PBX calls on within this time of being called."""
MAX_REMEMBERED = 16_384
"""Calls that are over: hours of a busy day, in 16 MiB."""


@dataclass(slots=True, kw_only=True)
class Legs:
    """Links between calls; they point backwards only. Plain data."""

    by_sip_call_id: dict[str, str] = field(default_factory=dict)
    """Call id of each SIP Call-ID seen, the oldest forgotten first."""
    by_called: dict[bytes, dict[str, None]] = field(default_factory=dict)
    """Calls that go on, by the address that was called."""
    kept: dict[str, None] = field(default_factory=dict)
    """Calls with recordings, on this leg or a nearer one, by dialog key and by call id; the oldest forgotten first."""
    seen_answered: dict[str, None] = field(default_factory=dict)
    seen_over: dict[str, int] = field(default_factory=dict)

    def answered(self, key: str) -> bool:
        """Whether this is the first time that a call is told to be answered."""
        if key in self.seen_answered:
            return False
        self.seen_answered[key] = None
        return True

    def over(self, key: str, ended_ns: int | None) -> bool:
        """Whether this is the first time that a call is told to be over at this time."""
        if self.seen_over.get(key) == (ended_ns or 0):
            return False
        self.seen_over[key] = ended_ns or 0
        return True

    def revived(self, key: str) -> None:
        """A call that was over goes on."""
        self.seen_over.pop(key, None)

    def link(self, call: SipCall, work: Work, calls: Mapping[str, SipCall], works: Mapping[str, Work]) -> None:
        """Place a new call among those that go on."""
        self.by_sip_call_id[call.call_id] = work.call_id
        if len(self.by_sip_call_id) > MAX_REMEMBERED:
            del self.by_sip_call_id[next(iter(self.by_sip_call_id))]
        for key in self.by_called.get(call.invite_source.ip, ()):
            earlier = calls.get(key)
            if earlier is not None and key in works and _calls_on(earlier, call):
                _join(earlier, works[key], call, work)
                break
        self.by_called.setdefault(call.invite_destination.ip, {})[call.key] = None

    def link_by_media(self, one: SipCall, other: SipCall, works: Mapping[str, Work]) -> None:
        """Link two calls that go on and have both media addresses in common, when one comes out of where the other went
        in, as through a PBX that changes all numbers; equals between the same two hosts only share a port."""
        pairs = sorted((works[call.key].first_ns, call.key, call) for call in (one, other) if call.key in works)
        if len(pairs) < 2:
            return
        (_, before, earlier), (_, after, later) = pairs
        hops = [(call.invite_source.ip, call.invite_destination.ip) for call in (earlier, later)]
        fresh = works[after].second_leg_of is None and not works[before].parts and not works[after].parts
        if fresh and earlier.call_id != later.call_id and hops[0] != hops[1] and set(hops[0]) & set(hops[1]):
            _join(earlier, works[before], later, works[after])
            for work in works.values():
                if work.family == works[after].call_id:
                    work.family = works[before].family

    def links(self, call: SipCall, work: Work) -> Links:
        """Return what a call follows from."""
        return Links(
            replaces=self._link(call.replaces),
            transferred_from=self._link(call.transferred_from),
            second_leg_of=work.second_leg_of,
        )

    def _link(self, sip_call_id: str) -> Link | None:
        return Link(call_id=self.by_sip_call_id.get(sip_call_id), sip_call_id=sip_call_id) if sip_call_id else None

    def nearer(self, work: Work, works: Mapping[str, Work], is_heard: Callable[[Work], bool]) -> bool:
        """Whether another leg of the same call is recorded instead, because it is nearer to the contracted line.

        The line that calls is on the first leg, the line that is called on the last; both wanted, one is recorded.

        Args:
            work: the leg in question.
            works: the calls that go on.
            is_heard: whether there is anything to record of a leg.
        """
        if work.decision.direction == "in":
            keys = work.leg_keys
        else:
            before = work.second_leg_of.call_id if work.second_leg_of is not None else None
            keys = [key for key, other in works.items() if other.call_id == before] if before else []
            if before in self.kept:
                return True
        others = [works[key] for key in keys if key in works]
        return any(key in self.kept for key in keys) or any(
            other.elsewhere or (other.decision.wanted and is_heard(other)) for other in others
        )

    def forget(self, call: SipCall, work: Work) -> None:
        """A call's record is written."""
        if work.parts or work.elsewhere:
            self.kept.update({call.key: None, work.call_id: None})
            while len(self.kept) > MAX_REMEMBERED:
                del self.kept[next(iter(self.kept))]
        self.seen_answered.pop(call.key, None)
        self.seen_over.pop(call.key, None)
        called = self.by_called.get(call.invite_destination.ip)
        if called is not None:
            called.pop(call.key, None)
            if not called:
                del self.by_called[call.invite_destination.ip]


def _join(earlier: SipCall, before: Work, later: SipCall, after: Work) -> None:
    """Make a call the next leg of an earlier one."""
    after.second_leg_of = Link(call_id=before.call_id, sip_call_id=earlier.call_id)
    after.family = before.family
    before.leg_keys.append(later.key)


def _calls_on(earlier: SipCall, later: SipCall) -> bool:
    """Whether a call that comes out of a PBX is the one that just went in: same parties, before the answer."""
    if earlier.call_id == later.call_id or earlier.joined_late or later.joined_late:
        return False
    if earlier.state not in (CallState.TRYING, CallState.RINGING):
        return False
    if not 0 <= later.first_ns - earlier.first_ns <= LEG_NS:
        return False
    before = {canonical(number) for number in (earlier.dialled, earlier.callee.number) if number}
    after = {canonical(number) for number in (later.dialled, later.callee.number) if number}
    callers = canonical(earlier.caller.number) == canonical(later.caller.number) != ""
    return bool(before & after) or callers
