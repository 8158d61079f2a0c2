"""A ledger that is damaged, as whoever stands before the box meets it."""

from pathlib import Path

import pytest

from appliance.cli import main
from appliance.condition import observed
from appliance.condition.concerns import Concern
from appliance.condition.record import NAME, Condition
from tests.assembling import assembling
from tests.scenario import call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import frames_of, write_pcap


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "one.pcap"
    write_pcap(path, frames_of(play(call("one@example", talk_s=1.0)).packets))
    return path


@pytest.fixture
def archive(capture: Path, tmp_path: Path) -> Path:
    archive = tmp_path / "archive"
    assert imported(capture, archive) == 0
    return archive


def imported(capture: Path, archive: Path) -> int:
    return main(["import", str(capture), "--output", str(archive)])


def verified(archive: Path) -> int:
    return main(["verify", "--archive", str(archive)])


def standing(archive: Path) -> list[tuple[Concern, str]]:
    condition = observed.read(archive / "run", NAME, Condition)
    assert condition is not None
    return [(one.concern, one.part) for one in condition.concerns if one.concern is Concern.LEDGER_FAULT]


def spoil(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[:-9])


def test_a_damaged_checkpoint_mends_itself(archive: Path, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(archive / "ledger/checkpoint")
    assert verified(archive) in (14, 16)
    capsys.readouterr()
    assert imported(capture, archive) == 0
    assert "rokubox: alarm: the ledger's checkpoint was damaged; its copy on the share" in capsys.readouterr().err
    assert verified(archive) == 0


def test_the_daemon_and_commands_tell_of_it_too(archive: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (archive / "journal").mkdir()
    (archive / "ledger/checkpoint").unlink()
    with assembling(archive):
        pass
    told = "alarm: the ledger's checkpoint was lost; its copy on the share took its place"
    assert f"rokubox-assemble: {told}" in capfd.readouterr().err
    assert standing(archive) == [(Concern.LEDGER_FAULT, "checkpoint")]
    (archive / "ledger/checkpoint").unlink()
    assert main(["rotate-key", "--why", "y", "--archive", str(archive)]) == 0
    assert f"rokubox: {told}" in capfd.readouterr().err


def test_a_ledger_that_cannot_be_used_is_a_concern_until_it_can(archive: Path) -> None:
    (archive / "journal").mkdir()
    key = (archive / "ledger/device.key").rename(archive / "elsewhere")
    with assembling(archive):
        pass
    assert standing(archive) == [(Concern.LEDGER_FAULT, "")]
    key.rename(archive / "ledger/device.key")
    with assembling(archive):
        pass
    assert standing(archive) == []


def test_a_broken_ledger_goes_on_when_a_person_says_so(
    archive: Path, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(archive / "ledger/checkpoint", archive / "recordings/checkpoint.txt")
    capsys.readouterr()
    assert imported(capture, archive) == 4
    [refusal] = capsys.readouterr().err.splitlines()
    assert refusal == (
        "rokubox: the ledger's checkpoint is damaged, and so is its copy on the share; "
        "`rokubox verify` tells more, `rokubox ledger --help` what to do"
    )
    assert main(["ledger", "repair", "--who", "suzuki", "--why", "bad sectors", "--archive", str(archive)]) == 0
    assert "2 lines taken over" in capsys.readouterr().out
    assert verified(archive) == 0
    assert "goes on after a broken one (suzuki" in capsys.readouterr().err
    assert imported(capture, archive) == 0
    assert verified(archive) == 0
    assert main(["ledger", "repair", "--why", "again", "--archive", str(archive)]) == 3
    assert "not broken" in capsys.readouterr().err
