"""Links between calls: REFER (RFC 3515), Replaces (RFC 3891), Referred-By (RFC 3892).

Links point backwards only. A REFER is remembered for a while, and an INVITE that it explains is linked to its dialog.
"""

from dataclasses import dataclass
from urllib.parse import unquote

from capture.numbers import canonical
from capture.sip import SipMessage
from capture.sipaddress import parse_name_address, parse_parameters
from capture.sipcall import MAX_TEXT, Refer, Side, SipCall, bounded_token

REFER_NS = 30_000_000_000
"""How long an INVITE may take to follow its REFER."""
MAX_PENDING = 256
"""REFER requests remembered; the oldest go first."""


@dataclass(slots=True, kw_only=True)
class PendingRefer:
    """A REFER whose INVITE may still come."""

    ts_ns: int
    """Packet time."""
    call_id: str
    """Call-ID of the dialog it was sent in."""
    target: str
    """Canonical number of Refer-To."""
    replaces: str
    """Call-ID of the Replaces header inside Refer-To."""
    referrer: str
    """Canonical number of who transfers."""
    referee: str
    """Canonical number of who is asked to call."""


def refer_of(message: SipMessage, *, ts_ns: int, by: Side) -> Refer:
    """Whom a REFER request names."""
    address = parse_name_address(message.first("refer-to") or "")
    _, _, headers = address.uri.partition("?")
    replaces = ""
    for header in headers.split("&"):
        name, _, value = header.partition("=")
        if name.strip().lower() == "replaces":
            replaces = parse_replaces(unquote(value))[0]
    return Refer(ts_ns=ts_ns, by=by, target=address.user[:MAX_TEXT], replaces=replaces)


def parse_replaces(value: str) -> tuple[str, str, str]:
    """(Call-ID, to-tag, from-tag) of a Replaces value; empty where missing."""
    call_id, _, tail = value.partition(";")
    parameters = parse_parameters(tail)
    to_tag, from_tag = (bounded_token(parameters.get(name, "")) for name in ("to-tag", "from-tag"))
    return bounded_token(call_id.strip()), to_tag, from_tag


def remember(pending: list[PendingRefer], call: SipCall, refer: Refer) -> None:
    """Keeps a REFER for the INVITE that follows it."""
    referrer, referee = (call.caller, call.callee) if refer.by is Side.CALLER else (call.callee, call.caller)
    pending.append(
        PendingRefer(
            ts_ns=refer.ts_ns,
            call_id=call.call_id,
            target=canonical(refer.target),
            replaces=refer.replaces,
            referrer=canonical(referrer.number),
            referee=canonical(referee.number),
        )
    )
    del pending[:-MAX_PENDING]


def link(call: SipCall, invite: SipMessage, pending: list[PendingRefer]) -> None:
    """Fills the links of a call from its initial INVITE."""
    replaces = invite.first("replaces")
    if replaces:
        call.replaces, *call.replaces_tags = parse_replaces(replaces)
    pending[:] = [refer for refer in pending if refer.ts_ns >= call.first_ns - REFER_NS]
    if pending:
        referred_by = invite.first("referred-by")
        referrer = None if referred_by is None else canonical(parse_name_address(referred_by).user)
        call.transferred_from = _origin(call, referrer, pending)


def _origin(call: SipCall, referrer: str | None, pending: list[PendingRefer]) -> str:
    """Call-ID of the REFER that explains this call, the likeliest and then latest one; "" when none does."""
    candidates = [(_likeness(call, referrer, refer), index) for index, refer in enumerate(pending)]
    likeness, index = max(candidates)
    return pending[index].call_id if likeness else ""


def _likeness(call: SipCall, referrer: str | None, refer: PendingRefer) -> int:
    """3: replaces what the REFER named; 2: calls its target for a party of it; 1: names its referrer; 0: no link."""
    if refer.call_id == call.call_id:
        return 0
    if refer.replaces and refer.replaces == call.replaces:
        return 3
    numbers = {canonical(number) for number in (call.caller.number, *call.asserted)}
    numbers.discard("")
    targets = {canonical(call.dialled), canonical(call.callee.number)}
    is_party = referrer is not None or not numbers.isdisjoint((refer.referrer, refer.referee))
    if refer.target and refer.target in targets and is_party:
        return 2
    return int(bool(referrer) and referrer == refer.referrer)
