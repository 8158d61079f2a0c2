"""`rokubox noc` against a real broker, in a pipe and in a terminal."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from appliance import cli
from appliance.agent.daysums import DaySums
from appliance.agent.reports import Reports
from appliance.telemetry.messages import PresenceReason
from appliance.telemetry.topics import BoxTopics
from tests.appliance.agent.test_reports import IDENTITY, NOW, health_seen
from tests.appliance.telemetry.broker import Authority, Subscriber, free_port, needs_mosquitto, running

REPORTS = Reports(IDENTITY, {}, numbers=False)


def publish(noc, serial):
    topics = BoxTopics.of("A", "B", serial)
    noc.publish(topics.status, REPORTS.status(NOW, PresenceReason.CONNECTED)("00000000-1"), retain=True)
    noc.publish(topics.health, REPORTS.health(NOW, health_seen(DaySums()))("00000000-2"), retain=True)


@needs_mosquitto
def test_the_fleet_once_for_people_and_for_programs(tmp_path, capsys):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("me")
    with running(tmp_path, authority=authority) as broker, Subscriber(broker) as noc:
        publish(noc, "RB-1")
        publish(noc, "RB-2")
        at = ["noc", "--broker", f"localhost:{broker.port}", "--ca", str(authority.ca_file)]
        at += ["--certificate", str(certificate), "--key", str(key), "--once"]
        assert cli.main(at) == 0
        assert "2 boxes: 2 stale" in capsys.readouterr().out
        assert cli.main([*at, "--json"]) == 0
        told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(one["serial"], one["state"]) for one in told] == [("RB-1", "stale"), ("RB-2", "stale")]
        assert cli.main([*at, "--customer", "Other"]) == 0
        assert "0 boxes" in capsys.readouterr().out


@needs_mosquitto
def test_in_a_terminal_until_q(tmp_path):
    with running(tmp_path) as broker, Subscriber(broker) as noc:
        publish(noc, "RB-77")
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "appliance", "noc", "--plain", "--broker", f"127.0.0.1:{broker.port}"]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "160", "LINES": "20"}
        watching = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, cwd=Path(__file__).parents[3], env=environment
        )
        os.close(theirs)
        try:
            seen = b""
            while b"RB-77" not in seen:
                seen += os.read(ours, 65536)
            os.write(ours, b"q")
            with suppress(OSError):  # how the end of a terminal is told
                while os.read(ours, 65536):
                    pass
            assert watching.wait(20) == 0
        finally:
            watching.kill()
            watching.wait()
            os.close(ours)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "no broker: give --broker HOST, or [mqtt] host in --config FILE"),
        (("--broker", "a:99999"), 2, "--broker a:99999: write HOST, HOST:PORT or [ADDRESS]:PORT"),
        (("--broker", "192.0.2.1", "--plain"), 2, "without TLS the broker has to be on this machine"),
        (("--broker", f"[::1]:{free_port()}", "--plain"), 4, "the broker cannot be reached: "),
        (("--broker", "localhost", "--ca", "/no/such/file"), 3, "/no/such/file: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_one_line(capsys, arguments, code, told):
    assert cli.main(["noc", "--once", *arguments]) == code
    printed = capsys.readouterr().err
    assert told in printed
    assert printed.count("\n") == 1
