"""Which ports are watched: those that are configured, and those that capture was told otherwise."""

import time

import pytest

from appliance.condition import observed
from appliance.config import read
from appliance.diagnosis.evidence import Port, Role, Wire
from appliance.diagnosis.observing import Watch
from appliance.diagnosis.wire import wirefile
from storage.archive import Archive


@pytest.mark.parametrize(
    ("configured", "asked", "watched"),
    [
        ("", (), {"lo"}),  # capture was started with --interface lo
        ('[[span]]\ninterface = "nosuch0"\n', (), {"nosuch0", "lo"}),
        ("", ("nosuch0",), {"nosuch0"}),  # who asks for one is told of that one
    ],
)
def test_a_port_that_only_capture_was_told_is_watched_too(configured, asked, watched, tmp_path):
    archive = Archive(tmp_path)
    archive.run.mkdir()
    counted = (Port(name="lo", role=Role.SPAN, kernel_drops=3),)
    observed.write(archive.run, wirefile.NAME, wirefile.Report(at_ns=time.time_ns(), wire=Wire(), ports=counted))
    (tmp_path / "rokubox.toml").write_text(configured)
    watch = Watch(read(tmp_path / "rokubox.toml"), archive, asked)
    try:
        seen = watch.observe()
    finally:
        watch.close()
    spans = {port.name: port for port in seen.ports if port.role is Role.SPAN}
    assert set(spans) == watched
    if "lo" in spans:
        assert (spans["lo"].link_up, spans["lo"].kernel_drops) == (True, 3)
