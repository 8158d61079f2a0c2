from pathlib import Path

import pytest

from appliance.assembling.assembledaemon import AssembleDaemon, AssembleSettings
from appliance.assembly.settings import AssemblySettings
from storage.errors import ArchiveError


def test_a_disk_that_refuses_is_told_of_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    daemon = AssembleDaemon(AssembleSettings(archive=tmp_path, assembly=AssemblySettings()))
    for _ in range(3):
        assert daemon._wait_for_disk(ArchiveError("cannot write part 0123456789_p01: Read-only file system"))
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(
        "rokubox-assemble: alarm: a recording waits for the disk, and is tried again: cannot write part"
    )
