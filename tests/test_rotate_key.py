"""`rokubox rotate-key`, in process and by the daemon: what was given out before goes on proving."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.custody.archivesocket import NAME
from storage.ledger.entries import Key, parse
from tests.assembling import assembling
from tests.live import wait_until
from tests.scenario import call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import frames_of, write_pcap


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "one.pcap"
    write_pcap(path, frames_of(play(call("one@example", talk_s=1.0)).packets))
    archive = tmp_path / "archive"
    assert main(["import", str(path), "--output", str(archive)]) == 0
    return archive


def verified(archive: Path, *options: str) -> int:
    return main(["verify", "--archive", str(archive), *options])


def entered(archive: Path) -> list[Key]:
    found = [parse(line) for line in (archive / "ledger" / "entries.jsonl").read_bytes().splitlines()]
    return [one for one in found if isinstance(one, Key)]


@pytest.mark.parametrize("by_daemon", [False, True])
def test_the_old_public_key_and_checkpoint_go_on_proving(archive: Path, tmp_path: Path, by_daemon: bool) -> None:
    kept = {name: tmp_path / name for name in ("device-key.pem", "checkpoint.txt")}
    for name, path in kept.items():
        shutil.copy(archive / "recordings" / name, path)
    (archive / "journal").mkdir()
    with assembling(archive) if by_daemon else nullcontext():
        if by_daemon:
            wait_until((archive / "run" / NAME).exists)
        for number in (1, 2):
            why = f"rotation {number}"
            assert main(["rotate-key", "--who", "suzuki", "--why", why, "--archive", str(archive)]) == 0
        assert (archive / "run" / NAME).exists() == by_daemon
    assert [(one.who, one.why) for one in entered(archive)] == [("suzuki", "rotation 1"), ("suzuki", "rotation 2")]
    new = archive / "recordings" / "device-key.pem"
    assert new.read_bytes() != kept["device-key.pem"].read_bytes()
    for key in (kept["device-key.pem"], new):
        assert verified(archive, "--public-key", str(key), "--checkpoint", str(kept["checkpoint.txt"])) == 0


def test_it_says_why(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rotate-key", "--archive", str(archive)])
    assert ended.value.code == 2
    assert "--why" in capsys.readouterr().err
    assert entered(archive) == []
