import os
import subprocess
import sys
from pathlib import Path

from appliance.supervision import orphan
from appliance.supervision.orphan import Parent

_ASKS = "import sys; from appliance.supervision.orphan import Parent; print(Parent(int(sys.argv[1])).gone_for_s() > 0)"


def test_the_parent_is_there() -> None:
    assert Parent().gone_for_s() == 0
    assert Parent(os.getppid()).gone_for_s() == 0


def test_who_is_an_orphan_from_the_start_knows_it() -> None:
    """The supervisor was killed while its child was still being loaded."""

    def asked(supervisor: int) -> str:
        command = [sys.executable, "-c", _ASKS, str(supervisor)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert asked(os.getpid()) == asked(0) == "False"
    assert asked(gone.pid) == "True"


def test_the_time_of_an_orphan_goes_on() -> None:
    parent = Parent(os.getpid())
    first = parent.gone_for_s()
    assert 0 < first <= parent.gone_for_s()


def test_what_is_left_over_is_found_by_its_pid_file(tmp_path: Path) -> None:
    assert orphan.find(tmp_path, "capture") == 0
    with subprocess.Popen([sys.executable, "-c", "input()", "appliance.daemons", "capture"], stdin=-1) as daemon:
        (tmp_path / "capture.pid").write_text(f"{daemon.pid}\n")
        while (found := orphan.find(tmp_path, "capture")) == 0 and daemon.poll() is None:
            pass  # Until exec its words are ours.
        assert found == daemon.pid
        assert not orphan.is_daemon(daemon.pid, "assemble")
        daemon.communicate(b"\n")
    assert orphan.find(tmp_path, "capture") == 0
