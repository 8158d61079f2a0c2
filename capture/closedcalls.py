"""Calls whose record is written: what must be known of them so that late messages of theirs do not open them again."""

from dataclasses import dataclass, field

from capture.arrival import Arrival
from capture.callstate import TIMER_B_NS
from capture.sipcall import EndCause, SipCall, call_key

MAX_TIMED_OUT = 10_000
"""Calls ended by a timer that are remembered; the oldest go first."""

_REMEMBERED_NS = 2 * TIMER_B_NS
_TIMERS = (EndCause.SESSION_EXPIRED, EndCause.MEDIA_TIMEOUT)


@dataclass(slots=True, kw_only=True)
class ClosedCall:
    """One such call."""

    until_ns: int
    """Packet time up to which repetitions of its messages may come."""
    attempt_cseq: int
    """Sequence number of its latest initial INVITE."""


@dataclass(slots=True, kw_only=True)
class ClosedCalls:
    """All that are remembered."""

    recent: dict[str, ClosedCall] = field(default_factory=dict)
    """Calls that ended less than 64 s ago (a transaction at each end of the last BYE), by key, oldest first."""
    timed_out: dict[str, None] = field(default_factory=dict)
    """Keys of calls that a timer ended: a BYE that comes yet, however late, opens no other. Oldest first."""

    def remember(self, call: SipCall, limit: int) -> None:
        """Adds a call that is being forgotten; at most `limit` recent ones are kept."""
        end_ns = call.last_ns if call.ended_ns is None else max(call.last_ns, call.ended_ns)
        self.recent.pop(call.key, None)
        self.recent[call.key] = ClosedCall(until_ns=end_ns + _REMEMBERED_NS, attempt_cseq=call.attempt_cseq)
        while len(self.recent) > 1:
            oldest = next(iter(self.recent))
            if len(self.recent) <= limit and self.recent[oldest].until_ns >= end_ns:
                break
            del self.recent[oldest]
        if call.end_cause in _TIMERS:
            self.timed_out[call.key] = None
            if len(self.timed_out) > MAX_TIMED_OUT:
                del self.timed_out[next(iter(self.timed_out))]

    def own(self, arrival: Arrival, *, is_initial: bool) -> bool:
        """Whether a message belongs to one of them; a later attempt of its INVITE begins a call of its own."""
        tags = (arrival.from_tag, arrival.to_tag) if arrival.to_tag else (arrival.from_tag,)
        keys = [call_key(arrival.call_id, tag) for tag in tags]
        if arrival.message.method == "BYE" and any(key in self.timed_out for key in keys):
            return True
        entry = next((entry for key in keys if (entry := self.recent.get(key)) is not None), None)
        if entry is None or entry.until_ns < arrival.ts_ns:
            return False
        return not is_initial or arrival.cseq <= entry.attempt_cseq
