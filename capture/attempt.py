"""The initial INVITE and what becomes of it: retries, hops, forks, failures, CANCEL, answer (RFC 3261 sections 9, 13).

A failure that the caller was told is final, or awaits a retry. One that is seen only on a later hop is one fork's,
and another may still answer.
"""

from capture.arrival import Arrival, exchange_of, hear
from capture.endpoint import Endpoint
from capture.sipcall import CallState, EndCause, Exchange, Failure, Side, SipCall

MAX_HOPS = 16
"""Hops remembered of one call, branches of one transaction, and forks."""

_RETRY = (401, 407, 422)
_UNANSWERED = (CallState.TRYING, CallState.RINGING)


def is_attempt(call: SipCall, arrival: Arrival) -> bool:
    """Whether an INVITE, or a response to one, is an initial one, first or retried, and not a re-INVITE."""
    if arrival.requester is not Side.CALLER or (not arrival.status and arrival.to_tag):
        return False
    return arrival.cseq <= call.attempt_cseq or call.state is not CallState.ANSWERED


def invite(call: SipCall, arrival: Arrival) -> bool:
    """An initial INVITE on one of its hops."""
    if arrival.cseq < call.attempt_cseq:
        return False
    _advance(call, arrival, arrival.source)
    hop = (arrival.source, arrival.destination)
    is_new = hop not in call.hops
    if is_new and len(call.hops) < MAX_HOPS:
        call.hops.append(hop)
    return offer(call, arrival) or is_new


def offer(call: SipCall, arrival: Arrival) -> bool:
    """Any INVITE, UPDATE or PRACK: opens its exchange and hears its offer."""
    exchange = exchange_of(call, arrival)
    if exchange is None:
        return False
    branch = arrival.branch
    is_new = branch not in exchange.branches
    if is_new and branch and len(exchange.branches) < MAX_HOPS:
        exchange.branches.append(branch)
    return hear(call, exchange, arrival) or is_new


def response(call: SipCall, arrival: Arrival) -> Exchange | None:
    """The exchange of a response to an initial INVITE; None when it belongs to an attempt that is past."""
    if arrival.cseq < call.attempt_cseq:
        return None
    _advance(call, arrival, arrival.destination)
    return exchange_of(call, arrival)


def provisional(call: SipCall, exchange: Exchange, arrival: Arrival) -> bool:
    """A 1xx response, perhaps with early media."""
    if call.state not in _UNANSWERED:
        return False
    is_new = arrival.status >= 180 and call.ringing_ns is None
    if is_new:
        call.state, call.ringing_ns = CallState.RINGING, arrival.ts_ns
    return hear(call, exchange, arrival) or is_new


def answer(call: SipCall, arrival: Arrival, status: int | None) -> bool:
    """A 2xx to the initial INVITE, or with `status` None a message that only an answered dialog carries."""
    if arrival.fork not in call.answered_tags and len(call.answered_tags) < MAX_HOPS:
        call.answered_tags.append(arrival.fork)
    if call.state is not CallState.ANSWERED:
        call.state, call.answered_ns, call.winning_tag = CallState.ANSWERED, arrival.ts_ns, arrival.fork
        call.failure = None
        _forget_end(call)
        call.last_ns = call.refreshed_ns = max(call.last_ns, arrival.ts_ns)
    elif status is None or call.answer_seen or call.joined_late:
        return False
    call.answer_seen = status is not None and not call.joined_late
    call.final_status = status
    return True


def prove(call: SipCall, arrival: Arrival) -> None:
    """A message that only an answered dialog carries: its 2xx was missed, unless this fork is known to have failed."""
    if call.state is not CallState.ANSWERED and not is_failed_fork(call, arrival.fork):
        answer(call, arrival, None)


def is_failed_fork(call: SipCall, fork: str) -> bool:
    """Whether the latest attempt failed in this fork."""
    exchange = call.negotiation.exchanges.get(f"{Side.CALLER} {call.attempt_cseq} INVITE")
    return exchange is not None and fork in exchange.failed_tags


def failure(call: SipCall, exchange: Exchange, arrival: Arrival) -> bool:
    """A response of 300 or more."""
    if arrival.to_tag and arrival.to_tag not in exchange.failed_tags and len(exchange.failed_tags) < MAX_HOPS:
        exchange.failed_tags.append(arrival.to_tag)
    if call.state not in _UNANSWERED:
        return False
    known, status = call.failure, arrival.status
    if status == 487 and known is not None and known.cause is EndCause.CANCELLED:
        new = Failure(ts_ns=known.ts_ns, status=status, cause=EndCause.CANCELLED, retry_awaited=False)
    else:
        cause = EndCause.CANCELLED if status == 487 else EndCause.REJECTED
        new = Failure(ts_ns=arrival.ts_ns, status=status, cause=cause, retry_awaited=False)
    if arrival.destination.ip != call.attempt_source.ip:
        call.failure = known or new
        return known is None
    if status in _RETRY or status < 400:
        return _await_retry(call, new)
    fail(call, new)
    return True


def cancel(call: SipCall, arrival: Arrival) -> bool:
    """A CANCEL; only the caller's own ends the attempt, those of a forking proxy end one fork."""
    if call.state not in _UNANSWERED or arrival.cseq != call.attempt_cseq or arrival.requester is not Side.CALLER:
        return False
    return _is_callers(call, arrival) and _await_response(call, arrival, EndCause.CANCELLED)


def unseen_failure(call: SipCall, arrival: Arrival) -> bool:
    """An ACK in its INVITE's own transaction (section 17.1.1.3): the response that was not seen was a failure."""
    return _is_callers(call, arrival) and _await_response(call, arrival, EndCause.REJECTED)


def fail(call: SipCall, reason: Failure) -> None:
    """Makes a failure final."""
    call.state, call.failure = CallState.FAILED, reason
    call.ended_ns, call.end_cause, call.final_status = reason.ts_ns, reason.cause, reason.status
    call.ended_by = Side.CALLER if reason.cause is EndCause.CANCELLED else Side.CALLEE


def _advance(call: SipCall, arrival: Arrival, source: Endpoint) -> None:
    """A higher CSeq begins a new attempt: what the one before came to no longer matters."""
    if arrival.cseq > call.attempt_cseq:
        if call.state is CallState.FAILED:
            call.state, call.last_ns = CallState.TRYING, max(call.last_ns, arrival.ts_ns)
        call.attempt_cseq, call.attempt_source, call.failure = arrival.cseq, source, None
        _forget_end(call)


def _forget_end(call: SipCall) -> None:
    call.ended_ns = call.end_cause = call.ended_by = call.final_status = None


def _is_callers(call: SipCall, arrival: Arrival) -> bool:
    """Whether a request was seen where the caller itself sends. Ports may differ from those that responses go to."""
    return arrival.source.ip == call.attempt_source.ip


def _await_retry(call: SipCall, reason: Failure) -> bool:
    """A failure that the caller may answer with another attempt."""
    if call.failure is not None and call.failure.retry_awaited:
        return False
    reason.retry_awaited = True
    call.failure, call.final_status = reason, reason.status
    return True


def _await_response(call: SipCall, arrival: Arrival, cause: EndCause) -> bool:
    """A failure known before its response is seen."""
    if call.failure is not None and call.failure.retry_awaited:
        return False
    call.failure = Failure(ts_ns=arrival.ts_ns, status=None, cause=cause, retry_awaited=True)
    return True
