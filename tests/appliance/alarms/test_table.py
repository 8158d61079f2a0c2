"""The state machine: observations and clocks in, changes out."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.alarms.alarm import Acknowledgement, AlarmKey, AlarmState, Condition, Shelving
from appliance.alarms.catalogue import catalogue
from appliance.alarms.kind import AlarmName, Severity
from appliance.alarms.table import MAX_ALARMS, NS, AlarmTable
from capture.bootline import ClockReading

EPOCH_NS = 1_790_000_000 * NS
NO_FRAMES = Condition(key=AlarmKey(resource="span:eth1", name=AlarmName.NO_FRAMES))  # 60 s, 30 s
LOSS = Condition(key=AlarmKey(resource="span:eth1", name=AlarmName.MIRROR_PORT_SENDS))  # happens; 300 s
SPACE = Condition(key=AlarmKey(resource="disk", name=AlarmName.DISK_SPACE))  # 10 s, 60 s


def at(seconds, boot_id="boot-1"):
    return ClockReading(EPOCH_NS + round(seconds * NS), round(seconds * NS), boot_id)


def table(**given):
    return AlarmTable(now=at(0), **given)


def states(changes):
    return [(change.key.name, change.state.value, change.severity.value) for change in changes]


def test_it_is_raised_when_it_has_held_for_the_delay():
    alarms = table()
    for second in range(60):
        alarms.observe("mirror", [NO_FRAMES], at(second))
    assert alarms.take_changes() == []
    alarms.observe("mirror", [NO_FRAMES], at(60))
    [raised] = alarms.take_changes()
    assert raised == alarms.raised[0]
    assert (raised.state, raised.severity, raised.count, raised.sequence) == ("raised", "critical", 1, 1)
    assert raised.first_raised_ns == raised.last_changed_ns == EPOCH_NS + 60 * NS
    assert (raised.boot_id, raised.test, raised.acknowledged, raised.shelved) == ("boot-1", False, None, None)


def test_the_delay_runs_out_without_another_observation():
    alarms = table()
    alarms.observe("mirror", [NO_FRAMES], at(0))
    alarms.advance(at(61))
    assert states(alarms.take_changes()) == [("no_frames", "raised", "critical")]


def test_what_is_gone_before_the_delay_is_forgotten():
    alarms = table()
    alarms.observe("mirror", [NO_FRAMES], at(0))
    alarms.observe("mirror", [], at(59))
    alarms.observe("mirror", [NO_FRAMES], at(60))
    alarms.observe("mirror", [NO_FRAMES], at(119))
    assert alarms.take_changes() == []


def test_it_is_cleared_when_it_has_been_gone_for_the_delay():
    alarms = table()
    alarms.observe("mirror", [NO_FRAMES], at(0))
    alarms.advance(at(60))
    alarms.observe("mirror", [], at(100))
    alarms.observe("mirror", [NO_FRAMES], at(120))  # back: it goes on standing
    alarms.observe("mirror", [], at(130))
    alarms.advance(at(159))
    assert [(change.state, change.count) for change in alarms.take_changes()] == [("raised", 1), ("raised", 2)]
    alarms.advance(at(160))
    [cleared] = alarms.take_changes()
    assert (cleared.state, cleared.count, cleared.sequence) == (AlarmState.CLEARED, 2, 3)
    assert cleared.first_raised_ns == EPOCH_NS + 60 * NS
    assert cleared.cleared_ns == EPOCH_NS + 160 * NS
    assert alarms.raised == []


def test_another_source_says_nothing_about_it():
    alarms = table()
    alarms.observe("mirror", [NO_FRAMES], at(0))
    alarms.observe("disk", [], at(59))
    alarms.advance(at(60))
    assert states(alarms.take_changes()) == [("no_frames", "raised", "critical")]


def test_a_clock_that_is_set_neither_raises_nor_clears():
    alarms = table()
    alarms.observe("mirror", [NO_FRAMES], at(0))
    alarms.advance(at(1)._replace(real_ns=EPOCH_NS * 2))
    assert alarms.take_changes() == []


def test_what_happens_is_raised_at_once_and_counted_until_it_stops():
    alarms = table()
    alarms.happened("mirror", LOSS, at(0), times=3)
    alarms.happened("mirror", LOSS, at(30))
    assert [change.count for change in alarms.take_changes()] == [3]
    alarms.happened("mirror", LOSS, at(61))  # a count that has grown is told once a minute
    assert [change.count for change in alarms.take_changes()] == [5]
    alarms.advance(at(360))
    assert alarms.take_changes() == []
    alarms.advance(at(361))
    assert states(alarms.take_changes()) == [("mirror_port_sends", "cleared", "critical")]


def test_worse_at_once_less_bad_when_it_lasts():
    alarms = table()
    worse = replace(SPACE, severity=Severity.CRITICAL)
    alarms.observe("disk", [SPACE], at(0))
    alarms.advance(at(10))
    alarms.acknowledge(SPACE.key, Acknowledgement(by="noc", at_ns=1), at(11))
    alarms.observe("disk", [worse], at(12))
    alarms.observe("disk", [SPACE], at(20))
    alarms.observe("disk", [worse], at(40))
    alarms.observe("disk", [SPACE], at(50))
    alarms.advance(at(109))
    changes = alarms.take_changes()
    assert [change.severity.value for change in changes] == ["major", "major", "critical"]
    assert [change.acknowledged is not None for change in changes] == [False, True, False]
    alarms.advance(at(110))
    assert states(alarms.take_changes()) == [("disk_space", "raised", "major")]


def test_a_condition_may_bring_its_own_delay():
    alarms = table()
    lost = Condition(key=AlarmKey(resource="E1 line 1", name=AlarmName.SILENT_CHANNEL), raise_after_s=10)
    alarms.observe("levels", [lost], at(0))
    alarms.advance(at(9))
    assert alarms.take_changes() == []
    alarms.advance(at(10))
    assert states(alarms.take_changes()) == [("silent_channel", "raised", "major")]


def test_a_test_needs_no_delay_and_says_what_it_is():
    alarms = table()
    alarms.observe("test", [replace(NO_FRAMES, test=True)], at(0))
    alarms.observe("test", [], at(5))
    assert [(change.state, change.test) for change in alarms.take_changes()] == [("raised", True), ("cleared", True)]


def test_shelved_it_is_raised_all_the_same_and_comes_back_by_itself():
    alarms = table()
    shelving = Shelving(by="noc", at_ns=0, until_ns=EPOCH_NS + 100 * NS, comment="works at the switch")
    alarms.shelve(NO_FRAMES.key, shelving, at(0))
    alarms.observe("mirror", [NO_FRAMES], at(0))
    alarms.advance(at(60))
    alarms.advance(at(99))
    assert [change.shelved for change in alarms.take_changes()] == [shelving]
    alarms.advance(at(100))
    assert [change.shelved for change in alarms.take_changes()] == [None]
    assert not alarms.shelved


def test_acknowledging_what_does_not_stand_is_refused():
    assert not table().acknowledge(NO_FRAMES.key, Acknowledgement(by="noc", at_ns=0), at(0))
    assert not table().unshelve(NO_FRAMES.key, at(0))


def test_after_a_restart_it_stands_until_its_source_says_otherwise():
    alarms = table()
    alarms.observe("mirror", [NO_FRAMES], at(0))
    alarms.happened("mirror", LOSS, at(0))
    alarms.advance(at(60))
    later = AlarmTable(alarms.raised, sequence=alarms.sequence, now=at(1000, "boot-2"))
    later.advance(at(1299, "boot-2"))
    assert later.take_changes() == []
    later.advance(at(1300, "boot-2"))  # what only happens is over
    assert states(later.take_changes()) == [("mirror_port_sends", "cleared", "critical")]
    later.keep_sources(["disk"], at(1400, "boot-2"))  # the configuration has no mirror port any more
    later.advance(at(1430, "boot-2"))
    [cleared] = later.take_changes()
    assert (cleared.key, cleared.state, cleared.sequence, cleared.boot_id) == (NO_FRAMES.key, "cleared", 4, "boot-2")
    assert cleared.first_raised_ns == EPOCH_NS + 60 * NS


def test_the_table_is_bounded():
    alarms = table()
    many = [Condition(key=AlarmKey(resource=f"span:{n}", name=AlarmName.NO_FRAMES)) for n in range(MAX_ALARMS + 5)]
    alarms.observe("mirror", many, at(0))
    full = Condition(key=AlarmKey(resource="alarms", name=AlarmName.ALARM_TABLE_FULL))
    alarms.observe("table", [full], at(0))
    assert alarms.refused == 5
    assert states(alarms.take_changes()) == [("alarm_table_full", "raised", "major")]


def test_facts_are_bounded():
    alarms = table()
    alarms.happened("mirror", replace(LOSS, facts={"why": "x" * 1000, "packets": 7}), at(0))
    [change] = alarms.take_changes()
    assert change.facts == {"why": "x" * 200, "packets": 7}


@given(st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=40))
def test_every_clear_follows_a_raise_and_sequences_have_no_holes(steps):
    alarms, now_s, changes = table(), 0, []
    for wait_s, holds in steps:
        now_s += wait_s
        alarms.observe("mirror", [NO_FRAMES] if holds else [], at(now_s))
        changes += alarms.take_changes()
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    standing = False
    for change in changes:
        assert standing or change.state is AlarmState.RAISED
        standing = change.state is AlarmState.RAISED
    assert standing == bool(alarms.raised)


def test_ids_are_stable_and_fit_a_topic():
    for name in AlarmName:
        id = AlarmKey(resource="a/b#+ x", name=name).id
        assert not set(id) & set("/+# ")
    assert NO_FRAMES.key.id == AlarmKey(resource="span:eth1", name=AlarmName.NO_FRAMES).id
    assert len({AlarmKey(resource="x", name=name).id for name in catalogue()}) == len(catalogue())
