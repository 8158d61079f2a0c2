"""The table of SIP calls: every SIP message of a mirror goes in, one `SipCall` for each initial INVITE comes out.

Messages find their call by Call-ID and tags (RFC 3261 section 12), in both directions and on every hop. Those of a
dialog whose INVITE was missed open a call that `joined_late`. What a message means is for `callstate`; this module
finds, opens and forgets calls, and keeps their timers. It never looks at RTP, and packet time is its only clock.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from capture import callstate, parties, transfer
from capture.arrival import Arrival
from capture.closedcalls import ClosedCalls
from capture.endpoint import Endpoint
from capture.sip import SipMessage
from capture.sipcall import Side, SipCall, bounded_token, call_key

_OUTSIDE_CALLS = frozenset(("REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE"))
_OF_CALLS = frozenset(("INVITE", "ACK", "CANCEL", "BYE", "UPDATE", "PRACK", "INFO", "REFER"))
_JOINS_BY_REQUEST = frozenset(("INVITE", "BYE", "UPDATE", "PRACK", "INFO"))
_JOINS_BY_2XX = frozenset(("INVITE", "BYE", "UPDATE", "PRACK"))

Listener = Callable[[int, Endpoint, Endpoint, str, SipMessage], None]
"""Takes time, source, destination, transport and message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogLimits:
    """Bounds of the table."""

    max_calls: int = 100_000
    """Calls at a time; further ones are counted and left out. As many forgotten ones are remembered."""


@dataclass(slots=True, kw_only=True)
class DialogCounters:
    """What went through the table."""

    messages: int = 0
    """All messages."""
    unchanged: int = 0
    """Messages that changed no call: 100, the 200 of BYE, retransmissions, further hops, doubled mirrors."""
    ignored: int = 0
    """Messages that have nothing to do with calls."""
    orphans: int = 0
    """Messages of a call that is not known, and that do not open one."""
    overflow: int = 0
    """Messages that would have opened a call when the table was full."""


@dataclass(slots=True, kw_only=True)
class DialogState:
    """Everything the table knows: goes into a snapshot, and a table made from it goes on the same."""

    calls: dict[str, SipCall] = field(default_factory=dict)
    """Calls by `SipCall.key`, in order of their first message."""
    closed: ClosedCalls = field(default_factory=ClosedCalls)
    """Forgotten calls, for as long as they matter."""
    pending_refers: list[transfer.PendingRefer] = field(default_factory=list)
    """REFER requests whose INVITE may still come."""
    counters: DialogCounters = field(default_factory=DialogCounters)
    """Counters since the beginning."""


class DialogTable:
    """All calls that go on, or whose record is not written yet."""

    def __init__(self, state: DialogState | None = None, limits: DialogLimits | None = None) -> None:
        """Goes on from `state`, which this table then owns; an empty table without one."""
        self.listener: Listener | None = None
        """Hears every message, those that have nothing to do with calls too."""
        self.state = state or DialogState()
        self._limits = limits or DialogLimits()
        self._timers: list[tuple[int, str]] = []
        self._timer_of: dict[str, int] = {}
        self._set_timers()

    @property
    def calls(self) -> dict[str, SipCall]:
        """Calls by key; only `forget` may take one out."""
        return self.state.calls

    @property
    def counters(self) -> DialogCounters:
        """What went through the table."""
        return self.state.counters

    def receive(
        self, ts_ns: int, source: Endpoint, destination: Endpoint, transport: str, message: SipMessage
    ) -> SipCall | None:
        """Takes in one message; returns the call whose record may have changed, None when it belongs to none."""
        counters = self.state.counters
        counters.messages += 1
        if self.listener is not None:
            self.listener(ts_ns, source, destination, transport, message)
        if message.method in _OUTSIDE_CALLS:
            counters.ignored += 1
            return None
        from_, to = message.from_, message.to
        call_id, from_tag, to_tag = map(bounded_token, (message.call_id, from_.tag, to.tag))
        call, requester = self._find(call_id, from_tag, to_tag)
        arrival = Arrival(
            ts_ns=ts_ns,
            source=source,
            destination=destination,
            transport=transport,
            message=message,
            from_=from_,
            to=to,
            call_id=call_id,
            from_tag=from_tag,
            to_tag=to_tag,
            cseq=message.cseq,
            requester=requester,
        )
        if call is None:
            call = self._open(arrival)
            if call is None:
                return None
        elif self._is_due(call, ts_ns):
            callstate.expire(call)
        if callstate.advance(call, arrival):
            self._follow(call, arrival)
        else:
            counters.unchanged += 1
        self._set_timer(call)
        return call

    def expire(self, now_ns: int) -> list[SipCall]:
        """Ends the calls whose timers ran out up to this packet time, in the order in which they did."""
        expired = []
        while (deadline := self.next_deadline()) is not None and deadline <= now_ns:
            _, key = heapq.heappop(self._timers)
            del self._timer_of[key]
            call = self.state.calls[key]
            callstate.expire(call)
            expired.append(call)
        return expired

    def go_on(self, call: SipCall, ns: int) -> None:
        """Take back that a call's session ran out: its media went on until `ns`."""
        call.go_on(ns)
        self._set_timer(call)

    def next_deadline(self) -> int | None:
        """Packet time at which `expire` has something to do, None when never."""
        while self._timers:
            set_for, key = self._timers[0]
            call = self.state.calls.get(key)
            is_current = self._timer_of.get(key) == set_for
            due = callstate.deadline_ns(call) if call is not None and is_current else None
            if due == set_for:
                return due
            heapq.heappop(self._timers)
            if is_current:
                del self._timer_of[key]
            if call is not None and is_current:
                self._set_timer(call)
        return None

    def forget(self, call: SipCall) -> None:
        """Takes out a call whose record is written; its messages are recognised for 64 s from its end."""
        del self.state.calls[call.key]
        self._timer_of.pop(call.key, None)
        if len(self._timers) > 2 * len(self.state.calls) + 1000:
            self._set_timers()
        self.state.closed.remember(call, self._limits.max_calls)

    def _find(self, call_id: str, from_tag: str, to_tag: str) -> tuple[SipCall | None, Side]:
        """The call, and which side sent the request: From names the caller, or in the other direction the callee."""
        call = self.state.calls.get(call_key(call_id, from_tag))
        if call is None and to_tag:
            call = self.state.calls.get(call_key(call_id, to_tag))
            if call is not None:
                return call, Side.CALLEE
        return call, Side.CALLER

    def _open(self, arrival: Arrival) -> SipCall | None:
        """A new call when the message begins or proves one, else None."""
        counters = self.state.counters
        is_initial = arrival.message.method == "INVITE" and not arrival.status and not arrival.to_tag
        if self.state.closed.own(arrival, is_initial=is_initial):
            counters.unchanged += 1
        elif arrival.message.method not in _OF_CALLS:
            counters.ignored += 1
        elif _is_cut_short(arrival) or not (is_initial or _proves_call(arrival)):
            counters.orphans += 1
        elif len(self.state.calls) >= self._limits.max_calls:
            counters.overflow += 1
        else:
            call = parties.open_call(arrival)
            call.joined_late = not is_initial
            if is_initial:
                parties.identify(call, arrival.message)
                transfer.link(call, arrival.message, self.state.pending_refers)
            self.state.calls[call.key] = call
            return call
        return None

    def _follow(self, call: SipCall, arrival: Arrival) -> None:
        """What news means outside its call's state."""
        if arrival.message.method == "INVITE":
            parties.note_agent(call, arrival.message)
        elif arrival.message.method == "REFER":
            transfer.remember(self.state.pending_refers, call, call.refers[-1])

    def _is_due(self, call: SipCall, ts_ns: int) -> bool:
        """Whether the call's timer ran out before this message, though `expire` was not called in between."""
        deadline = callstate.deadline_ns(call)
        return deadline is not None and deadline <= ts_ns

    def _set_timers(self) -> None:
        self._timers.clear()
        self._timer_of.clear()
        for call in self.state.calls.values():
            self._set_timer(call)

    def _set_timer(self, call: SipCall) -> None:
        """Sets the timer when there is none, or it is set too late; one set too early is put right when it is due."""
        deadline = callstate.deadline_ns(call)
        if deadline is None:
            return
        key = call.key
        set_for = self._timer_of.get(key)
        if set_for is None or deadline < set_for:
            self._timer_of[key] = deadline
            heapq.heappush(self._timers, (deadline, key))


def _proves_call(arrival: Arrival) -> bool:
    """Whether a message with a To tag comes from inside a call; a bare ACK may be that of a failure."""
    message = arrival.message
    if not arrival.to_tag:
        return False
    if message.status is None:
        return message.method in _JOINS_BY_REQUEST or (message.method == "ACK" and message.sdp() is not None)
    return 200 <= message.status < 300 and message.method in _JOINS_BY_2XX


def _is_cut_short(arrival: Arrival) -> bool:
    """Whether the capture cut off what tells an initial INVITE from others."""
    return arrival.message.truncated and not (arrival.from_.uri and arrival.to.uri)
