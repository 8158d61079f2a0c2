"""`rokubox first-call` beside a recorder at work: a call that is right, and one with a side missing."""

import subprocess
from pathlib import Path

from storage.ledger.entries import Trial
from storage.ledger.view import LedgerView
from storage.verify.verification import Request, verify
from tests.capture.private_network import in_private_network, ip, veth
from tests.live import ROKUBOX, recording, sending, wait_until
from tests.scenario import call
from tests.traffic.calls import play

PORT = ("--interface", "span0")
CONFIG = '[probe]\nnot_observable = ["clock", "smart", "management_link", "gateway", "dns"]\n'


def trials(archive: Path) -> list[Trial]:
    view = LedgerView(archive / "ledger")
    return [line.entry for line in view.lines() if isinstance(line.entry, Trial)]


def started(archive: Path, folder: Path, wait_s: int) -> "subprocess.Popen[str]":
    """Ready when it asks for a call."""
    config = folder / "rokubox.toml"
    config.write_text(CONFIG)
    words = ["first-call", "--config", str(config), "--archive", str(archive), *PORT, "--who", "tech"]
    command = [str(ROKUBOX), *words, "--wait", str(wait_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    while "Call now" not in line:
        assert line, "it ended"
        line = process.stdout.readline()
    return process


@in_private_network
def test_a_call_that_is_right_passes_and_one_with_a_side_missing_does_not(tmp_path: Path) -> None:
    veth("span0", "switch0")
    archive = tmp_path / "archive"
    ip("addr add 192.0.2.200/24 dev lo")  # for probes that have nowhere to go
    with recording(archive, *PORT):
        wait_until(lambda: (archive / "run" / "wire.json").exists())
        first = started(archive, tmp_path, 40)
        with sending("switch0", play(call(talk_s=2.0)).packets):
            pass
        told, _ = first.communicate(timeout=60)
        assert first.returncode == 0, told
        assert told.count("  OK  ") == 5
        assert "台帳で検証済み / verified in the ledger: as signed" in told
        second = started(archive, tmp_path, 40)
        played = play(call(talk_s=2.0, call_id="other"))
        caller = played.script.caller.rtp
        with sending("switch0", [packet for packet in played.packets if packet.source != caller]):
            pass
        told, _ = second.communicate(timeout=90)
    assert second.returncode != 0
    assert "NG  発信側の音声 / the caller is heard: 0 packets" in told
    passed, failed = trials(archive)
    assert (passed.outcome, passed.who, passed.why, len(passed.call_ids)) == ("passed", "tech", "first call", 1)
    assert set(passed.checks) == {"recorded", "caller", "callee", "complete", "verified"}
    assert failed.outcome == "failed"
    assert failed.checks["caller"].startswith("ng: 0 packets")
    assert verify(Request(archive=archive)).defects == []
