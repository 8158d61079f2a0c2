"""Whose fault it is: `verdict(evidence)`, a pure function.

The surface of this room, for whoever asks:

    watch = observing.Watch(configuration, archive)         the probes, each in its own rhythm, in a few threads
    evidence = watch.observe(wait_s)                        all that is known, after `wait_s` at the latest
    found = verdict.verdict(evidence)                       `findings.Verdict`: findings, ladder, what is withheld
    found.findings[0].domains, .row, .confidence, .evidence, .cause
    found.exit_code                                         0, or that of `rokubox selftest`
    texts.title(row, language), texts.action(row, language) in Japanese and English

`Row` is a closed list; an alarm is raised by the row or the ladder's step (`found.ladder`), never by a text.
"""

from appliance.diagnosis.doubt import rank, weigh
from appliance.diagnosis.evidence import Evidence
from appliance.diagnosis.findings import Verdict
from appliance.diagnosis.ladder import ladder
from appliance.diagnosis.rules import box, calls, media, ports, reach, signalling
from appliance.diagnosis.thresholds import DEFAULT, Thresholds

RULES = (
    box.own_checks,
    box.missing_interface,
    box.overload,
    ports.span_in_management,
    ports.span_link_down,
    ports.management_down,
    ports.no_frames,
    ports.only_group,
    ports.line_errors,
    ports.one_direction,
    ports.doubled,
    calls.missing_media,
    calls.equal_durations,
    media.gaps,
    media.reported_loss,
    media.remarked,
    media.sender_clock,
    media.dead_air,
    signalling.unanswered,
    signalling.finals,
    signalling.challenge_loops,
    signalling.no_ack,
    reach.arp_unanswered,
    reach.gateway_unreachable,
    reach.names,
    reach.next_hop,
    reach.carrier,
    reach.services,
)
"""Each takes evidence and limits and yields what it recognises; none knows of the others."""


def verdict(evidence: Evidence, limits: Thresholds = DEFAULT) -> Verdict:
    """Return what is wrong, most important first, and whose it is."""
    found = [finding for rule in RULES for finding in rule(evidence, limits)]
    rungs = ladder(evidence, found)
    spoken, withheld = weigh(found, rungs)
    return Verdict(
        at_ns=evidence.at_ns,
        software=evidence.software,
        findings=tuple(sorted(spoken, key=rank)),
        withheld=tuple(withheld),
        ladder=rungs,
    )
