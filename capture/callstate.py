"""How a message of its dialog advances a call: RFC 3261 sections 9, 12 to 15 and 17, seen by a third party.

    state     | message                                       | next
    ----------+-----------------------------------------------+-------------------------------------------
    TRYING    | 18x                                           | RINGING
    TRYING,   | 2xx to the initial INVITE                     | ANSWERED
    RINGING   | ACK of an unseen 2xx, re-INVITE, BYE: proof   | ANSWERED, answer_seen stays false
              |   that there was one                          |
              | 401 407 422 3xx that reaches the caller       | the same; FAILED after 32 s without a retry
              | other failure that reaches the caller         | FAILED
              | failure on a later hop: one fork of several   | the same
              | CANCEL by the caller                          | the same; FAILED with 487, or after 32 s
              | nothing for 180 s                             | FAILED
    FAILED    | initial INVITE with a higher CSeq             | TRYING
              | 2xx, re-INVITE, or BYE of another fork        | ANSWERED
    ANSWERED  | re-INVITE, UPDATE, PRACK, INFO, REFER         | the same
              | BYE (or its 2xx, 408, 481) of the last fork   | ENDED
              |   answered                                    |
              | nothing for the session interval + 32 s       | ENDED
    ENDED     | anything                                      | the same

Every message may come twice, late, or not at all. Sequence numbers and tags tell what is new, not the order of arrival.
"""

import re

from capture import attempt, offeranswer, transfer
from capture.arrival import Arrival, exchange_of, hear
from capture.infodigits import digits_of
from capture.sipcall import CallState, EndCause, Exchange, Outcome, SipCall

TIMER_B_NS = 32_000_000_000
"""RFC 3261 timers B, F and H: no message of a transaction comes later than this."""
SILENCE_NS = 180_000_000_000
"""An unanswered call without a message for this long is over (RFC 3261 section 16.6, timer C)."""
MIN_SESSION_EXPIRES_S = 90
"""Least session interval (RFC 4028 section 4)."""
MAX_COUNTED = 64
"""INFO and REFER requests of one side by which repetitions are recognised."""
MAX_ENTRIES = 1000
"""REFER requests, and digits by INFO, kept of one call."""

_BYE_DONE = (408, 481)
_SESSION_EXPIRES = re.compile(r"\s*([0-9]{1,9})")


def advance(call: SipCall, arrival: Arrival) -> bool:
    """Advances a call by one message; False when it told nothing new."""
    if call.state is CallState.ENDED:
        return False
    if call.state is not CallState.FAILED:
        call.last_ns = max(call.last_ns, arrival.ts_ns)
    if call.state is CallState.ANSWERED:
        call.refreshed_ns = call.last_ns
    act = (_ON_RESPONSE if arrival.status else _ON_REQUEST).get(arrival.message.method)
    return act is not None and act(call, arrival)


def deadline_ns(call: SipCall) -> int | None:
    """Packet time from which `expire` ends this call, None while only a message can."""
    if call.state in (CallState.TRYING, CallState.RINGING):
        if call.failure is not None and call.failure.retry_awaited:
            return call.failure.ts_ns + TIMER_B_NS
        return call.last_ns + SILENCE_NS
    if call.state is CallState.ANSWERED and call.session_expires_s is not None:
        return call.refreshed_ns + call.session_expires_s * 1_000_000_000 + TIMER_B_NS
    return None


def expire(call: SipCall) -> None:
    """What passing the deadline means."""
    if call.state is CallState.ANSWERED:
        call.end(call.refreshed_ns + (call.session_expires_s or 0) * 1_000_000_000, EndCause.SESSION_EXPIRED)
    elif call.failure is not None:
        attempt.fail(call, call.failure)
    else:
        call.state = CallState.FAILED
        call.ended_ns, call.end_cause = call.last_ns, EndCause.NO_ANSWER


def _invite(call: SipCall, arrival: Arrival) -> bool:
    if attempt.is_attempt(call, arrival):
        return attempt.invite(call, arrival)
    if arrival.to_tag:
        attempt.prove(call, arrival)
    return attempt.offer(call, arrival)


def _invite_response(call: SipCall, arrival: Arrival) -> bool:
    if not attempt.is_attempt(call, arrival):
        attempt.prove(call, arrival)
        return _offer_response(call, arrival)
    exchange = attempt.response(call, arrival)
    if exchange is None or arrival.status == 100:
        return False
    if arrival.status >= 300:
        return attempt.failure(call, exchange, arrival)
    if arrival.status < 200:
        return attempt.provisional(call, exchange, arrival)
    is_new = attempt.answer(call, arrival, arrival.status)
    return _accept(call, exchange, arrival) or is_new


def _offer_response(call: SipCall, arrival: Arrival) -> bool:
    """A response to a re-INVITE, UPDATE or PRACK."""
    exchange = exchange_of(call, arrival)
    if exchange is None:
        return False
    if arrival.status >= 300:
        return offeranswer.reject(call, exchange)
    return _accept(call, exchange, arrival) if arrival.status >= 200 else hear(call, exchange, arrival)


def _accept(call: SipCall, exchange: Exchange, arrival: Arrival) -> bool:
    is_heard = hear(call, exchange, arrival)
    if not offeranswer.accept(call, exchange, arrival.ts_ns):
        return is_heard
    if call.state is CallState.ANSWERED and exchange.method != "PRACK":
        match = _SESSION_EXPIRES.match(arrival.message.first("session-expires") or "")
        call.session_expires_s = max(MIN_SESSION_EXPIRES_S, int(match[1])) if match else None
    return True


def _ack(call: SipCall, arrival: Arrival) -> bool:
    exchange = None if call.is_over else exchange_of(call, arrival)
    if exchange is None or exchange.outcome is Outcome.REJECTED or arrival.to_tag in exchange.failed_tags:
        return False
    if exchange.outcome is Outcome.OPEN and (not arrival.to_tag or arrival.branch in exchange.branches):
        return attempt.unseen_failure(call, arrival) if exchange.early else offeranswer.reject(call, exchange)
    is_new = call.state is not CallState.ANSWERED and attempt.answer(call, arrival, None)
    is_new |= hear(call, exchange, arrival)
    if exchange.early and call.acked_ns is None:
        call.acked_ns = arrival.ts_ns
    return offeranswer.acknowledge(call, exchange, arrival.ts_ns) or is_new


def _bye(call: SipCall, arrival: Arrival) -> bool:
    fork = arrival.fork
    if attempt.is_failed_fork(call, fork):
        return False
    attempt.prove(call, arrival)
    is_new = fork not in call.closed_tags
    if is_new and len(call.closed_tags) < attempt.MAX_HOPS:
        call.closed_tags.append(fork)
    if fork != call.winning_tag:
        return is_new
    call.winning_tag = next((tag for tag in call.answered_tags if tag not in call.closed_tags), fork)
    if call.winning_tag == fork:
        call.bye_seen = True
        call.end(arrival.ts_ns, EndCause.BYE, arrival.requester)
    return True


def _bye_response(call: SipCall, arrival: Arrival) -> bool:
    """Stands for a BYE that was not seen. A challenge (401, 407) does not: another BYE follows."""
    return (200 <= arrival.status < 300 or arrival.status in _BYE_DONE) and _bye(call, arrival)


def _info(call: SipCall, arrival: Arrival) -> bool:
    if call.joined_late:
        attempt.prove(call, arrival)
    if not _is_first(call, arrival):
        return False
    digits = [(arrival.ts_ns, arrival.requester, digit) for digit in digits_of(arrival.message)]
    room = MAX_ENTRIES - len(call.dtmf_info)
    call.overflow += max(0, len(digits) - room)
    call.dtmf_info.extend(digits[:room])
    return True


def _update(call: SipCall, arrival: Arrival) -> bool:
    if call.joined_late:
        attempt.prove(call, arrival)
    return attempt.offer(call, arrival)


def _refer(call: SipCall, arrival: Arrival) -> bool:
    if not _is_first(call, arrival):
        return False
    if len(call.refers) >= MAX_ENTRIES:
        call.overflow += 1
        return False
    call.refers.append(transfer.refer_of(arrival.message, ts_ns=arrival.ts_ns, by=arrival.requester))
    return True


def _is_first(call: SipCall, arrival: Arrival) -> bool:
    """Whether a request of a kind that is counted (INFO, REFER) is no repetition."""
    counted = call.negotiation.counted_cseq.setdefault(arrival.requester, [])
    if arrival.cseq in counted or (len(counted) >= MAX_COUNTED and arrival.cseq < counted[0]):
        return False
    counted.append(arrival.cseq)
    counted.sort()
    del counted[:-MAX_COUNTED]
    return True


_ON_REQUEST = {
    "INVITE": _invite,
    "ACK": _ack,
    "CANCEL": attempt.cancel,
    "BYE": _bye,
    "UPDATE": _update,
    "PRACK": attempt.offer,
    "INFO": _info,
    "REFER": _refer,
}
_ON_RESPONSE = {
    "INVITE": _invite_response,
    "UPDATE": _offer_response,
    "PRACK": _offer_response,
    "BYE": _bye_response,
}
