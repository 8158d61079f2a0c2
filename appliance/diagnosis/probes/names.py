"""DNS: whether each name server answers, and knows the name that matters (RFC 1035). By dnspython."""

import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.resolver

from appliance.diagnosis.evidence import Cause, Check, Figure, State, Step
from appliance.diagnosis.probes import causes
from appliance.diagnosis.probes.wayout import WayOut

WAIT_S = 1.5
TRIES = 2


def servers(configured: tuple[str, ...]) -> tuple[str, ...]:
    """Return the name servers: those configured, else the system's."""
    if configured:
        return configured
    try:
        return tuple(str(each) for each in dns.resolver.Resolver().nameservers)
    except (dns.exception.DNSException, OSError):
        return ()


def ask(server: str, name: str, way: WayOut, port: int = 53) -> Check:
    """Ask a server for a name; without one, for the root's, to which any answer will do."""
    query = dns.message.make_query(name or ".", "A" if name else "NS")
    began, cause = time.monotonic(), Cause.TIMEOUT
    for _ in range(TRIES):
        try:
            answer = dns.query.udp(query, server, timeout=WAIT_S, port=port, ignore_trailing=True)
        except dns.exception.Timeout:
            continue
        except OSError as error:
            cause = causes.of(error)
            continue
        except dns.exception.DNSException:
            cause = Cause.UNREADABLE
            continue
        figures = (Figure(name="round_trip", value=round((time.monotonic() - began) * 1000, 1), unit="ms"),)
        if name and answer.rcode() == dns.rcode.NXDOMAIN:
            return _check(server, way, State.NG, Cause.NAME_UNKNOWN)
        return _check(server, way, State.OK, figures=figures)
    return _check(server, way, State.NG, cause)


def _check(
    server: str, way: WayOut, state: State, cause: Cause = Cause.NONE, figures: tuple[Figure, ...] = ()
) -> Check:
    on_link = way.is_on_link(server)
    return Check(step=Step.DNS, state=state, cause=cause, target=server, is_on_link=on_link, figures=figures)
