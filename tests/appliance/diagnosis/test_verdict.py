"""The fault matrix as tables and properties of the pure verdict."""

import itertools
import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.diagnosis import figures, page, texts
from appliance.diagnosis.domains import BEYOND, Domain
from appliance.diagnosis.evidence import OWN_SIDE, Cause, Check, Evidence, Role, State, Step
from appliance.diagnosis.findings import Row
from appliance.diagnosis.verdict import verdict
from appliance.show.labels import Language
from tests.appliance.diagnosis.evidence_of import FAULTS, LEG, NOW, WINDOW, healthy, with_check, with_port, with_wire

NAMES = sorted(FAULTS)
SECOND = 1_000_000_000
PAGE = Path(__file__).parents[3] / "docs" / "faults.md"
BLAMES_NOBODY_ELSE = {Row.OVERLOAD, Row.SPAN_LINK_DOWN, Row.NO_FRAMES, Row.ONLY_GROUP, Row.ONE_DIRECTION}


def test_a_healthy_site_has_no_finding_and_every_rung_is_right():
    found = verdict(healthy())
    assert not found.findings
    assert not found.withheld
    assert found.exit_code == 0
    assert {rung.step: rung.state for rung in found.ladder if rung.state is not State.OK} == {
        Step.POWER: State.NOT_OBSERVABLE
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_row_of_the_matrix_names_its_domains_and_nobody_else(name):
    change, row, domains = FAULTS[name]
    found = verdict(change(healthy()))
    assert [(each.row, each.domains) for each in found.findings] == [(row, domains)]
    assert found.findings[0].evidence
    assert found.exit_code == (29 if not domains else found.exit_code)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gaps from the LAN", 20),
        ("SPAN link down", 21),
        ("disk full", 22),
        ("DSCP EF leaving, 0 arriving", 23),
        ("503 from the carrier", 24),
        ("gaps from the VPN", 25),
        ("200 OK repeated, no ACK", 26),
        ("RTP clock off", 27),
        ("403", 28),
        ("broker gone", 29),
    ],
)
def test_exit_codes(name, code):
    assert verdict(FAULTS[name][0](healthy())).exit_code == code


@pytest.mark.parametrize("row", list(Row))
def test_every_row_has_words_and_is_reached_by_a_fault(row):
    for language in (Language.JA, Language.EN):
        assert texts.title(row, language)
        assert texts.action(row, language)
    assert row in {each[1] for each in FAULTS.values()}


def test_every_word_of_the_other_lists_is_there():
    for table, kind in ((texts.DOMAINS, Domain), (texts.STEPS, Step), (texts.STATES, State), (texts.CAUSES, Cause)):
        assert set(table) == set(kind)


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_name(name):
    for finding in verdict(FAULTS[name][0](healthy())).findings:
        for fact in finding.evidence:
            assert fact.name.startswith("status_") or fact.name in figures.FIGURES


@pytest.mark.parametrize("step", OWN_SIDE)
@pytest.mark.parametrize("state", [State.NG, State.UNKNOWN])
@pytest.mark.parametrize("name", [name for name in NAMES if BEYOND & set(FAULTS[name][2])])
def test_while_our_own_side_is_in_doubt_nobody_beyond_is_named(name, step, state):
    change, row, domains = FAULTS[name]
    found = verdict(with_check(change(healthy()), step, state=state))
    if Domain.LAN in domains and step is Step.GATEWAY:
        return  # "lan or vpn" is what that very check says
    assert not BEYOND & found.named
    explained = {Row.NEXT_HOP_GONE, Row.ARP_UNANSWERED, Row.CARRIER_GONE}
    assert any(each.finding.row is row for each in found.withheld) or row in explained


def test_a_check_that_was_never_made_is_a_doubt_too():
    evidence = FAULTS["503 from the carrier"][0](healthy())
    without = replace(evidence, checks=tuple(check for check in evidence.checks if check.step is not Step.DISK_WRITE))
    assert verdict(without).exit_code == 29
    assert verdict(without).withheld[0].steps == (Step.DISK_WRITE,)


def test_what_a_box_cannot_observe_is_no_doubt():
    evidence = with_check(FAULTS["503 from the carrier"][0](healthy()), Step.SMART, state=State.NOT_OBSERVABLE)
    assert verdict(evidence).named == {Domain.CARRIER}


def test_a_carrier_that_the_mirror_hears_is_reached_whatever_the_probe_says():
    evidence = with_check(healthy(), Step.CARRIER, Cause.TIMEOUT)
    assert evidence.wire is not None
    heard = replace(evidence, wire=replace(evidence.wire, last_from_vpn_ns=NOW))
    assert not verdict(heard).named


@pytest.mark.parametrize(
    "change",
    [
        lambda e: with_wire(e, "media", from_vpn=replace(LEG, packets=29_999, lost=1)),
        lambda e: with_wire(e, "sip", unanswered_out=1),
        lambda e: with_wire(e, "calls", vpn_missing=1),
        lambda e: with_wire(e, "calls", durations_s=(20.0,) * 30),
        lambda e: with_wire(e, "calls", durations_s=(120.0,) * 3),
        lambda e: with_wire(e, "media", shared_bins=40),
        lambda e: with_port(e, peak_bps=990e6),
        lambda e: with_port(e, Role.MANAGEMENT, foreign=30_000),
        lambda e: with_port(e, crc_errors=1),
    ],
)
def test_what_happens_every_day_is_nobodys_fault(change):
    assert not verdict(change(healthy())).findings


def test_what_a_port_begins_to_hear_for_others_is_waited_for_before_anybody_is_named():
    """A mirror that carries little takes a moment to show that its cable is in the management port."""
    gone = FAULTS["ARP of the gateway unanswered"][0](healthy())
    gone = replace(gone, checks=tuple(replace(c, window=replace(c.window, begin_ns=NOW - SECOND)) for c in gone.checks))
    for foreign, received in ((20, 24), (199, 210)):
        heard = with_port(gone, Role.MANAGEMENT, foreign=foreign, received=received)
        assert Row.ARP_UNANSWERED not in {finding.row for finding in verdict(heard).findings}
    quiet = with_port(gone, Role.MANAGEMENT, foreign=3, received=24)
    assert Row.ARP_UNANSWERED in {finding.row for finding in verdict(quiet).findings}


def test_night_without_a_call_is_no_fault():
    quiet = healthy()
    assert quiet.wire is not None
    for part in ("sip", "calls", "media"):
        quiet = replace(quiet, wire=replace(quiet.wire, **{part: type(getattr(quiet.wire, part))(window=WINDOW)}))
    found = verdict(quiet)
    assert found.exit_code == 0
    assert {rung.step for rung in found.ladder if rung.state is State.NOT_OBSERVABLE} == {
        Step.POWER,
        Step.BOTH_DIRECTIONS,
        Step.SIP,
        Step.RTP,
    }


def test_without_any_evidence_nobody_is_accused():
    found = verdict(Evidence(at_ns=NOW, software="rokubox/test"))
    assert not found.findings
    assert {rung.state for rung in found.ladder} == {State.UNKNOWN}


def test_no_two_faults_accuse_an_innocent():
    for pair in itertools.permutations(NAMES, 2):
        check_innocence(pair)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(NAMES), min_size=3, max_size=4, unique=True))
def test_several_faults_accuse_no_innocent(names):
    check_innocence(names)


def check_innocence(names):
    evidence = healthy()
    for name in names:
        evidence = FAULTS[name][0](evidence)
    found = verdict(evidence)
    guilty = {domain for name in names for domain in FAULTS[name][2]}
    for finding in found.findings:
        assert not finding.domains or guilty & set(finding.domains), finding
        assert set(finding.domains) - {Domain.ENDPOINT} <= guilty | {Domain.LAN, Domain.MIRROR}, finding


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
def test_our_own_side_comes_first(names):
    evidence = healthy()
    for name in names:
        evidence = FAULTS[name][0](evidence)
    named = [finding.domains for finding in verdict(evidence).findings if finding.domains]
    first_beyond = next((at for at, domains in enumerate(named) if BEYOND & set(domains)), len(named))
    for domains in named[first_beyond:]:
        assert not set(domains) <= {Domain.APPLIANCE, Domain.MIRROR, Domain.LAN}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.sampled_from(list(OWN_SIDE)),
    st.sampled_from([State.NG, State.UNKNOWN]),
)
def test_more_doubt_of_ourselves_never_accuses_more_of_others(names, step, state):
    evidence = healthy()
    for name in names:
        evidence = FAULTS[name][0](evidence)
    before, after = verdict(evidence), verdict(with_check(evidence, step, state=state))
    assert BEYOND & after.named <= BEYOND & before.named


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(NAMES), st.integers(2, 50))
def test_more_of_the_same_names_the_same(name, times):
    """Counts of a fault that grow, with everything that they are counted against, never change whose it is."""
    change, row, domains = FAULTS[name]
    evidence = change(healthy())
    grown = msgspec.convert(_grown(msgspec.to_builtins(evidence), times), Evidence)
    assert [(each.row, each.domains) for each in verdict(grown).findings] == [(row, domains)]


_COUNTS = {
    *("packets", "expected", "lost", "doubled", "ef", "best_effort", "reported", "reported_lost", "constant"),
    *("streams", "answered", "silent_short", "silent_long", "lan_missing", "nowhere", "vlan_apart", "vpn_missing"),
    *("one_way_unplaced", "invites_out", "unanswered_out", "invites_in", "unanswered_in", "unanswered_unplaced"),
    *("count", "challenge_loops_out", "challenge_loops_in", "unacknowledged", "kernel_drops", "nic_drops"),
    *("crc_errors", "alignment_errors", "foreign", "group", "received"),
}


def _grown(tree, times):
    if isinstance(tree, dict):
        return {
            key: value * times if key in _COUNTS and isinstance(value, int) else _grown(value, times)
            for key, value in tree.items()
        }
    return [_grown(each, times) for each in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_rests_on_its_evidence(name):
    """Without what was changed the finding is gone: nothing is accused out of thin air."""
    _, row, _ = FAULTS[name]
    assert row not in {finding.row for finding in verdict(healthy()).findings}


@pytest.mark.parametrize("name", NAMES)
def test_evidence_and_verdict_go_through_json(name):
    evidence = FAULTS[name][0](healthy())
    again = msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence)
    assert again == evidence
    assert verdict(again) == verdict(evidence)


def test_the_order_of_evidence_does_not_matter():
    evidence = with_check(FAULTS["disk full"][0](healthy()), Step.TEMPERATURE, Cause.HOT)
    shuffled = list(evidence.checks)
    random.Random(5).shuffle(shuffled)
    rows = [finding.row for finding in verdict(evidence).findings]
    assert [finding.row for finding in verdict(replace(evidence, checks=tuple(shuffled))).findings] == rows


def test_the_worst_of_several_targets_is_shown_and_all_are_listed():
    evidence = healthy()
    more = Check(step=Step.CARRIER, state=State.NG, cause=Cause.TIMEOUT, target="198.51.100.2", window=WINDOW)
    found = verdict(replace(evidence, checks=(*evidence.checks, more)))
    rung = next(rung for rung in found.ladder if rung.step is Step.CARRIER)
    assert rung.state is State.NG
    assert len(rung.checks) == 2
    assert not found.named


def test_the_page_of_findings_is_up_to_date():
    assert PAGE.read_text() == page.page(), "python -m appliance.diagnosis.page > docs/faults.md"
