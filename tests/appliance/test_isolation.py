"""Whatever fails in assembly costs the call or medium it failed for: each gets its record, and nothing is left over."""

from pathlib import Path

import pytest

from appliance import failures
from appliance.assembly.fold import Assembly
from appliance.assembly.publish import Publisher
from appliance.assembly.settings import AssemblySettings
from appliance.commands import capture_import
from appliance.importer import ImportReport
from capture.intake import Intake
from capture.journalreader import JournalReader
from storage.archive import Archive
from storage.writer import ArchiveWriter
from tests.appliance.journals import write_journal
from tests.archive_reading import call_records
from tests.scenario import call, is_media, moved
from tests.traffic.calls import play
from tests.traffic.pcapwriter import Packet


def unreadable(_address: int, _target: memoryview) -> None:
    raise KeyError("a bug, and 0312345678 called")


def assembled(tmp_path: Path, packets: list[Packet], settings: AssemblySettings) -> Assembly:
    """Assemble a journal of which no packet can be looked at without an exception."""
    write_journal(tmp_path / "journal", packets)
    with ArchiveWriter(Archive(tmp_path)) as writer, JournalReader(tmp_path / "journal") as reader:
        assembly = Assembly(settings, Publisher(settings=settings, writer=writer), unreadable)
        while (item := reader.next()) is not None:
            assembly.step(item[1])
    return assembly


def test_a_call_and_a_medium_that_nobody_announced(tmp_path: Path) -> None:
    plain = call()
    stranger = call(
        "other@example", caller=moved(plain.caller, host="10.77.3.1"), callee=moved(plain.callee, host="10.77.3.2")
    )
    packets = [*play(plain).packets, *(packet for packet in play(stranger).packets if is_media(packet))]
    assembly = assembled(tmp_path, packets, AssemblySettings())
    records = call_records(tmp_path)
    assert [(each["outcome"], each["reasons"]) for each in records] == [("not_recorded", ["decode_failed"])] * 2
    assert not assembly.state.works
    assert not assembly.state.runs.by_number
    assert not assembly.state.signalling.dialogs.calls
    told = "\n".join(assembly.isolation.told)
    assert "KeyError at" in told
    assert "0312345678" not in told


def test_an_import_with_a_call_that_failed_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assembly = assembled(tmp_path, play(call()).packets, AssemblySettings())
    (record,) = call_records(tmp_path)
    report = ImportReport(
        files=(),
        assembly=assembly,
        intake=Intake(frozenset()),
        publisher=Publisher(settings=AssemblySettings(), writer=ArchiveWriter(Archive(tmp_path))),
        first_ns=None,
        last_ns=None,
        alarm="",
    )
    assert capture_import.conclude(report) == failures.INTERNAL
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rokubox: internal error: call {record['call_id'][:10]} is set aside: KeyError at ")
    assert line.endswith("; please report it, the other calls were imported")


def test_a_long_call_that_fails_at_a_cut_still_ends_as_one_record(tmp_path: Path) -> None:
    assembly = assembled(tmp_path, play(call(talk_s=40.0)).packets, AssemblySettings(segment_s=10))
    (record,) = call_records(tmp_path)
    assert (record["outcome"], record["reasons"], record["end_cause"]) == ("not_recorded", ["decode_failed"], "bye")
    assert record["capture_lost_samples"] == record["expected_samples"] > 70 * 8000
    assert len(assembly.isolation.told) == 1
