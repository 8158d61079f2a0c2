"""The rules in force at the INVITE hold for the whole call, on every replay, whatever the configuration says now."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance import config
from appliance.assembling.assembledaemon import AssembleDaemon, AssembleSettings
from appliance.assembly.settings import AssemblySettings
from appliance.capturing import configtexts
from appliance.config import Configuration
from storage.vocabulary import Source
from tests.appliance.journals import write_journal
from tests.archive_reading import call_records, tree_digest
from tests.scenario import CALLER, call, media
from tests.traffic.calls import play

LINE = """
[recording]
segment_s = 30
[[enterprise]]
id = "E1"
[[enterprise.lines]]
number = "%s"
record = %s
"""
ON, OFF = (LINE % (CALLER.number, switched) for switched in ("true", "false"))


def settings_of(found: Configuration) -> AssemblySettings:
    return found.assembly(record=None, form=None, software="rokubox", source=Source.SPAN)


def assemble(archive: Path, text: str) -> dict[str, dict[str, Any]]:
    """Assemble with this configuration; the call records by Call-ID."""
    path = archive / "rokubox.toml"
    path.write_text(text)

    def find(digest: str) -> AssemblySettings | None:
        kept = config.kept(archive / "journal", digest)
        return None if kept is None else settings_of(kept)

    daemon = AssembleDaemon(
        AssembleSettings(archive=archive, assembly=settings_of(config.read(path)), find_settings=find)
    )
    daemon.stop()
    daemon.run()
    return {record["sip"]["call_ids"][0]: record for record in call_records(archive)}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The line is switched on, then off while a call goes on, and another one begins."""
    (tmp_path / "journal").mkdir()
    on, off = (configtexts.keep(tmp_path / "journal", text.encode()) for text in (ON, OFF))
    first = play(call("first@example", talk_s=40.0, caller_media=media(40.0, 1), callee_media=media(40.0, 2)))
    changed_ns = first.script.at_ns(20.0)
    write_journal(tmp_path / "journal", [p for p in first.packets if p.ts_ns < changed_ns], tail_s=0, digest=on)
    second = play(replace(call("second@example"), start_ns=first.script.end_ns + 5_000_000_000))
    rest = [*(p for p in first.packets if p.ts_ns >= changed_ns), *second.packets]
    write_journal(tmp_path / "journal", rest, continued=1, digest=off)
    return tmp_path


def test_a_change_is_for_calls_that_begin_after_it(archive: Path) -> None:
    records = assemble(archive, OFF)
    first, second = records["first@example"], records["second@example"]
    assert (first["outcome"], second["outcome"]) == ("recorded", "not_expected")
    assert second["reasons"] == ["rule_line_off"]
    assert len(first["parts"]) == 2, "of 30 s, as it was said then"
    assert first["config_digest"] != second["config_digest"]
    assert first["flags"] == second["flags"] == []


@pytest.mark.parametrize("now", [ON, OFF, "[recording]\nsegment_s = 60\n"])
def test_a_replay_after_a_change_comes_to_the_same(archive: Path, now: str) -> None:
    assemble(archive, OFF)
    before = tree_digest(archive / "calls") | tree_digest(archive / "recordings")
    (archive / "spool" / "assembly.snapshot").unlink()
    for folder in ("calls", "recordings", "ledger"):
        for path in (archive / folder).rglob("*"):
            if path.is_file():
                path.unlink()
    assemble(archive, now)
    assert tree_digest(archive / "calls") | tree_digest(archive / "recordings") == before


def test_a_text_that_is_gone_is_told(archive: Path, capfd: pytest.CaptureFixture[str]) -> None:
    configtexts.path_of(archive / "journal", hashlib.sha256(ON.encode()).hexdigest()).unlink()
    records = assemble(archive, OFF)
    first, second = records["first@example"], records["second@example"]
    assert (first["outcome"], first["reasons"]) == ("not_expected", ["rule_line_off"])
    assert first["flags"] == ["configuration_missing"]
    assert second["flags"] == []
    assert "alarm: the configuration" in capfd.readouterr().err
