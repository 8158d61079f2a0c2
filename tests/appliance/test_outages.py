"""When the recorder itself may have missed packets, told by the journal's events."""

import pytest

from appliance.assembly.outages import MARGIN_NS, MAX_OUTAGES, Outages
from capture.events import EventKind
from capture.journal import Event

S = 1_000_000_000


def event(at_s: float, kind: str, **detail: str | int) -> Event:
    return Event(ts_ns=round(at_s * S), kind=kind, detail=detail)


def seen(*what: Event | float) -> Outages:
    """Outages after events, and numbers: times up to which packets were seen."""
    outages = Outages()
    for each in what:
        if isinstance(each, Event):
            outages.note(each)
            outages.see(each.ts_ns)
        else:
            outages.see(round(each * S))
    return outages


CASES = [
    ("a first start", [event(10, "start")], []),
    ("a stop and a start", [event(10, "start"), 20.0, event(21, "stop"), event(25, "start")], [(21, 25)]),
    ("killed, and a new ring", [event(10, "start"), 20.0, event(25, "start", continued=0)], [(20, 25)]),
    ("killed, and the same ring", [event(10, "start"), 20.0, event(25, "start", continued=1)], []),
    ("taken over while still recording", [event(10, "start"), 30.0, event(25, "start")], []),
    (
        "drops between two readings",
        [event(10, "counters", interface=0, drops=0), event(11, "counters", interface=0, drops=3)],
        [(10, 11)],
    ),
    ("drops at the first reading", [event(11, "counters", interface=0, drops=3)], [(10, 11)]),
    (
        "drops of another interface",
        [event(10, "counters", interface=0), event(10.5, "counters", interface=1), event(11, "counters", nic_missed=1)],
        [(10, 11)],
    ),
    (
        "drops that go on",
        [event(10 + n, "counters", interface=0, drops=n % 2) for n in range(4)],
        [(10, 11), (12, 13)],
    ),
    (
        "told a moment later",
        [event(9.75, "counters", at_ns=10 * S), event(10.75, "counters", at_ns=11 * S, drops=1)],
        [(10, 11)],
    ),
    (
        "drops long ago, told late",
        [event(20, "counters", drops=1), event(12, "counters", interface=1, at_ns=12 * S, drops=1)],
        [(19, 20), (11, 12)],
    ),
    ("a sync that failed", [20.0, event(19, "unsynced", since_ns=19 * S, until_ns=20 * S - 1)], [(19, 20)]),
    ("what says nothing of loss", [event(8, "interface", change="mtu"), event(9, "tick"), event(9, "torn_tail")], []),
]


@pytest.mark.parametrize(("told", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_outages(told: list[Event | float], expected: list[tuple[float, float]]) -> None:
    outages = seen(*told)
    found = [*outages.spans, *(span for spans in outages.drops.values() for span in spans)]
    assert found == [(low * S, high * S) for low, high in expected]


def carrying(at_s: float, interface: int) -> Event:
    return event(at_s, "counters", interface=interface, packets=50)


def dropping(at_s: float, interface: int) -> Event:
    return event(at_s, "counters", interface=interface, packets=50, drops=3)


def port(at_s: float, interface: int, up: int) -> Event:
    return event(at_s, "interface", interface=interface, up=up)


PORTS = [
    ("a port that was down", [port(15, 0, 0), port(16, 0, 0), port(18, 0, 1)], [(15, 18)]),
    ("a port that never was", [port(18, 0, 1)], []),
    ("one that is still down", [carrying(14, 0), port(15, 0, 0)], [(15, 30)]),
    ("one that was down before the call began", [carrying(4, 0), port(5, 0, 0), port(18, 0, 1)], [(5, 18)]),
    (
        "likewise, while another port showed the call",
        [carrying(4, 0), port(5, 0, 0), carrying(12, 1), port(18, 0, 1)],
        [],
    ),
    ("one of two that is left down", [carrying(4, 0), port(5, 0, 0), carrying(12, 1)], []),
    ("one of two goes down during the call", [carrying(14, 0), carrying(14, 1), port(15, 0, 0)], [(15, 30)]),
    (
        "one of two that carried nothing",
        [event(14, "counters", interface=0, packets=0), carrying(14, 1), port(15, 0, 0), port(18, 0, 1)],
        [],
    ),
    ("both", [carrying(4, 0), carrying(4, 1), port(5, 0, 0), port(6, 1, 0), port(18, 0, 1)], [(5, 30)]),
    (
        "a restart that went on tells anew",
        [carrying(4, 0), port(15, 0, 0), event(16, "start", continued=1), port(16, 0, 1)],
        [(15, 16)],
    ),
    (
        "a restart with other ports",
        [carrying(4, 0), carrying(4, 1), port(15, 1, 0), event(16, "start", continued=1), port(16, 0, 1)],
        [(15, 16)],
    ),
    (
        "a start with new rings",
        [carrying(14, 0), port(15, 0, 0), 18.0, event(20, "start", continued=0), port(20, 0, 1)],
        [(15, 20)],
    ),
]


@pytest.mark.parametrize(("told", "expected"), [case[1:] for case in PORTS], ids=[case[0] for case in PORTS])
def test_ports_that_are_deaf(told: list[Event | float], expected: list[tuple[float, float]]) -> None:
    """For a call from 10 s to 30 s."""
    found = seen(*told).within(10 * S, 30 * S)
    assert found == [(low * S - MARGIN_NS, high * S + MARGIN_NS) for low, high in expected]


STREAMS = [
    ("another port is deaf", [carrying(14, 0), carrying(14, 1), port(15, 1, 0), port(18, 1, 1)], {0}, []),
    ("its port is deaf", [carrying(14, 0), carrying(14, 1), port(15, 1, 0), port(18, 1, 1)], {1}, [(15, 18)]),
    ("another port is still deaf", [carrying(14, 0), carrying(14, 1), port(15, 1, 0)], {0}, []),
    ("its port is still deaf", [carrying(14, 0), carrying(14, 1), port(15, 1, 0)], {1}, [(15, 30)]),
    ("another port drops", [carrying(14, 0), carrying(14, 1), dropping(15, 1)], {0}, []),
    ("its port drops", [carrying(14, 0), carrying(14, 1), dropping(15, 1)], {1}, [(14, 15)]),
    ("both ports showed it", [carrying(14, 0), carrying(14, 1), dropping(15, 1)], {0, 1}, [(14, 15)]),
    ("nobody knows its port", [carrying(14, 0), carrying(14, 1), dropping(15, 1)], set(), [(14, 15)]),
    ("a stop concerns all ports", [carrying(14, 0), 14.0, event(20, "start", continued=0)], {0}, [(14, 20)]),
    ("its port was idle, as in a hold", [event(14, "counters", packets=0), port(15, 0, 0)], {0}, [(15, 30)]),
]


@pytest.mark.parametrize(
    ("told", "interfaces", "expected"), [case[1:] for case in STREAMS], ids=[case[0] for case in STREAMS]
)
def test_a_stream_is_excused_by_the_ports_it_came_over(
    told: list[Event | float], interfaces: set[int], expected: list[tuple[float, float]]
) -> None:
    found = seen(*told).within(10 * S, 30 * S, interfaces=frozenset(interfaces))
    assert found == [(low * S - MARGIN_NS, high * S + MARGIN_NS) for low, high in expected]


def test_within_joins_what_touches_and_adds_margins() -> None:
    outages = Outages(spans=[(1 * S, 2 * S), (2 * S + MARGIN_NS, 3 * S), (7 * S, 8 * S)])
    assert outages.within(0, 5 * S) == [(1 * S - MARGIN_NS, 3 * S + MARGIN_NS)]
    assert outages.within(4 * S, 6 * S) == []


def test_a_port_that_is_still_down_is_an_outage_until_now() -> None:
    assert seen(event(5, EventKind.INTERFACE, up=0)).within(0, 9 * S) == [(5 * S - MARGIN_NS, 9 * S + MARGIN_NS)]


def test_the_oldest_are_forgotten() -> None:
    outages = Outages()
    for number in range(MAX_OUTAGES + 10):
        outages.add(number * S, number * S + 1)
    assert len(outages.spans) == MAX_OUTAGES
    assert outages.spans[0][0] == 10 * S


def test_what_a_disk_did_not_keep_is_damage() -> None:
    outages = seen(20.0, event(19, "unsynced", since_ns=19 * S, until_ns=20 * S))
    assert [outages.why(at * S, at * S + S // 2) for at in (17, 19)] == [(False, False), (True, False)]
