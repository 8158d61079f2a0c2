"""What is spoken and what is held back: own-side doubt before blame of others. Pure.

| in doubt                                                        | held back                                       |
|-----------------------------------------------------------------|-------------------------------------------------|
| packets were dropped here (`OVERLOAD`)                          | everything that rests on captured packets,      |
|                                                                 | but what is ours                                |
| the mirror does not show all (`BLIND`)                          | everything that rests on captured packets,      |
|                                                                 | but what is ours or the mirror's                |
| it shows no media (`MEDIA_BLIND`)                               | what rests on media, but for the mirror         |
| any of these, or a check of our own side fails or is unknown    | whatever names VPN or carrier                   |

A check on our own side that is itself what says "lan or vpn" (ARP unanswered) does not hold itself back.
"""

from collections.abc import Iterable

from appliance.diagnosis.domains import BEYOND, Domain
from appliance.diagnosis.evidence import OWN_SIDE, State, Step
from appliance.diagnosis.findings import Basis, Finding, Row, Rung, Withheld

BLIND = (
    Row.SPAN_IN_MANAGEMENT,
    Row.SPAN_LINK_DOWN,
    Row.NO_FRAMES,
    Row.ONLY_GROUP,
    Row.ONE_DIRECTION,
    Row.OVERSUBSCRIBED,
)
"""The mirror shows less than there is."""
MEDIA_BLIND = (Row.VLAN_MISSING, Row.MEDIA_BYPASSES)
"""It shows less of the media than there is."""
_OURS = frozenset({Domain.APPLIANCE})
_OURS_OR_MIRROR = frozenset({Domain.APPLIANCE, Domain.MIRROR})


def weigh(found: Iterable[Finding], ladder: Iterable[Rung]) -> tuple[list[Finding], list[Withheld]]:
    """Divide findings into those that are spoken and those that are held back, with what casts doubt on them."""
    found = _explained(list(found))
    rows = {finding.row for finding in found}
    weak = tuple(rung.step for rung in ladder if rung.step in OWN_SIDE and rung.state in (State.NG, State.UNKNOWN))
    spoken, withheld = [], []
    for finding in found:
        doubts = _doubts(finding, rows)
        steps = _weak_steps(finding, weak)
        if doubts or steps:
            withheld.append(Withheld(finding=finding, steps=steps, rows=doubts))
        else:
            spoken.append(finding)
    return spoken, withheld


def _explained(found: list[Finding]) -> list[Finding]:
    """Leave out what a swapped cable explains."""
    if not any(finding.row is Row.SPAN_IN_MANAGEMENT for finding in found):
        return found
    explained = (
        *(Row.SPAN_LINK_DOWN, Row.NO_FRAMES, Row.ONLY_GROUP),
        *(Row.ARP_UNANSWERED, Row.NEXT_HOP_GONE, Row.NO_ADDRESS, Row.DNS_GONE),
    )
    return [finding for finding in found if finding.row not in explained]


def _doubts(finding: Finding, rows: set[Row]) -> tuple[Row, ...]:
    domains = frozenset(finding.domains)
    on_wire, about_media = finding.basis is Basis.WIRE, finding.step in (None, Step.RTP)
    blind = [row for row in BLIND if row in rows]
    media_blind = [row for row in MEDIA_BLIND if row in rows]
    doubts: list[Row] = []
    if Row.OVERLOAD in rows and on_wire and domains != _OURS:
        doubts.append(Row.OVERLOAD)
    if on_wire and not (domains and domains <= _OURS_OR_MIRROR):
        doubts += blind
        doubts += media_blind if about_media else []
    if domains & BEYOND:
        doubts += [row for row in (*blind, *media_blind) if row not in doubts]
    return tuple(row for row in doubts if row is not finding.row)


def _weak_steps(finding: Finding, weak: tuple[Step, ...]) -> tuple[Step, ...]:
    if not BEYOND & frozenset(finding.domains):
        return ()
    own = finding.step if Domain.LAN in finding.domains else None
    return tuple(step for step in weak if step is not own)


_RANK = (_OURS, frozenset({Domain.MIRROR}), frozenset({Domain.LAN}))


def rank(finding: Finding) -> tuple[int, int, int]:
    """Sort key: ourselves, the mirror, the LAN, sets with the LAN, then others, then one telephone, then nobody."""
    domains = frozenset(finding.domains)
    if domains in _RANK:
        whose = _RANK.index(domains)
    elif Domain.LAN in domains:
        whose = 3
    elif domains & BEYOND:
        whose = 4
    else:
        whose = 5 if domains else 6
    return whose, -finding.confidence, list(Row).index(finding.row)
