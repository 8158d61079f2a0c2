"""How an update comes to its end: what the status is after which start."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.firmware import trial, updatestatus
from appliance.firmware.health import ServiceState, Steadiness
from appliance.firmware.trial import TrialSettings
from appliance.firmware.updatestatus import Attempt, Reason, State, UpdateStatus
from storage.archive import Archive

INSTALLED = UpdateStatus(
    state=State.RESTARTING,
    source="medium",
    began_ns=1,
    changed_ns=2,
    running="0.1.0",
    version="0.2.0",
    bundle="ab",
    slot="B",
    stops_ns=3,
)
UNSTABLE = Attempt(boot_id="b", at_ns=5, reason=Reason.UNSTABLE, detail="rokubox-capture is not up")


@pytest.mark.parametrize(
    ("before", "slot", "began", "state", "reason"),
    [
        (INSTALLED, "A", False, State.ROLLED_BACK, Reason.DID_NOT_BOOT),
        (INSTALLED, "A", True, State.ROLLED_BACK, Reason.GATE),
        (replace(INSTALLED, state=State.ON_TRIAL, attempts=(UNSTABLE,)), "A", True, State.ROLLED_BACK, Reason.UNSTABLE),
        (
            replace(INSTALLED, state=State.ON_TRIAL, attempts=(UNSTABLE, Attempt(boot_id="c", at_ns=6))),
            *("A", True, State.ROLLED_BACK, Reason.NO_END),
        ),
        (replace(INSTALLED, state=State.ON_TRIAL, attempts=(UNSTABLE,)), "B", True, State.GOOD, None),
        (replace(INSTALLED, state=State.INSTALLING), "A", False, State.FAILED, Reason.INSTALL),
        (replace(INSTALLED, state=State.DOWNLOADING), "A", False, State.REFUSED, Reason.DOWNLOAD),
    ],
)
def test_an_ordinary_start_ends_an_update(
    before: UpdateStatus, slot: str, began: bool, state: State, reason: Reason | None
) -> None:
    after = trial.settled(before, slot, 9, began=began)
    assert after is not None
    assert (after.state, after.reason, after.changed_ns) == (state, reason, 9)


@pytest.mark.parametrize("state", [State.GOOD, State.ROLLED_BACK, State.REFUSED, State.FAILED])
def test_what_has_ended_stays(state: State) -> None:
    assert trial.settled(replace(INSTALLED, state=state), "A", 9, began=True) is None


def test_each_start_of_a_new_slot_is_an_attempt() -> None:
    settings = TrialSettings(archive=Archive(Path("/nowhere")), slot="B", boot_id="b1", running="0.2.0")
    first = trial.begun(INSTALLED, settings, 4)
    assert (first.state, first.attempts) == (State.ON_TRIAL, (Attempt(boot_id="b1", at_ns=4, reason=Reason.NO_END),))
    second = trial.begun(first, replace(settings, boot_id="b2"), 5)
    assert [attempt.boot_id for attempt in second.attempts] == ["b1", "b2"]


def test_a_slot_without_a_word_of_its_update_is_on_trial_all_the_same() -> None:
    settings = TrialSettings(archive=Archive(Path("/nowhere")), slot="B", boot_id="b1", running="0.2.0")
    for status in (None, replace(INSTALLED, state=State.GOOD)):
        found = trial.begun(status, settings, 4)
        assert (found.state, found.slot, found.version, len(found.attempts)) == (State.ON_TRIAL, "B", "0.2.0", 1)


def test_the_status_is_kept(tmp_path: Path) -> None:
    assert updatestatus.read(tmp_path) is None
    status = replace(INSTALLED, attempts=(UNSTABLE,), reason=Reason.UNSTABLE)
    updatestatus.write(status, tmp_path)
    assert updatestatus.read(tmp_path) == status
    (tmp_path / updatestatus.NAME).write_bytes(b'{"state": ')
    assert updatestatus.read(tmp_path) is None


def states(*, restarts: int = 0, active: bool = True) -> dict[str, ServiceState]:
    return {"capture": ServiceState(active=active, restarts=restarts), "agent": ServiceState(active=True, restarts=0)}


def test_steady_is_up_for_a_while_without_a_restart() -> None:
    steadiness = Steadiness(steady_s=60)
    assert not steadiness.see(states(active=False), 0)
    assert "capture is not up" in steadiness.complaint()
    assert not steadiness.see(states(), 10)
    assert not steadiness.see(states(), 69)
    assert steadiness.see(states(), 70)


def test_a_service_that_dies_again_and_again_is_never_steady() -> None:
    steadiness = Steadiness(steady_s=60)
    assert not any(steadiness.see(states(restarts=now // 10), now) for now in range(600))
    assert steadiness.complaint() == "capture was started again 59 times"
