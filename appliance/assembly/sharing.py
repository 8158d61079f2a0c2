"""Which streams are a call's own when several calls that go on announced their addresses.

    the stream fits another call better (it announced both ends)   | that call's
    both are legs of one call (a PBX hands on the signalling only) | in the recording of each
    they take turns at one pair of ports                           | that of the one in progress: `turns`
    nothing of this                                                | whoever ends first has it

A leg's packets stay in the journal until every leg that has them in common has them in its parts.
"""

from appliance.assembly import turns
from appliance.assembly.state import AssemblyState
from appliance.assembly.turns import announced_ends, announcers
from appliance.assembly.work import Work
from capture import binding
from capture.binding import BoundStream
from capture.runs import Run, StreamKey
from capture.sipcall import SipCall

_UNTIL_THE_END = 1 << 63


def streams(state: AssemblyState, work: Work, call: SipCall, from_ns: int, until_ns: int) -> list[BoundStream]:
    """Find the streams of a call between two capture times, the best fitting first."""
    found = binding.bind(call, state.runs, from_ns, until_ns, work.call_id, work.family)
    mine = [stream for stream in found if stream.key in work.members or _best_fit(state, stream, work) <= stream.ends]
    return [stream for stream in mine if turns.narrow(state, work, stream)]


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
        (announced_ends(state, key, other), other)
        for other in announcers(state, key)
        if other.family == work.family and other.is_written
    ]
    best = max((ends for ends, _ in family), default=0)
    return [other for ends, other in family if other is not work and (ends == best or key in other.members)]


def _best_fit(state: AssemblyState, stream: BoundStream, work: Work) -> int:
    """Return how well a stream fits the other call that it fits best."""
    begun_ns = max(stream.from_ns, stream.runs[0].first_ns)
    fits = [
        announced_ends(state, stream.key, other)
        for other in announcers(state, stream.key)
        if other is not work and (other.family == work.family or other.first_ns <= begun_ns)
    ]
    claims = [claim for run in stream.runs for claim in run.claimed]
    fits += [claim.ends for claim in claims if claim.recorded and claim.family == work.family]
    return max(fits, default=0)
