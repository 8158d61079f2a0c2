"""What services say when no journal listens; what the journal gets is seen where it runs (`make test-units`)."""

import pytest

from appliance.supervision import servicelog


@pytest.mark.parametrize("stream", ["", "8:12345"])
def test_without_a_journal_lines_go_to_stderr(
    stream: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stream)
    servicelog.say("rokubox-capture", "alarm: something", ROKUBOX_CONCERN="disk_space")
    assert capfd.readouterr().err == "rokubox-capture: alarm: something\n"
