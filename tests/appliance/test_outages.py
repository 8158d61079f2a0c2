"""The outage ledger: from verdicts to lines, to service levels, to the monthly report."""

import csv
import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import cli
from appliance.alarms.alarm import Alarm, AlarmKey, AlarmState
from appliance.alarms.kind import AlarmName, Severity
from appliance.diagnosis.domains import Domain
from appliance.diagnosis.evidence import Evidence
from appliance.diagnosis.findings import Row
from appliance.diagnosis.report.repair import Box
from appliance.diagnosis.verdict import verdict
from appliance.outages import levels, monthly
from appliance.outages.book import NAME, OutageBook
from appliance.outages.keeping import OutageKeeping
from appliance.outages.levels import Month
from appliance.outages.outage import Line, Mark, Outage, Service, fold
from appliance.outages.watching import OutageWatch
from appliance.show.labels import Language
from appliance.telemetry.statefile import StateFile
from storage.archive import Archive
from tests.appliance.diagnosis.evidence_of import FAULTS, healthy
from tests.appliance.journals import assemble, write_journal
from tests.scenario import call
from tests.traffic.calls import play

NS = 1_000_000_000
HOUR = 3600 * NS
TOKYO = ZoneInfo("Asia/Tokyo")
BEGIN = Month.of(2026, 1, TOKYO).begin_ns
WELL, CARRIER, VPN, DISK = None, "503 from the carrier", "gaps from the VPN", "disk full"


def verdicts(*told: tuple[float, str | None]):
    for at_s, name in told:
        evidence = healthy() if name is None else FAULTS[name][0](healthy())
        yield replace(verdict(evidence), at_ns=BEGIN + round(at_s * NS))


def lines(*told: tuple[float, str | None]) -> list[Line]:
    watch = OutageWatch()
    return [line for each in verdicts(*told) for line in watch.see(each)]


def outages(*told: tuple[float, str | None]) -> list[Outage]:
    return list(fold(lines(*told)).values())


def at_s(ns: int | None) -> float | None:
    return None if ns is None else (ns - BEGIN) / NS


def test_an_outage_lasts_from_the_last_well_moment_to_the_first_well_one():
    [outage] = outages((0, WELL), (10, WELL), (20, CARRIER), (30, CARRIER), (40, WELL), (70, WELL), (101, WELL))
    assert (at_s(outage.began_ns), at_s(outage.detected_ns), at_s(outage.ended_ns)) == (10, 20, 40)
    assert (outage.service, outage.domains, outage.rows) == (Service.TELEPHONY, (Domain.CARRIER,), ("server_error",))
    assert outage.is_providers


def test_a_moment_in_which_all_is_well_does_not_end_it():
    [outage] = outages((0, WELL), (10, CARRIER), (20, WELL), (50, CARRIER), (60, WELL), (121, WELL))
    assert at_s(outage.ended_ns) == 60


def test_services_are_out_by_themselves():
    found = outages((0, WELL), (10, CARRIER), (20, DISK), (30, DISK), (31, WELL), (92, WELL))
    assert [(each.service, at_s(each.began_ns)) for each in found] == [(Service.TELEPHONY, 0), (Service.RECORDING, 10)]
    assert not found[1].is_providers


def test_what_is_no_outage_is_none():
    assert outages((0, WELL), (10, VPN), (20, "DSCP EF leaving, 0 arriving"), (30, "every packet twice")) == []


def test_another_verdict_says_whose_it_is_now():
    [outage] = outages((0, WELL), (10, "INVITE out unanswered"), (20, CARRIER))
    assert outage.rows == (Row.UNANSWERED, Row.SERVER_ERROR)
    assert outage.domains == (Domain.CARRIER,)
    assert outage.ended_ns is None


def evidence_at(seconds: float, name: str | None) -> Evidence:
    evidence = healthy() if name is None else FAULTS[name][0](healthy())
    return replace(evidence, at_ns=BEGIN + round(seconds * NS))


def keep(archive: Archive, *told: tuple[float, str | None]) -> None:
    """An agent's looking, from its start to its end."""
    coming = [evidence_at(*each) for each in told]
    keeping = OutageKeeping(archive, archive.root / "agent", lambda: coming.pop(0))
    while coming:
        keeping.observe()


def test_a_restart_goes_on_with_what_is_open(tmp_path):
    archive = Archive(tmp_path)
    keep(archive, (0, WELL), (10, CARRIER))
    keep(archive, (30, CARRIER), (40, WELL), (101, WELL))
    [outage] = OutageBook(archive).outages()
    assert (at_s(outage.began_ns), at_s(outage.ended_ns), outage.notified_ns) == (0, 40, None)


def test_what_the_disk_does_not_take_is_entered_later(tmp_path):
    archive = Archive(tmp_path / "archive")
    coming = [evidence_at(*each) for each in ((0, WELL), (10, CARRIER), (20, CARRIER))]
    keeping = OutageKeeping(archive, tmp_path / "agent", lambda: coming.pop(0))
    keeping.observe()
    keeping.observe()
    assert OutageBook(archive).outages() == []
    archive.root.mkdir()
    keeping.observe()
    assert at_s(OutageBook(archive).outages()[0].began_ns) == 0


def test_the_noc_knows_when_its_broker_has_confirmed_an_alarm_since(tmp_path):
    archive, agent = Archive(tmp_path), tmp_path / "agent"
    state = StateFile(agent, lambda: None)
    alarm = Alarm(
        key=AlarmKey(resource="box", name=AlarmName.SERVICE_RESTARTED),
        state=AlarmState.RAISED,
        severity=Severity.MAJOR,
        source="test",
        first_raised_ns=BEGIN,
        last_changed_ns=BEGIN,
        boot_id="boot",
        sequence=0,
    )
    with state.transaction() as connection:
        for sequence, second in enumerate((-5, 15, 16), 1):
            written = msgspec.json.encode(replace(alarm, sequence=sequence))
            connection.execute("INSERT INTO alarm_changes VALUES (?, ?)", (sequence, written))
            connection.execute("INSERT INTO told VALUES (?, ?)", (sequence, BEGIN + second * NS))
    keep(archive, (0, WELL), (10, CARRIER), (20, CARRIER))
    assert at_s(OutageBook(archive).outages()[0].notified_ns) == 15


def test_a_line_that_was_cut_off_costs_nothing_else(tmp_path):
    archive = Archive(tmp_path)
    book = OutageBook(archive)
    book.add(lines((0, WELL), (10, CARRIER)))
    with (tmp_path / "agent" / NAME).open("ab") as torn:
        torn.write(b'{"outage":"telephony')
    book.add([Line(outage=book.outages()[0].id, mark=Mark.NOTIFIED, at_ns=BEGIN + 30 * NS)])
    assert at_s(book.outages()[0].notified_ns) == 30


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 90), st.sampled_from([WELL, CARRIER, DISK, "SPAN link down"])), max_size=25))
def test_outages_of_a_service_never_overlap_and_have_their_times_in_order(steps):
    told, now = [], 0.0
    for ahead_s, name in steps:
        now += ahead_s
        told.append((now, name))
    found = outages(*told)
    for service in Service:
        mine = [each for each in found if each.service is service]
        for outage in mine:
            assert outage.began_ns <= outage.detected_ns <= (outage.ended_ns or 1 << 62)
        for before, after in pairwise(mine):
            assert before.ended_ns is not None
            assert before.ended_ns <= after.began_ns


def made(hours: float, *, reported_h: float | None = 0, domains=(Domain.CARRIER,), notified_min=5.0, began_h=0.0):
    began = BEGIN + round(began_h * HOUR)
    return Outage(
        id="x",
        service=Service.TELEPHONY,
        rows=("server_error",),
        domains=domains,
        began_ns=began,
        detected_ns=began + NS,
        notified_ns=began + round(notified_min * 60 * NS),
        reported_ns=None if reported_h is None else began + round(reported_h * HOUR),
        ended_ns=began + round(hours * HOUR),
    )


@pytest.mark.parametrize(
    ("outage", "refunds"),
    [
        (made(7.9), {}),
        (made(8.0), {"CT": 0, "NB": 1}),
        (made(24.0), {"SB": 1, "CT": 1, "NB": 1}),
        (made(49.0), {"SB": 2, "CT": 2, "NB": 1, "OK": 1}),
        (made(49.0, reported_h=26), {"CT": 0, "NB": 1}),
        (made(49.0, reported_h=None), {}),
        (made(49.0, domains=(Domain.LAN, Domain.VPN)), {}),
        (made(49.0, domains=(Domain.VPN, Domain.CARRIER)), {"SB": 2, "CT": 2, "NB": 1, "OK": 1}),
    ],
)
def test_refunds_count_from_when_the_provider_learnt_of_it(outage, refunds):
    assert dict(levels.judge(outage, levels.shipped(), BEGIN + 100 * HOUR).refunds) == refunds


def test_levels():
    judged = levels.judge(made(1.9, notified_min=31), levels.shipped(), BEGIN + 100 * HOUR)
    assert (judged.repair_ok, judged.notification_ok) == (True, False)
    open_still = replace(made(1), ended_ns=None, notified_ns=None)
    judged = levels.judge(open_still, levels.shipped(), BEGIN + HOUR // 4)
    assert (judged.repair_ok, judged.notification_ok) == (None, None)
    judged = levels.judge(open_still, levels.shipped(), BEGIN + 3 * HOUR)
    assert (judged.repair_ok, judged.notification_ok) == (False, False)


def test_availability_counts_overlapping_outages_once_and_only_what_has_passed():
    month = Month.of(2026, 1, TOKYO)
    assert month.end_ns - month.begin_ns == 31 * 24 * HOUR
    both = [made(2.0), made(3.0, began_h=1.0)]
    [_, telephony] = levels.sums(both, month, month.end_ns)
    assert telephony.out_s == 4 * 3600
    assert telephony.availability_percent == pytest.approx(100 * (1 - 4 / 744))
    [recording, telephony] = levels.sums(both, month, BEGIN + 8 * HOUR)
    assert telephony.availability_percent == 50.0
    assert recording.availability_percent == 100.0


def test_the_report_has_everything_in_both_languages_and_for_spreadsheets():
    box = Box(customer="客先", site="大阪", serial="RB-1", zone=TOKYO, key_fingerprint="")
    month = Month.of(2026, 1, TOKYO)
    found = monthly.Operations(
        month="2026-01",
        sums=levels.sums([made(3.0)], month, month.end_ns),
        outages=(levels.judge(made(49.0), levels.shipped(), month.end_ns),),
        days=(),
        outcomes=(),
        works=(monthly.Work(at="2026-01-02T03:04:05+09:00", kind="configuration", who="Suzuki", why="<b>lines</b>"),),
        software="rokubox/test",
    )
    page = monthly.report(box, found, levels.shipped(), (Language.JA, Language.EN))
    for told in ("月次運用報告書 2026-01", "Monthly operations report", "99.597 %", "SB ×2", "&lt;b&gt;lines", "未達"):
        assert told in page
    [head, row] = list(csv.reader(io.StringIO(monthly.outages_csv(found.outages, box).removeprefix("\ufeff"))))
    cells = dict(zip(head, row, strict=True))
    assert (cells["began"], cells["domains"]) == ("2026-01-01 00:00:00+09:00", "carrier")
    assert cells["refunds"] == "SB:2 CT:2 NB:1 OK:1"


def test_commands(tmp_path: Path, capsys):
    archive = tmp_path / "archive"
    archive.mkdir()
    write_journal(archive / "journal", play(call(talk_s=2.0)).packets)
    assemble(archive)
    assert cli.main(["reindex", "--archive", str(archive)]) == 0
    OutageBook(Archive(archive)).add(lines((0, WELL), (10, CARRIER), (40, WELL), (101, WELL)))
    capsys.readouterr()
    assert cli.main(["outages", "--archive", str(archive)]) == 0
    told = capsys.readouterr().out
    assert "通信事業者 / carrier" in told
    assert "reported -" in told
    known = told.split()[0]
    report = ["outages", "--archive", str(archive), "--reported", known, "--who", "Tanaka"]
    assert cli.main([*report, "--at", "2025-12-31 10:00"]) == 2
    assert cli.main([*report, "--at", "2026-01-01 00:05"]) == 0
    assert cli.main(report) == 2
    assert cli.main(["outages", "--archive", str(archive), "--reported", "nosuch"]) == 2
    capsys.readouterr()
    assert cli.main(["outages", "--archive", str(archive), "--json"]) == 0
    assert '"reported": "2026-01-01 00:05:00+09:00"' in capsys.readouterr().out
    output = tmp_path / "out"
    assert cli.main(["operations", "--archive", str(archive), "--month", "2026-01", "--output", str(output)]) == 0
    names = sorted(path.name for path in output.iterdir())
    assert [name.rpartition("_")[2] for name in names if name.endswith(".csv")] == ["outages.csv", "traffic.csv"]
    traffic = (output / "operations_rokubox_2026-01_traffic.csv").read_text("utf-8-sig").splitlines()
    assert len(traffic) == 2
    assert traffic[1].startswith("2026-01-02,1,")
