"""Verdicts into lines of the outage ledger: one outage a service at a time, however often the verdict changes. Pure.

| state      | verdict names a row of the service    | verdict does not                              |
|------------|---------------------------------------|-----------------------------------------------|
| well       | -> out: `began`, since the last well  | stays                                         |
| out        | another row or domain: `named`        | -> recovering                                 |
| recovering | -> out, nothing is said               | for `STEADY_NS`: -> well, `ended` when it was |
|            |                                       | first well again                              |

Rows of low confidence are suspects, and no outage.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from appliance.diagnosis.domains import Domain
from appliance.diagnosis.findings import Confidence, Finding, Row, Verdict
from appliance.outages.outage import Line, Mark, Outage, Service

STEADY_NS = 60_000_000_000
ROWS = {
    Service.RECORDING: frozenset(
        {
            *(Row.RECORDER_STOPPED, Row.DISK_UNUSABLE, Row.INTERFACE_MISSING, Row.PIPELINE_FAILED, Row.OVERLOAD),
            *(Row.SPAN_LINK_DOWN, Row.NO_FRAMES, Row.ONLY_GROUP, Row.ONE_DIRECTION, Row.VLAN_MISSING),
            *(Row.MEDIA_BYPASSES, Row.SPAN_IN_MANAGEMENT, Row.OVERSUBSCRIBED),
        }
    ),
    Service.TELEPHONY: frozenset(
        {
            *(Row.UNANSWERED, Row.LAN_UNANSWERED, Row.SERVER_ERROR, Row.LAN_ERROR, Row.CARRIER_GONE),
            *(Row.ARP_UNANSWERED, Row.NEXT_HOP_GONE, Row.REFUSED, Row.VPN_SILENT, Row.LAN_SILENT, Row.NO_MEDIA),
        }
    ),
}
"""What puts a service out."""


@dataclass(slots=True, kw_only=True)
class _Standing:
    """How a service stands."""

    well_ns: int = 0
    """When it was last seen well; 0: never yet."""
    outage: str = ""
    """The outage that goes on; empty: none."""
    said: tuple[str, tuple[Domain, ...]] = ("", ())
    recovered_ns: int = 0
    """Since when it has been well again, while that is not certain; 0: it is not."""


@dataclass(slots=True, kw_only=True)
class OutageWatch:
    """Follows verdicts."""

    _standing: dict[Service, _Standing] = field(default_factory=lambda: {each: _Standing() for each in Service})

    def go_on(self, open_outages: Iterable[Outage]) -> None:
        """Begin with the outages that an earlier process left open."""
        for outage in open_outages:
            standing = self._standing[outage.service]
            standing.outage, standing.said = outage.id, (outage.rows[-1], outage.domains)

    def see(self, verdict: Verdict) -> Iterator[Line]:
        """Return the lines that a verdict adds."""
        for service, standing in self._standing.items():
            found = _of(verdict, service)
            if found is None:
                yield from self._well(service, standing, verdict.at_ns)
            elif standing.outage:
                standing.recovered_ns = 0
                yield from _named(standing, found, verdict.at_ns)
            else:
                yield _began(service, standing, found, verdict.at_ns)

    def _well(self, _service: Service, standing: _Standing, now_ns: int) -> Iterator[Line]:
        if not standing.outage:
            standing.well_ns = now_ns
        elif not standing.recovered_ns:
            standing.recovered_ns = now_ns
        elif now_ns - standing.recovered_ns >= STEADY_NS:
            yield Line(outage=standing.outage, mark=Mark.ENDED, at_ns=standing.recovered_ns)
            standing.outage, standing.recovered_ns, standing.well_ns = "", 0, now_ns


def _of(verdict: Verdict, service: Service) -> Finding | None:
    rows = ROWS[service]
    return next((each for each in verdict.findings if each.row in rows and each.confidence > Confidence.LOW), None)


def _began(service: Service, standing: _Standing, found: Finding, now_ns: int) -> Line:
    standing.outage = f"{service}-{now_ns // 1_000_000_000}"
    standing.said = (found.row, found.domains)
    return Line(
        outage=standing.outage,
        mark=Mark.BEGAN,
        at_ns=now_ns,
        service=service,
        began_ns=standing.well_ns or now_ns,
        row=found.row,
        domains=found.domains,
    )


def _named(standing: _Standing, found: Finding, now_ns: int) -> Iterator[Line]:
    said = (found.row.value, found.domains)
    if said != standing.said:
        standing.said = said
        yield Line(outage=standing.outage, mark=Mark.NAMED, at_ns=now_ns, row=found.row, domains=found.domains)
