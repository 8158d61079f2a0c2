import os
import threading
import time
from pathlib import Path

import pytest

from appliance.errors import AlreadyRunningError
from appliance.supervision.runfiles import RunFiles


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "archive" / "run"
    with RunFiles(folder):
        with pytest.raises(AlreadyRunningError) as refused:
            RunFiles(folder)
        assert str(refused.value) == f"{folder}: another process records here already (pid {os.getpid()})"
        assert (folder / "record.pid").read_text() == f"{os.getpid()}\n"
    with RunFiles(folder):
        pass
    assert list(folder.iterdir()) == []


def test_what_a_dead_owner_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "record.pid").write_text("4194304 and much more\n")
    (tmp_path / "child.pid").write_text("4194304\n")
    with RunFiles(tmp_path) as run_files:
        run_files.write_pid("child", 17)
        assert (tmp_path / "record.pid").read_text() == f"{os.getpid()}\n"
        assert (tmp_path / "child.pid").read_text() == "17\n"
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_owners_that_come_and_go_never_overlap(tmp_path: Path) -> None:
    owners = 0
    overlaps = 0

    def own() -> None:
        nonlocal owners, overlaps
        for _ in range(300):
            try:
                with RunFiles(tmp_path):
                    owners += 1
                    time.sleep(1e-4)
                    overlaps += owners > 1
                    owners -= 1
            except AlreadyRunningError:
                pass

    threads = [threading.Thread(target=own) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == 0


def test_a_pid_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "child.pid").mkdir()
    with RunFiles(tmp_path) as run_files, pytest.raises(OSError, match="directory"):
        run_files.write_pid("child", 17)
    assert [path.name for path in tmp_path.iterdir()] == ["child.pid"]
