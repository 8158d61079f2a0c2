"""Messages in, boxes out; and what the NOC sees of them."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from appliance.agent.daysums import DaySums
from appliance.agent.reports import Reports
from appliance.alarms.alarm import AlarmState
from appliance.noc import summary, view
from appliance.noc.fleet import MAX_BOXES, BoxState, Fleet
from appliance.noc.screen import Screen, Shown
from appliance.noc.view import Page
from appliance.telemetry.messages import EventName, PresenceReason
from appliance.telemetry.topics import BoxTopics
from storage.vocabulary import Outcome
from tests.appliance.agent.test_reports import ALARM, IDENTITY, NOW, NS, health_seen
from tests.storage.samples import call_record

REPORTS = Reports(IDENTITY, {}, numbers=False)
RAISED = dataclasses.replace(ALARM, shelved=None, acknowledged=None)


class Told:
    """A fleet, and what its boxes tell."""

    def __init__(self):
        self.fleet = Fleet()
        self.count = 0

    def tell(self, serial, rest, make, at_ns=NOW, **given):
        self.count += 1
        topics = BoxTopics.of("A", "B", serial)
        self.fleet.take(f"{topics.root}/{rest}", make(f"{self.count:08x}-1"), at_ns, **given)
        return self.fleet.boxes[topics]

    def online(self, serial, at_ns=NOW):
        self.tell(serial, "status", REPORTS.status(at_ns, PresenceReason.CONNECTED))
        self.tell(serial, "info", REPORTS.info(at_ns))
        return self.tell(serial, "health", REPORTS.health(at_ns, health_seen(DaySums().add(call_record()))), at_ns)


@pytest.fixture
def told():
    return Told()


def test_a_box_is_stale_after_three_intervals_and_offline_when_it_says_so(told):
    box = told.online("1")
    assert [box.state(NOW + seconds * NS).value for seconds in (0, 180, 181)] == ["online", "online", "stale"]
    told.tell("1", "status", REPORTS.status(NOW, PresenceReason.LOST))
    assert box.state(NOW) is BoxState.OFFLINE


def test_a_retained_health_is_as_old_as_it_says(told):
    told.tell("1", "status", REPORTS.status(NOW, PresenceReason.CONNECTED))
    old = REPORTS.health(NOW - 300 * NS, health_seen(DaySums()))
    box = told.tell("1", "health", old, retained=True)
    assert (box.age_s(NOW), box.state(NOW)) == (300, BoxState.STALE)
    ahead = told.tell("1", "health", REPORTS.health(NOW + 999 * NS, health_seen(DaySums())), retained=True)
    assert ahead.age_s(NOW) == 0


def test_alarms_come_and_go_and_what_is_missing_is_counted(told):
    box = told.online("1")
    told.tell("1", f"alarm/{RAISED.key.id}", REPORTS.alarm(RAISED))
    assert box.counts()["major"] == 1
    over = dataclasses.replace(RAISED, state=AlarmState.CLEARED, sequence=RAISED.sequence + 3, cleared_ns=NOW)
    told.tell("1", f"alarm/{RAISED.key.id}", REPORTS.alarm(over))
    told.tell("1", f"alarm/{RAISED.key.id}", lambda _id: b"")
    assert (box.alarms, box.missed, len(box.history)) == ({}, 2, 2)
    assert [alarm.state for _, alarm in told.fleet.history] == ["raised", "cleared"]


def test_what_comes_twice_counts_once(told):
    for _ in range(2):
        told.count = 7
        box = told.tell("1", "call/summary", REPORTS.call(NOW, call_record(outcome=Outcome.PARTLY)))
        told.count = 9
        told.tell("1", "event/agent_started", REPORTS.event(NOW, EventName.AGENT_STARTED, {}))
    assert (box.calls, box.calls_incomplete, len(box.events)) == (1, 1, 1)


def test_after_a_new_connection_only_what_is_told_again_stands(told):
    box = told.online("1")
    told.tell("1", f"alarm/{RAISED.key.id}", REPORTS.alarm(RAISED))
    told.fleet.take("", b"", NOW)
    assert not box.alarms


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"schema": "x"}', b"\xff", b"[" * 5000])
def test_what_cannot_be_read_is_counted(told, payload):
    fleet = told.fleet
    fleet.take("rec/v1/A/B/C/health", payload, NOW)
    fleet.take("rec/v1/A/B/C/what/ever", payload, NOW)
    fleet.take("other/topic", payload, NOW)
    assert (fleet.malformed, len(fleet.boxes), fleet.messages) == (1, 1, 3)


def test_the_fleet_is_bounded(told):
    for number in range(MAX_BOXES + 3):
        told.fleet.take(f"rec/v1/A/B/{number}/what", b"", NOW)
    assert (len(told.fleet.boxes), told.fleet.refused) == (MAX_BOXES, 3)


def shown(renderable, width=240):
    printed = io.StringIO()
    Console(file=printed, width=width, color_system=None).print(renderable)
    return printed.getvalue()


def three(told):
    told.online("good")
    told.online("alarmed")
    told.tell("alarmed", f"alarm/{RAISED.key.id}", REPORTS.alarm(RAISED))
    told.tell("gone", "status", REPORTS.status(NOW, PresenceReason.LOST))
    return told.fleet


def test_one_line_a_box_those_first_that_need_somebody(told):
    fleet = three(told)
    lines = shown(view.overview(fleet, fleet.sorted(NOW), NOW, None)).splitlines()
    assert lines[0] == "3 boxes: 1 offline, 2 online"
    assert [line.split(" / ")[-1].strip() for line in lines[2:]] == ["gone", "alarmed", "good"]
    assert lines[3].split()[:8] == ["online", "0", "s", "-", "1", "-", "-", "1"]


def test_a_box_with_everything(told):
    box = three(told).boxes[BoxTopics.of("A", "B", "alarmed")]
    text = shown(view.detail(box, NOW))
    for part in (
        "alarmed  online",
        "rokubox 0.1.0",
        "calls today",
        "録音すべき通話が録音されなかった",
        "no_media",
        "outbox",
    ):
        assert part in text
    assert "changes of alarms" in shown(view.history(told.fleet.history, 10))


def test_keys_walk_through_the_fleet_and_the_selection_stays_with_its_box(told):
    fleet = three(told)
    screen = Screen(fleet)
    screen.draw(NOW, 24, "")
    for key in (b"j", b"\x1b[B", b"j"):
        screen.press(key)
    screen.press(b"k")
    assert "alarmed" in shown(screen.draw(NOW, 24, ""))
    screen.press(b"\r")
    assert shown(screen.draw(NOW, 24, "")).startswith("A / B / alarmed  online")
    screen.press(b"q")
    screen.press(b"h")
    assert "1 changes of alarms" in shown(screen.draw(NOW, 24, ""))
    seen = []
    for key in (b"\x1b", b"x", b"q"):
        screen.press(key)
        seen.append(screen.shown)
    assert seen == [Shown.FLEET, Shown.FLEET, Shown.NOTHING]


def test_a_page_shows_what_is_selected():
    assert [Page(rows=10, selected=place).first for place in (0, 9, 10, 99)] == [0, 0, 1, 90]


def test_what_a_box_says_does_not_reach_the_terminal_raw(told):
    told.fleet.take("rec/v1/A/B\x1b[2J/C/what", b"", NOW)
    assert "\x1b" not in shown(view.overview(told.fleet, told.fleet.sorted(NOW), NOW, None))


def test_a_box_for_programs(told):
    fleet = three(told)
    told_of = [json.loads(summary.line(box, NOW)) for box in fleet.sorted(NOW)]
    assert [(one["serial"], one["state"], one["alarms"]["major"]) for one in told_of] == [
        ("gone", "offline", 0),
        ("alarmed", "online", 1),
        ("good", "online", 0),
    ]
