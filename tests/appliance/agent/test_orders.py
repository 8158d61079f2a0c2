"""Orders on a table of alarms."""

import pytest

from appliance.agent.orders import REPORTED_SOURCE, Order, Orders
from appliance.alarms.alarm import AlarmKey, Condition
from appliance.alarms.kind import AlarmName
from appliance.alarms.table import NS, AlarmTable
from capture.bootline import ClockReading

NOW = ClockReading(1_790_000_000 * NS, 0, "boot")
ROT = Condition(key=AlarmKey(resource="disk", name=AlarmName.BIT_ROT))


@pytest.fixture
def orders():
    table = AlarmTable(now=NOW)
    table.observe("archive", [ROT], NOW)
    done: list = []
    return Orders(table=table, noted=done.append, errands={Order.HEALTH: lambda: done.append("health")})


@pytest.mark.parametrize("named", [ROT.key.id, "305", 305])
def test_an_alarm_is_acknowledged_by_id_or_number(orders, named):
    outcome = orders.carry_out("ack", {"alarm": named, "comment": "new  disk"}, "Sato", NOW)
    assert (outcome.problem, outcome.facts) == ("", {"alarm": ROT.key.id})
    [alarm] = orders.table.raised
    assert (alarm.acknowledged.by, alarm.acknowledged.comment) == ("Sato", "new disk")


def test_shelved_and_taken_from_the_shelf(orders):
    assert not orders.carry_out("shelve", {"alarm": "305", "hours": 2}, "Sato", NOW).problem
    assert orders.table.raised[0].shelved.until_ns == NOW.real_ns + 7200 * NS
    assert not orders.carry_out("unshelve", {"alarm": "305"}, "Sato", NOW).problem
    assert orders.table.raised[0].shelved is None


def test_a_test_alarm_stands_for_its_time(orders):
    assert not orders.carry_out("test", {"type": "no_frames", "seconds": 5}, "Sato", NOW).problem
    assert [one.test for one in orders.test_conditions(NOW)] == [True]
    assert orders.test_conditions(NOW._replace(boot_ns=5 * NS)) == []


@pytest.mark.parametrize(
    ("order", "arguments", "problem"),
    [
        (
            "reboot",
            {},
            "no order 'reboot'; there are ack, shelve, unshelve, test, report, over, health, alarms, selftest, update",
        ),
        ("ack", {}, "argument 'alarm' is missing, or no text"),
        ("ack", {"alarm": True}, "argument 'alarm' is missing, or no text"),
        ("ack", {"alarm": "x"}, "no alarm 'x' stands"),
        (
            "ack",
            {"alarm": "305", "comment": "x" * 201},
            "argument 'comment' must be one line of at most 200 characters",
        ),
        ("shelve", {"alarm": "305", "hours": 169}, "argument 'hours' must be a whole number from 1 to 168"),
        ("shelve", {"alarm": "305"}, "argument 'hours' must be a whole number from 1 to 168"),
        ("unshelve", {"alarm": "305"}, "no alarm '305' is shelved"),
        ("test", {"type": "x"}, "no alarm of type 'x'; docs/alarms.md lists them"),
        ("report", {"type": "bit_rot"}, "'bit_rot' cannot be reported; what can is update_failed"),
        ("selftest", {}, "selftest is not possible on this box"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(orders, order, arguments, problem):
    assert orders.carry_out(order, arguments, "Sato", NOW).problem == problem


def test_a_number_that_stands_twice_is_no_name(orders):
    other = Condition(key=AlarmKey(resource="other disk", name=AlarmName.BIT_ROT))
    orders.table.observe("archive", [ROT, other], NOW)
    assert orders.carry_out("ack", {"alarm": "305"}, "Sato", NOW).problem == (
        "2 alarms of number 305 stand; give the id of one"
    )


def test_what_another_program_reports_stands_until_it_takes_it_back_also_over_a_restart(orders):
    assert not orders.carry_out("report", {"type": "update_failed", "what": "wrong signature"}, "root", NOW).problem
    orders.table.observe(REPORTED_SOURCE, orders.reported.values(), NOW)
    later = Orders(table=AlarmTable(orders.table.raised, now=NOW), noted=orders.noted, errands={})
    later.table.observe(REPORTED_SOURCE, later.reported.values(), NOW)
    [alarm] = [one for one in later.table.raised if one.key.name == "update_failed"]
    assert (alarm.key.resource, alarm.facts) == ("firmware", {"what": "wrong signature"})
    assert not later.carry_out("over", {"type": "update_failed"}, "root", NOW).problem
    later.table.observe(REPORTED_SOURCE, later.reported.values(), NOW)
    assert [one.key.name for one in later.table.raised] == ["bit_rot"]


def test_an_update_is_passed_on_and_refused_with_its_reason(orders):
    assert (
        orders.carry_out("update", {"url": "https://a/b"}, "noc", NOW).problem == "update is not possible on this box"
    )
    asked = []

    def update(url):
        asked.append(url)
        return "no such source" if "evil" in url else ""

    orders.update = update
    assert not orders.carry_out("update", {"url": "https://a/b"}, "noc", NOW).problem
    assert orders.carry_out("update", {"url": "https://evil/b"}, "noc", NOW).problem == "no such source"
    assert asked == ["https://a/b", "https://evil/b"]
