"""pyshark behind a wall: what it reads comes through as plain records, what it breaks stays there."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.auditing.dissector import COUNT, Dissection, dissect
from tests.scenario import call
from tests.traffic.calls import play
from tests.traffic.pcapwriter import frames_of, write_pcap

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capture") / "call.pcap"
    write_pcap(path, frames_of(play(call(talk_s=2.0)).packets))
    return path


def test_frames_come_with_their_layers_and_fields(capture: Path) -> None:
    found = dissect(capture, "sip.Method == INVITE")
    assert found.trouble == ""
    (frame,) = found.frames
    assert (frame.number, frame.layers) == (1, ("eth", "ip", "udp", "sip"))
    assert any(field.startswith("Request-Line: INVITE") for field in frame.fields)


def test_only_the_first_frames_are_dissected(capture: Path) -> None:
    found = dissect(capture, "rtp")
    assert len(found.frames) == COUNT
    assert all(frame.layers[-1] == "rtp" for frame in found.frames)


@pytest.mark.parametrize("cut", [1, 17, 50])
def test_a_damaged_tail_costs_a_line_at_most(cut: int, capture: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "cut.pcap"
    damaged.write_bytes(capture.read_bytes()[:-cut])
    found = dissect(damaged, "frame.number > 1 && sip")
    assert [frame.layers[-1] for frame in found.frames] == ["sip"] * COUNT
    everything = dissect(damaged, "sip.Method == BYE")
    assert len(everything.frames) == 1
    assert "\n" not in everything.trouble


@pytest.mark.parametrize("content", [b"", b"no capture at all"])
def test_what_is_no_capture_is_told_in_a_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.pcap"
    path.write_bytes(content)
    found = dissect(path, "rtp")
    assert found.frames == ()
    assert "\n" not in found.trouble


def test_a_dissection_that_takes_too_long_is_ended(capture: Path) -> None:
    assert dissect(capture, "rtp", time_s=0.01) == Dissection(trouble="dissection took longer than 0.01 s")


def test_nothing_of_it_is_loaded_here() -> None:
    loaded = "appliance.commands.audit, appliance.auditing.dissector"
    program = f"import sys; import {loaded}; sys.exit('pyshark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
