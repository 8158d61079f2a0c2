"""The status page: what is said in which case, in one language or both, and that it fits the screen."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from appliance.agent import agentstatus
from appliance.agent.agentstatus import AgentStatus, FindingSeen, MirrorSeen, VerdictSeen
from appliance.alarms.alarm import Alarm, AlarmKey, AlarmState, Shelving
from appliance.alarms.kind import AlarmName, Severity
from appliance.diagnosis.domains import Domain
from appliance.diagnosis.evidence import Port, Role, Window
from appliance.diagnosis.findings import Row
from appliance.firmware.updatestatus import Reason, State, UpdateStatus
from appliance.provisioning.outcome import Outcome, Told
from appliance.show.labels import Language
from appliance.statuspage import looking, page, terminal
from appliance.statuspage.seen import BoxSeen, InterfaceSeen
from appliance.telemetry.messages import CallsHealth, DiskHealth, ServiceHealth

NOW_NS = 1_795_000_000_000_000_000
GIB = 1 << 30
CALLS = CallsHealth(
    in_progress=12,
    recorded=345,
    partly=0,
    not_recorded=0,
    not_expected=7,
    completeness=99.987,
    capture_completeness=100.0,
)
DISK = DiskHealth(
    free_bytes=120 * GIB,
    total_bytes=234 * GIB,
    days_until_full=200,
    health="good",
    write_median_ms=4.0,
    temperature_c=None,
)
AGENT = AgentStatus(
    at_ns=NOW_NS - 3_000_000_000,
    services=(ServiceHealth(name="capture", running=True, restarts=0),),
    calls=CALLS,
    disk=DISK,
    clock_synchronised=True,
    mirrors=(MirrorSeen(name="span0", up=True, speed_mbps=1000, frames_per_s=1234.4, dropped=0),),
    verdict=VerdictSeen(findings=(), withheld=0),
)
BOX = BoxSeen(
    at_ns=NOW_NS,
    zone=ZoneInfo("Asia/Tokyo"),
    customer="Example",
    site="Osaka",
    serial="RB-1",
    software="rokubox 0.1.0",
    slot="A",
    problem="",
    interfaces=(InterfaceSeen(name="eth0.100", up=True, addresses=("192.0.2.10/24",)),),
    mirror_ports=("span0",),
    agent=AGENT,
    alarms=(),
    update=None,
    medium=None,
)
UPDATE = UpdateStatus(
    state=State.ROLLED_BACK,
    source="medium",
    began_ns=NOW_NS - 2_000_000_000_000,
    changed_ns=NOW_NS - 1_000_000_000_000,
    running="0.1.0",
    version="0.2.0",
    reason=Reason.UNSTABLE,
    detail="rokubox-capture",
)


def alarm(name: AlarmName, severity: Severity = Severity.MAJOR, **settings) -> Alarm:
    return Alarm(
        key=AlarmKey(resource="span:span0", name=name),
        state=AlarmState.RAISED,
        severity=severity,
        source="test",
        first_raised_ns=NOW_NS - 600_000_000_000,
        last_changed_ns=NOW_NS,
        boot_id="",
        sequence=1,
        **settings,
    )


def shown(box: BoxSeen, language: Language = Language.EN, width: int = 80, rows: int = 24) -> list[str]:
    return [line.plain for line in page.page(box, language, width, rows)]


def test_all_is_well() -> None:
    assert shown(BOX) == [
        "rokubox 0.1.0 [A]                                  2026-11-18 20:06:40 UTC+09:00",
        "Example / Osaka / RB-1",
        "management      eth0.100  192.0.2.10/24",
        "mirror port     span0  1,000 Mbit/s  1,234 frames/s",
        "calls           now 12",
        "today           recorded 345  partly 0  not recorded 0",
        "completeness    99.99 %  (recorder alone 100.00 %)",
        "disk            free 120.0 / 234.0 GiB (51 %)  full in 200 days",
        "verdict         no fault",
        "alarms          none",
    ]


def on_port(*, up: bool) -> BoxSeen:
    return replace(BOX, interfaces=(InterfaceSeen(name="eth0", up=up, addresses=()),))


def agent(**settings) -> BoxSeen:
    return replace(BOX, agent=replace(AGENT, **settings))


@pytest.mark.parametrize(
    ("box", "line"),
    [
        (replace(BOX, agent=None), "state           the agent is silent"),
        (replace(BOX, at_ns=NOW_NS + 120_000_000_000), "state           the agent is silent"),
        (replace(BOX, agent=None), "alarms          unknown"),
        (replace(BOX, customer="", site="", serial=""), "not configured"),
        (replace(BOX, problem="rokubox.toml: not TOML"), "configuration   rokubox.toml: not TOML"),
        (on_port(up=False), "management      eth0  no link"),
        (on_port(up=True), "management      eth0  no address"),
        (
            replace(BOX, update=UPDATE),
            "update          0.2.0 did not work, and the version before runs again",
        ),
        (replace(BOX, update=UPDATE), "      * unstable: rokubox-capture"),
        (
            replace(BOX, update=replace(UPDATE, state=State.INSTALLING, reason=None)),
            "update          0.2.0 is being written",
        ),
        (
            replace(BOX, update=replace(UPDATE, state=State.GOOD, reason=None)),
            "update          0.2.0 is complete, and works",
        ),
        (replace(BOX, ignored=True), "medium          a USB medium was ignored"),
        (replace(BOX, ignored=True), "      -> Label it ROKUBOX and plug it in again."),
        (agent(mirrors=()), "mirror port     span0  unknown"),
        (replace(BOX, agent=None), "mirror port     span0  unknown"),
        (agent(mirrors=(MirrorSeen(name="span0", up=False),)), "mirror port     span0  no link"),
        (
            agent(mirrors=(MirrorSeen(name="span0", up=True, frames_per_s=0.0, dropped=5),)),
            "mirror port     span0  0 frames/s  dropped 5",
        ),
        (
            agent(services=(ServiceHealth(name="capture", running=False, restarts=3),)),
            "not running     capture",
        ),
        (agent(clock_synchronised=False), "clock           not synchronised with a time server"),
        (agent(verdict=None), "verdict         nothing is known yet"),
        (agent(verdict=VerdictSeen(findings=(), withheld=2)), "verdict         something is in doubt"),
        (agent(disk=replace(DISK, free_bytes=None)), "disk            is not there"),
        (
            agent(disk=replace(DISK, health="failing", days_until_full=None)),
            "disk            free 120.0 / 234.0 GiB (51 %)  failing",
        ),
        (
            replace(BOX, alarms=(alarm(AlarmName.NO_FRAMES, shelved=Shelving(by="a", at_ns=0, until_ns=1)),)),
            "alarms          none",
        ),
    ],
)
def test_each_case_has_its_words(box: BoxSeen, line: str) -> None:
    assert line in shown(box)


def test_a_verdict_names_who_has_to_act_and_what_to_do() -> None:
    found = FindingSeen(row=Row.CARRIER_GONE, domains=(Domain.VPN, Domain.CARRIER))
    lines = shown(agent(verdict=VerdictSeen(findings=(found,), withheld=0)))
    assert "verdict         vpn or carrier: the carrier's endpoint is not reached" in lines
    assert "      -> Check the VPN line, then ask for repair with this report." in lines


def test_alarms_have_number_and_remedy_and_the_rest_is_counted() -> None:
    standing = (
        alarm(AlarmName.NO_FRAMES, Severity.CRITICAL),
        alarm(AlarmName.ONE_WAY_MIRROR),
        alarm(AlarmName.DOUBLED_MIRROR),
    )
    lines = shown(replace(BOX, alarms=standing))
    at = lines.index("alarms          3")
    assert lines[at + 1] == "  101 11-18 19:56 No frames on the mirror port: span:span0"
    assert lines[at + 2] == "      -> Look at the switch's mirror session and at the cable, then run `rokubox"
    few = shown(replace(BOX, alarms=standing), rows=15)
    assert len(few) <= 15
    assert few[-1] == "  2 more (rokubox alarms): 103, 104"


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("language", Language)
def test_what_came_of_a_medium(outcome: Outcome, language: Language) -> None:
    told = Told(at_ns=NOW_NS, outcome=outcome, problems=("rokubox.toml: site.bad: unknown key",))
    lines = shown(replace(BOX, medium=told, alarms=(alarm(AlarmName.NO_FRAMES),) * 5), language)
    assert len(lines) <= 24
    assert "rokubox.toml: site.bad: unknown key" in lines[-1]
    assert any("20:06" in line for line in lines)


def test_that_a_medium_was_accepted_is_no_news_for_ever() -> None:
    told = Told(at_ns=NOW_NS - 4_000_000_000_000, outcome=Outcome.ACCEPTED)
    assert shown(replace(BOX, medium=told)) == shown(BOX)
    assert shown(replace(BOX, medium=replace(told, outcome=Outcome.REFUSED))) != shown(BOX)
    update = replace(UPDATE, state=State.GOOD, reason=None, changed_ns=told.at_ns)
    assert shown(replace(BOX, update=update)) == shown(BOX)


@pytest.mark.parametrize("width", [40, 80, 100, 132])
@pytest.mark.parametrize("language", Language)
def test_it_fits_the_screen(width: int, language: Language) -> None:
    box = replace(
        BOX,
        customer="株式会社エグザンプル" * 8,
        alarms=tuple(alarm(name) for name in AlarmName),
        medium=Told(at_ns=NOW_NS, outcome=Outcome.REFUSED, problems=("長い説明" * 40, "x" * 300)),
    )
    for rows in (10, 24, 37):
        lines = shown(box, language, width, rows)
        assert len(lines) <= rows
        assert max(cell_len(line) for line in lines) <= width


def test_what_comes_from_elsewhere_is_made_safe() -> None:
    box = replace(BOX, customer="a\x1b[2Jb", medium=Told(at_ns=0, outcome=Outcome.REFUSED, problems=("\x1b]0;x\x07",)))
    assert not any("\x1b" in line for line in shown(box))


def test_a_terminal_draws_over_what_was_there() -> None:
    lines = page.page(BOX, Language.BOTH, 80, 24)
    drawn = terminal.drawn(lines, 80, 24)
    assert drawn.startswith("\x1b[H\x1b[K")
    assert drawn.endswith("\r\n\x1b[J")
    assert drawn.count("\x1b[K") == len(lines)
    assert "通話 / calls" in drawn


def test_a_full_terminal_is_not_scrolled() -> None:
    lines = page.page(BOX, Language.EN, 80, 10)
    assert len(lines) == 10
    assert not terminal.drawn(lines, 80, 10).endswith("\x1b[J")
    assert terminal.drawn(lines, 80, 10).count("\r\n") == 9


def test_a_port_is_shown_as_capture_counts_it() -> None:
    window = Window(begin_ns=0, end_ns=2_000_000_000)
    port = Port(name="span0", role=Role.SPAN, link_up=True, received=300, kernel_drops=1, nic_drops=None, window=window)
    assert agentstatus.mirror_seen(port) == MirrorSeen(name="span0", up=True, frames_per_s=150.0, dropped=1)
    assert agentstatus.mirror_seen(replace(port, received=None)).frames_per_s is None


def test_interfaces_are_those_that_are_no_mirror() -> None:
    told: list[dict[str, object]] = [
        {"ifname": "lo", "flags": ["LOOPBACK", "UP"], "addr_info": []},
        {"ifname": "eth0", "flags": ["UP", "LOWER_UP"], "addr_info": []},
        {"ifname": "span0", "flags": ["UP", "LOWER_UP"], "addr_info": []},
        {
            "ifname": "eth0.100",
            "flags": ["UP", "LOWER_UP"],
            "addr_info": [
                {"scope": "link", "local": "fe80::1", "prefixlen": 64},
                {"scope": "global", "local": "192.0.2.10", "prefixlen": 24},
            ],
        },
    ]
    [found] = looking.interfaces(told, ("span0",))
    assert found == InterfaceSeen(name="eth0.100", up=True, addresses=("192.0.2.10/24",))
    assert [one.name for one in looking.interfaces(told[:3], ())] == ["eth0"]
