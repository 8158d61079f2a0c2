"""`rokubox record` at the end of remote mirrors: every tunnel unwrapped live, as an import unwraps it."""

from pathlib import Path

from tests.archive_reading import call_records
from tests.capture.private_network import in_private_network, veth
from tests.live import recording, sending
from tests.recorded_truth import differences
from tests.scenario import CALLEE, CALLER, call, moved
from tests.traffic.calls import CallScript, play
from tests.traffic.mirror import Tunnel, mirrored
from tests.traffic.pcapwriter import Wire, frames_of

FULL_SIZE_INVITE = (("Subject", "x" * 732),)
"""Fits a frame, and fits none any more within a tunnel: the packets of the tunnel come in fragments."""


def script(number: int) -> CallScript:
    """A call between telephones of its own, a little later than the one before."""
    plain = call(f"line{number}@example", talk_s=3.0, headers=FULL_SIZE_INVITE)
    return call(
        plain.call_id,
        talk_s=3.0,
        headers=FULL_SIZE_INVITE,
        caller=moved(CALLER, host=f"10.77.0.{20 + number}"),
        callee=moved(CALLEE, host=f"10.77.8.{20 + number}"),
        start_ns=plain.start_ns + 100_000_000 * number,
    )


@in_private_network
def test_every_tunnel(tmp_path: Path) -> None:
    veth("span0", "switch0")
    config = tmp_path / "rokubox.toml"
    config.write_text('[[span]]\ninterface = "span0"\ntunnels = ["erspan", "gre", "vxlan", "tzsp"]\n')
    calls = {tunnel: play(script(number)) for number, tunnel in enumerate(Tunnel)}
    frames = [
        frame
        for number, (tunnel, sent) in enumerate(calls.items())
        for frame in mirrored(frames_of(sent.packets, Wire(vlans=(10,))), tunnel, six=number % 2 == 1)
    ]
    with recording(tmp_path / "archive", "--config", str(config)) as recorder:
        with sending("switch0", frames):
            pass
        recorder.wait_for_records(len(calls))
        assert recorder.stop() == 0
    found = differences(recorder.archive, list(calls.values()))
    assert [each for each in found if "from its place" not in each] == []
    accounts = {
        record["sip"]["call_ids"][0]: (record["outcome"], record["reasons"])
        for record in call_records(recorder.archive)
    }
    assert accounts == {sent.script.call_id: ("recorded", []) for sent in calls.values()}
    assert Path("/sys/class/net/span0/statistics/tx_packets").read_text() == "0\n"
