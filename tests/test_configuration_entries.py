"""Every change of the configuration is in the ledger, with who and why."""

import hashlib
import os
import pwd
from pathlib import Path

import pytest

from appliance.cli import main
from storage.archive import Archive
from storage.ledger.entries import Configuration, parse
from tests.assembling import assembling
from tests.live import wait_until
from tests.scenario import call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import frames_of, write_pcap

STATED = """
[site]
changed_by = "Suzuki"
change_reason = "parts of ten minutes"
[recording]
segment_s = 600
"""


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "one.pcap"
    write_pcap(path, frames_of(play(call("one@example", talk_s=1.0)).packets))
    return path


def entered(archive: Path) -> list[tuple[str | None, str, str]]:
    """Digest, who and why of every configuration in the ledger."""
    lines = Archive(archive).ledger / "entries.jsonl"
    found = [parse(line) for line in lines.read_bytes().splitlines()] if lines.exists() else []
    return [(one.digest, one.who, one.why) for one in found if isinstance(one, Configuration)]


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def owner() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def imported(capture: Path, archive: Path, *options: str) -> None:
    assert main(["import", str(capture), "--output", str(archive), *options]) == 0


def test_imports_enter_what_they_are_given_when_it_is_another_one(capture: Path, tmp_path: Path) -> None:
    archive, file = tmp_path / "archive", tmp_path / "rokubox.toml"
    imported(capture, archive)
    assert entered(archive) == []
    first = write(file, "")
    for _ in range(2):
        imported(capture, archive, "--config", str(file))
    assert entered(archive) == [(first, owner(), "not stated")]
    second = write(file, STATED)
    imported(capture, archive, "--config", str(file))
    imported(capture, archive)
    assert entered(archive)[1:] == [(second, "Suzuki", "parts of ten minutes")]
    write(file, "")
    imported(capture, archive, "--config", str(file))
    assert entered(archive)[2:] == [(first, owner(), "not stated")]
    assert main(["verify", "--archive", str(archive)]) == 0


def test_commands_that_only_use_a_configuration_enter_none(capture: Path, tmp_path: Path) -> None:
    archive, file = tmp_path / "archive", tmp_path / "rokubox.toml"
    imported(capture, archive)
    write(file, "")
    assert main(["hold", "--set", "case", "--number", "2", "--why", "y", "--archive", str(archive)]) == 0
    assert entered(archive) == []


def test_the_daemon_enters_what_it_begins_with(tmp_path: Path) -> None:
    archive, file = tmp_path / "archive", tmp_path / "rokubox.toml"
    (archive / "journal").mkdir(parents=True)
    digest = write(file, STATED)
    for _ in range(2):
        with assembling(archive, "--config", str(file)):
            wait_until(lambda: entered(archive) == [(digest, "Suzuki", "parts of ten minutes")])
    with assembling(archive):
        wait_until(lambda: entered(archive)[1:] == [(None, "not stated", "not stated")])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('changed_by = "a\\nb"', "site.changed_by: one line of printable text"),
        (f'change_reason = "{"x" * 501}"', "site.change_reason"),
        ('change_resaon = "typing"', "site.change_resaon"),
    ],
)
def test_what_cannot_be_said(
    capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, problem: str
) -> None:
    file = tmp_path / "rokubox.toml"
    write(file, f"[site]\n{line}\n")
    assert main(["import", str(capture), "--output", str(tmp_path / "archive"), "--config", str(file)]) == 2
    assert problem in capsys.readouterr().err
