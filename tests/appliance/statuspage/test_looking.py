"""What the daemons have written, read for the status page."""

from pathlib import Path

import pytest

from appliance import cli
from appliance.agent import agentstatus
from appliance.agent.alarmbook import AlarmBook
from appliance.alarms.alarm import AlarmState
from appliance.alarms.kind import AlarmName
from appliance.alarms.table import AlarmTable
from appliance.condition import observed
from appliance.provisioning import outcome
from appliance.provisioning.outcome import Outcome, Told
from appliance.statuspage import looking
from appliance.telemetry import statefile
from appliance.telemetry.statefile import StateFile
from capture.bootline import ClockReading
from tests.appliance.statuspage.test_page import AGENT, NOW_NS, alarm

CONFIGURATION = """
[site]
customer = "Example"
[[span]]
interface = "span0"
[storage]
archive = "{archive}"
"""


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A box whose agent has written what it knows, and that was given a medium."""
    archive, run = tmp_path / "archive", tmp_path / "run"
    run.mkdir()
    agent = archive / statefile.DIRECTORY
    agent.mkdir(parents=True)
    (tmp_path / "rokubox.toml").write_text(CONFIGURATION.format(archive=archive))
    assert observed.write(agent, agentstatus.NAME, AGENT)
    assert observed.write(run, outcome.NAME, Told(at_ns=NOW_NS, outcome=Outcome.REFUSED, problems=("a", "b")))
    with StateFile(agent) as state:
        book = AlarmBook(state)
        book.note([alarm(AlarmName.NO_FRAMES)])
        with state.transaction() as connection:
            book.write(connection, AlarmTable(now=ClockReading(NOW_NS, 0, "boot")))
    return tmp_path


def test_everything_is_found(box: Path) -> None:
    seen = looking.look(box / "rokubox.toml", None, box / "run")
    assert (seen.customer, seen.mirror_ports, seen.problem) == ("Example", ("span0",), "")
    assert seen.agent == AGENT
    assert [(one.key.name, one.state) for one in seen.alarms] == [(AlarmName.NO_FRAMES, AlarmState.RAISED)]
    assert seen.medium is not None
    assert seen.medium.problems == ("a", "b")
    assert all(one.name != "lo" for one in seen.interfaces)


def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "rokubox.toml").write_text("[site]\nbad = 1\n")
    seen = looking.look(tmp_path / "rokubox.toml", tmp_path / "nowhere", tmp_path / "run")
    assert "site.bad" in seen.problem
    assert (seen.agent, seen.alarms, seen.medium) == (None, (), None)


def test_the_command_shows_it(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--config", str(box / "rokubox.toml"), "--language", "en"]) == 0
    told = capsys.readouterr().out
    assert "Example" in told
    assert "101 " in told
