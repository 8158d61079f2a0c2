"""Whose turn it is at a pair of ports that calls use one after the other, as load generators and small gateways do.

Two calls take turns when they announced the same ends of a stream, go between the same two hosts, and are no legs of
one call. What counts is which of them is in progress, not which one ends first:

    the stream began                                             | is the later call's
    before the later call, answered after the earlier one's end  | from its answer, at most half a second after that end
    before the later call, which has a stream of its own         | never
    before the later call, which is answered all the same        | from its answer: the earlier one's BYE was lost
    in the later call, after its description or the earlier end  | whole
    in the later call, before both                               | as if it had begun before

A call that is finished has claimed its share; the one that is still open has the rest.
"""

from collections.abc import Iterator
from itertools import islice

from appliance.assembly.state import AssemblyState
from appliance.assembly.work import Work
from capture import binding
from capture.binding import BoundStream
from capture.runs import Run, StreamKey
from capture.sipcall import Side, SipCall

_OVERTAKES_NS = 20_000_000
"""So much earlier than the description of who sends it speech may be seen."""
_LINGER_NS = 500_000_000
"""Speech of a call that is over may come so much later."""
_NEVER = 1 << 63
MAX_RIVALS = 64
"""Calls at one pair of ports that are looked at: more at once are told apart by nothing."""


def narrow(state: AssemblyState, work: Work, stream: BoundStream) -> bool:
    """Leave a call its share of a stream; False: it has none."""
    shares = [(run, *share(state, work, run)) for run in stream.runs]
    kept = [
        (run, low, high) for run, low, high in shares if low <= run.last_ns and high >= run.first_ns and low <= high
    ]
    if not kept:
        return False
    stream.runs = [run for run, _, _ in kept]
    stream.from_ns = max(stream.from_ns, kept[0][1])
    stream.until_ns = min(stream.until_ns, kept[-1][2])
    return stream.from_ns <= stream.until_ns


def share(state: AssemblyState, work: Work, run: Run) -> tuple[int, int]:
    """Return the first and last capture time at which a run may be a call's; nothing when the first is later."""
    low, high = 0, _NEVER
    for claim in run.claimed:
        if claim.family and claim.family != work.family and claim.ends >= announced_ends(state, run.key, work):
            if claim.low_ns > work.first_ns:
                high = min(high, claim.low_ns - 1)
            else:
                low = max(low, claim.high_ns + 1)
    for other in rivals(state, work, run.key):
        if (other.first_ns, other.call_id) > (work.first_ns, work.call_id):
            high = min(high, _begins(state, run, work, other) - 1)
        else:
            low = max(low, _begins(state, run, other, work))
    return low, high


def heard(state: AssemblyState, work: Work, call: SipCall) -> list[tuple[int, int]]:
    """Return when media came that may be a call's, by first and last packet of each run."""
    runs = {run.number: run for end in binding.endpoints(call) for run in state.runs.at(end)}.values()
    shares = [(run, *share(state, work, run)) for run in runs]
    spans = [(max(low, run.first_ns), min(high, run.last_ns)) for run, low, high in shares]
    return sorted((low, high) for low, high in spans if low <= high)


def is_past(state: AssemblyState, work: Work, call: SipCall, last_ns: int) -> bool:
    """Whether other calls have spoken at the call's addresses since `last_ns`, when it spoke last."""
    runs = {run.number: run for end in binding.endpoints(call) for run in state.runs.at(end)}.values()
    return any(run.last_ns > last_ns + _LINGER_NS and _is_anothers(state, work, run) for run in runs)


def _is_anothers(state: AssemblyState, work: Work, run: Run) -> bool:
    low, high = share(state, work, run)
    return low > high or high < run.last_ns


def rivals(state: AssemblyState, work: Work, key: StreamKey) -> Iterator[Work]:
    """Yield the calls that go on and take turns with another one at a stream."""
    if not work.sip_key:
        return
    calls = state.signalling.dialogs.calls
    mine = calls.get(work.sip_key)
    ends = announced_ends(state, key, work)
    for other in islice(announcers(state, key), MAX_RIVALS):
        theirs = calls.get(other.sip_key)
        if mine is None or theirs is None or other is work or other.family == work.family:
            continue
        if _hosts(mine) == _hosts(theirs) and announced_ends(state, key, other) == ends:
            yield other


def announcers(state: AssemblyState, key: StreamKey) -> Iterator[Work]:
    """Yield the calls that go on and announced an end of a stream."""
    keys = dict.fromkeys(sip_key for end in key[:2] for sip_key in state.announced.get(end, ()))
    return (state.works[sip_key] for sip_key in keys if sip_key in state.works)


def announced_ends(state: AssemblyState, key: StreamKey, work: Work) -> int:
    """Return which ends of a stream a call announced, as in `BoundStream.ends`."""
    source, destination, _ = key
    receives, sends = (work.sip_key in state.announced.get(end, ()) for end in (destination, source))
    return 2 * receives + sends


def _hosts(call: SipCall) -> set[bytes]:
    return {call.invite_source.ip, call.invite_destination.ip}


def _begins(state: AssemblyState, run: Run, earlier: Work, later: Work) -> int:
    """Return from when on a run is the later call's."""
    calls = state.signalling.dialogs.calls
    before, after = calls[earlier.sip_key], calls[later.sip_key]
    over_ns = before.ended_ns if before.is_over and before.ended_ns is not None else _NEVER
    begin_ns = _may_begin(after, over_ns)
    if run.first_ns >= begin_ns:
        return run.first_ns
    answered_ns = _NEVER if after.answered_ns is None else after.answered_ns
    if over_ns < answered_ns:
        return max(after.first_ns, min(over_ns + _LINGER_NS, answered_ns))
    latest_ns = max(other.first_ns for other in state.runs.at(run.destination) if other.source == run.source)
    return _NEVER if latest_ns >= begin_ns else answered_ns


def _may_begin(call: SipCall, over_ns: int) -> int:
    """Return from when on a stream that begins is a call's: it is described, or the one before it is over."""
    described_ns = [epoch.ts_ns for epoch in call.media if epoch.side is Side.CALLEE]
    expected_ns = min(described_ns) - _OVERTAKES_NS if described_ns else _NEVER
    return max(call.first_ns, min(over_ns, expected_ns))
