"""Who is who in a call, from the headers of its first message: RFC 3261, RFC 3323, RFC 3325, RFC 5806, RFC 7044."""

from collections.abc import Iterable

from capture.arrival import Arrival
from capture.sip import SipMessage
from capture.sipaddress import NameAddress, parse_name_address
from capture.sipcall import MAX_TEXT, Party, SipCall

MAX_NUMBERS = 16
"""Numbers kept of one header of one call."""
MAX_AGENTS = 8
"""User agents kept of one call."""

_NO_PRIVACY = ("", "none")


def open_call(arrival: Arrival) -> SipCall:
    """A new call from its initial INVITE, or, when that was missed, from a message inside its dialog.

    The sender of a request, and the receiver of a response, is taken for the caller.
    """
    source, destination = arrival.source, arrival.destination
    if arrival.status:
        source, destination = destination, source
    return SipCall(
        call_id=arrival.call_id,
        from_tag=arrival.from_tag,
        first_ns=arrival.ts_ns,
        last_ns=arrival.ts_ns,
        invite_source=source,
        invite_destination=destination,
        transport=arrival.transport,
        caller=_party(arrival.from_),
        callee=_party(arrival.to),
    )


def identify(call: SipCall, invite: SipMessage) -> None:
    """Fills what only the initial INVITE tells: the dialled number, identities, diversions."""
    call.dialled = parse_name_address(f"<{invite.request_uri}>").user[:MAX_TEXT]
    asserted = _numbers(invite.all("p-asserted-identity"))
    # The draft that RFC 3325 replaced is still what many gateways send.
    call.asserted = asserted or _numbers(invite.all("remote-party-id"))
    call.diversion = _numbers(invite.all("diversion"))
    call.history = _numbers(invite.all("history-info"))
    privacy = (invite.first("privacy") or "").strip().lower()
    call.privacy = privacy not in _NO_PRIVACY or call.caller.number.lower() == "anonymous"


def note_agent(call: SipCall, message: SipMessage) -> None:
    """Keeps the User-Agent or Server of this message."""
    agent = message.first("user-agent") or message.first("server")
    if agent:
        entry = agent[:MAX_TEXT]
        if entry not in call.user_agents and len(call.user_agents) < MAX_AGENTS:
            call.user_agents.append(entry)


def _party(address: NameAddress) -> Party:
    return Party(number=address.user[:MAX_TEXT], display=address.display[:MAX_TEXT], uri=address.uri[:MAX_TEXT])


def _numbers(values: Iterable[str]) -> list[str]:
    """Numbers of name-addresses in order, repetitions and empty ones left out."""
    users = (parse_name_address(value).user[:MAX_TEXT] for value in values)
    return list(dict.fromkeys(filter(None, users)))[:MAX_NUMBERS]
