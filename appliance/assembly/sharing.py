"""Which streams are a call's own when several calls that go on announced their addresses.

    the stream fits another call better (it announced both ends)   | that call's
    both are legs of one call (a PBX hands on the signalling only) | in the recording of each
    neither                                                        | whoever ends first has it

A leg's packets stay in the journal until every leg that has them in common has them in its parts.
"""

from collections.abc import Iterator

from appliance.assembly.state import AssemblyState
from appliance.assembly.work import Work
from capture import binding
from capture.binding import BoundStream
from capture.runs import Run, StreamKey
from capture.sipcall import SipCall

_UNTIL_THE_END = 1 << 63


def streams(state: AssemblyState, work: Work, call: SipCall, from_ns: int, until_ns: int) -> list[BoundStream]:
    """Find the streams of a call between two capture times, the best fitting first."""
    found = binding.bind(call, state.runs, from_ns, until_ns, work.call_id, work.family)
    return [stream for stream in found if stream.key in work.members or _best_fit(state, stream, work) <= stream.ends]


def also_in(state: AssemblyState, work: Work, stream: BoundStream) -> int:
    """Return up to which capture time a stream is in the recording of a leg that began earlier, too; -1: it is not."""
    if any(_order(other) < _order(work) for other in _sharing(state, stream.key, work)):
        return _UNTIL_THE_END
    claims = [claim for run in stream.runs for claim in run.claimed if claim.recorded and claim.family == work.family]
    return max((claim.high_ns for claim in claims if (claim.low_ns, claim.by) < _order(work)), default=-1)


def spend(state: AssemblyState, work: Work, run: Run, kept: set[int]) -> None:
    """Forget what a leg is done with in a run, `kept` excepted, unless another leg needs it."""
    run.spend(kept, work.call_id, {other.call_id for other in _sharing(state, run.key, work)})


def _order(work: Work) -> tuple[int, str]:
    return work.first_ns, work.call_id


def _sharing(state: AssemblyState, key: StreamKey, work: Work) -> list[Work]:
    """Return the other legs that go on and will have a stream in their recordings, too."""
    family = [
        (_ends(state, key, other), other)
        for other in _announcers(state, key)
        if other.family == work.family and other.is_written
    ]
    best = max((ends for ends, _ in family), default=0)
    return [other for ends, other in family if other is not work and (ends == best or key in other.members)]


def _best_fit(state: AssemblyState, stream: BoundStream, work: Work) -> int:
    """Return how well a stream fits the other call that it fits best."""
    begun_ns = max(stream.from_ns, stream.runs[0].first_ns)
    fits = [
        _ends(state, stream.key, other)
        for other in _announcers(state, stream.key)
        if other is not work and (other.family == work.family or other.first_ns <= begun_ns)
    ]
    claims = [claim for run in stream.runs for claim in run.claimed]
    fits += [claim.ends for claim in claims if claim.recorded and claim.family == work.family]
    return max(fits, default=0)


def _announcers(state: AssemblyState, key: StreamKey) -> Iterator[Work]:
    """Yield the calls that go on and announced an end of a stream."""
    keys = dict.fromkeys(sip_key for end in key[:2] for sip_key in state.announced.get(end, ()))
    return (state.works[sip_key] for sip_key in keys if sip_key in state.works)


def _ends(state: AssemblyState, key: StreamKey, work: Work) -> int:
    """Return which ends of a stream a call announced, as in `BoundStream.ends`."""
    source, destination, _ = key
    receives, sends = (work.sip_key in state.announced.get(end, ()) for end in (destination, source))
    return 2 * receives + sends
