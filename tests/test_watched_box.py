"""A whole box: `rokubox record` on a mirror port, `rokubox-agent` beside it, and the NOC's broker."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.appliance.telemetry.broker import Subscriber, needs_mosquitto, running
from tests.capture.private_network import in_private_network, ip, veth
from tests.live import recording, sending
from tests.scenario import call
from tests.traffic.calls import play

CONFIGURATION = """\
[site]
customer = "A"
site = "B"
serial = "RB-1"
[[span]]
interface = "span0"
[[enterprise]]
id = "E1"
[[enterprise.lines]]
number = "{number}"
[probe]
not_observable = ["pipeline"]
[mqtt]
host = "127.0.0.1"
port = {port}
tls = false
health_interval_s = 10
"""


@contextmanager
def agent(archive: Path, configuration: Path) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.daemons", "agent", "--config", configuration, "--archive", archive],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def alarms(noc: Subscriber, name: str) -> list[str]:
    """States of the alarms of a kind, with their resource."""
    told = [json.loads(payload) for topic, payload, *_ in list(noc.messages) if f"/alarm/{name}-" in topic and payload]
    return [f"{one['resource']} {one['state']}" for one in told]


@needs_mosquitto
@in_private_network
def test_what_happens_to_a_box_reaches_the_noc(tmp_path: Path) -> None:
    veth("span0", "switch0")
    played = play(call(talk_s=2.0))
    archive, configuration = tmp_path / "archive", tmp_path / "rokubox.toml"
    with running(tmp_path) as broker, Subscriber(broker) as noc:
        configuration.write_text(CONFIGURATION.format(port=broker.port, number=played.script.caller.number))
        with recording(archive, "--config", str(configuration)) as recorder, agent(archive, configuration):
            noc.wait(lambda: noc.of("/health"), "born")
            with sending("switch0", played.packets):
                pass
            ip("link set dev switch0 down")
            noc.wait(lambda: noc.of("call/summary"), "a call")
            os.kill(recorder.pid("capture"), signal.SIGKILL)
            noc.wait(lambda: alarms(noc, "service_restarted"), "capture was killed")
            noc.wait(lambda: alarms(noc, "mirror_port_down"), "the cable is out")
    [summary] = [json.loads(payload) for payload in noc.of("call/summary")]
    assert (summary["outcome"], summary["enterprise"], summary["line"]) == ("recorded", "E1", 1)
    assert alarms(noc, "service_restarted") == ["service:capture raised"]
    assert alarms(noc, "mirror_port_down") == ["span:span0 raised"]
    assert not any(played.script.caller.number.encode() in payload for _, payload, *_ in noc.messages)
