"""What the NOC and the outage ledger hear of an update."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.agent import updatewatch
from appliance.agent.updatewatch import UpdateWatch
from appliance.firmware import updatestatus
from appliance.firmware.asking import UpdateDesk
from appliance.firmware.updatestatus import Reason, State, UpdateStatus
from appliance.outages import planned
from appliance.outages.outage import fold
from appliance.show.labels import Language

NS = 1_000_000_000
STATUS = UpdateStatus(
    state=State.RESTARTING,
    source="url",
    began_ns=1_000 * NS,
    changed_ns=1_090 * NS,
    running="0.1.0",
    version="0.2.0",
    slot="B",
    stops_ns=1_100 * NS,
)
URL = "https://updates.example.jp/rokubox/rokubox-0.2.0.raucb"


def test_every_state_is_told_once_also_by_another_agent(tmp_path: Path) -> None:
    watch = UpdateWatch(tmp_path)
    assert watch.look() is None
    updatestatus.write(STATUS, tmp_path)
    assert watch.look() == STATUS
    assert watch.look() is None
    assert UpdateWatch(tmp_path, watch.told).look() is None
    updatestatus.write(replace(STATUS, state=State.GOOD), tmp_path)
    found = UpdateWatch(tmp_path, watch.told).look()
    assert found is not None
    assert found.state is State.GOOD


def test_a_restart_is_a_planned_outage_that_is_measured() -> None:
    after = replace(STATUS, state=State.GOOD, changed_ns=1_300 * NS, records_ns=1_175 * NS)
    lines = updatewatch.outage(STATUS, is_told=True) + updatewatch.outage(after, is_told=True)
    [outage] = fold(lines).values()
    assert (outage.began_ns, outage.notified_ns, outage.ended_ns) == (1_100 * NS, 1_090 * NS, 1_175 * NS)
    assert planned.title(outage.rows[0], Language.EN) == "planned: update of the software"
    assert updatewatch.facts(after)["not_recorded_s"] == 75.0
    [untold] = fold(updatewatch.outage(STATUS, is_told=False)).values()
    assert (untold.notified_ns, untold.ended_ns) == (None, None)


def test_an_agent_that_saw_nothing_of_the_restart_enters_it_afterwards() -> None:
    after = replace(STATUS, state=State.ROLLED_BACK, records_ns=1_400 * NS, reason=Reason.UNSTABLE)
    [outage] = fold(updatewatch.outage(after, is_told=False)).values()
    assert (outage.began_ns, outage.ended_ns) == (1_100 * NS, 1_400 * NS)


@pytest.mark.parametrize(
    ("state", "reason", "amiss"),
    [
        (State.ROLLED_BACK, Reason.DID_NOT_BOOT, True),
        (State.REFUSED, Reason.SIGNATURE, True),
        (State.FAILED, Reason.INSTALL, True),
        (State.REFUSED, Reason.SAME, False),
        (State.GOOD, None, False),
        (State.ON_TRIAL, None, False),
    ],
)
def test_who_is_called_for_what(state: State, reason: Reason | None, amiss: bool) -> None:
    assert updatewatch.is_amiss(replace(STATUS, state=state, reason=reason)) == amiss


def test_an_update_is_asked_for_by_a_file(tmp_path: Path) -> None:
    desk = UpdateDesk(sources=("https://updates.example.jp/rokubox/",), request=tmp_path / "request", folder=tmp_path)
    assert desk.ask("https://evil.example/x.raucb") == "not a URL below one of [update] sources"
    assert not desk.request.exists()
    assert desk.ask(URL) == ""
    assert desk.request.read_text() == f"{URL}\n"
    assert desk.ask(URL) == "an update is under way"
    desk.request.unlink()
    updatestatus.write(replace(STATUS, state=State.INSTALLING), tmp_path)
    assert desk.ask(URL) == "an update is under way"
