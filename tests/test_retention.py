"""`rokubox retention` as an administrator meets it: what is shown is what is done, and only when time is certain."""

import io
import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import cli, clocks
from storage.archive import Archive, read_record
from storage.call_record import CallRecord
from storage.disk import Disk
from storage.json_form import to_json
from storage.ledger.view import LedgerView
from storage.retention import clockfile, clockguard
from storage.retention.clockguard import Anchor, ClockState, Mark
from tests.storage.retention.archives import call_id, erasures, finished, make

ROKUBOX = Path(sys.executable).with_name("rokubox")
DAY_NS = 86_400 * 1_000_000_000
RULES = """
[storage.retention]
keep_days = 10
[[enterprise]]
id = "E1"
retention = { keep_days = 40 }
"""


def rokubox(*words: str, code: int = 0) -> str:
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        assert cli.main(words) == code
    return told.getvalue()


def aged(root: Path, days: float, *, confirmed: bool = True, ahead_ns: int | None = None) -> None:
    """Let the archive know that so many days have passed since its ledger was as it is."""
    now = clocks.sighting()
    elapsed_ns = round(days * DAY_NS)
    state = ClockState(
        elapsed_ns=elapsed_ns,
        last=now,
        anchor=Anchor(elapsed_ns=elapsed_ns, sighting=now) if confirmed else None,
        ahead_ns=ahead_ns,
        marks=(Mark(elapsed_ns=0, entries=LedgerView(root / "ledger").size),),
    )
    clockfile.write(Archive(root).retention, state, Disk())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three calls of nobody's and two of E1, in this order, and rules."""
    root = tmp_path / "archive"
    make(root, 5, parts=1, enterprise=None)
    (tmp_path / "rokubox.toml").write_text(RULES)
    return root


def arguments(archive: Path) -> tuple[str, ...]:
    return ("--archive", str(archive), "--config", str(archive.parent / "rokubox.toml"))


def test_shown_first_then_done(archive: Path) -> None:
    aged(archive, 10)
    before = finished(archive)
    shown = rokubox("retention", "--dry-run", *arguments(archive))
    assert finished(archive) == before
    assert re.search(r"^default +kept long enough 保存期間満了 +4 ", shown, re.MULTILINE)
    assert "spared 対象外: 1 (the newest call 最新の通話)" in shown
    assert "confirmed 確認済み" in shown
    done = rokubox("retention", *arguments(archive))
    assert done.startswith(shown.partition("disk")[0])
    assert "4 calls erased" in done
    assert {name.split("_")[4] for name in finished(archive) if "_" in name} == {call_id(4)[:10]}
    [said] = erasures(archive)
    assert (said.rule, said.why) == ("default: expired", "kept for as long as the rule says")


def test_not_a_day_too_early(archive: Path) -> None:
    aged(archive, 9.9)
    assert "nothing is to be erased" in rokubox("retention", *arguments(archive))
    assert len(finished(archive)) == 10


def test_nothing_without_a_confirmed_clock(archive: Path) -> None:
    aged(archive, 1000, confirmed=False)
    told = rokubox("retention", *arguments(archive))
    assert "nothing is to be erased" in told
    assert "spared 対象外: 4 (clock not confirmed 時刻未確認)" in told
    rokubox("retention", "--confirm-clock", *arguments(archive), code=2)
    told = rokubox("retention", "--confirm-clock", "--why", "looked at it", *arguments(archive))
    assert "4 calls erased" in told


def test_a_clock_that_was_set_to_2099(archive: Path) -> None:
    aged(archive, 1000, ahead_ns=73 * 365 * DAY_NS)
    told = rokubox("retention", *arguments(archive))
    assert "disputed, +26645.0 days from what can be" in told
    assert len(finished(archive)) == 10


def test_room_is_made_even_then(archive: Path) -> None:
    aged(archive, 1000, confirmed=False)
    told = rokubox("retention", "--room", "1", *arguments(archive))
    assert "room needed 空き容量確保" in told
    assert "1 call erased" in told
    assert call_id(0)[:10] not in {name.split("_")[4] for name in finished(archive) if "_" in name}


def test_a_legal_hold_goes_before_everything(archive: Path) -> None:
    aged(archive, 1000)
    rokubox("hold", "--set", "case", call_id(1)[:12], "--why", "court", *arguments(archive))
    told = rokubox("retention", *arguments(archive))
    assert "spared 対象外: 1 (legal hold 法的保全)" in told
    assert {name.split("_")[4] for name in finished(archive) if "_" in name} == {call_id(1)[:10], call_id(4)[:10]}


def test_contract_end(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    make(root, 3, parts=1, enterprise="E1")
    rules = tmp_path / "rokubox.toml"
    rules.write_text(
        f'[backup]\ndirectory = "{tmp_path}"\nkeep_days = 31\n'
        '[[enterprise]]\nid = "E1"\nended_on = 2020-01-01\nretention = { minimum_days = 3000 }\n'
    )
    aged(root, 1)
    told = rokubox("retention", *arguments(root))
    assert "contract ended 契約終了" in told
    assert finished(root) == set()
    assert [one.rule for one in erasures(root)] == ["E1: contract_end"]
    [text] = (root / "retention" / "certificates").glob("E1-*.txt")
    assert str(text) in told
    assert "消去した通話: 3 件" in text.read_text("utf-8")
    certificate = json.loads(text.with_suffix(".json").read_bytes())
    assert (certificate["subject"], certificate["calls"], certificate["left"]) == ("enterprise E1", 3, {})
    assert certificate["backup_days"] == 31
    [proven] = certificate["entries"]
    assert json.loads(proven["line"])["rule"] == "E1: contract_end"
    rokubox("verify", "--archive", str(root))


def test_what_outlives_its_contract_is_told_in_time(tmp_path: Path) -> None:
    """A legal hold goes before the contract's end: a person has to know before the month is over."""
    root, rules = tmp_path / "archive", tmp_path / "rokubox.toml"
    make(root, 3, parts=1, enterprise="E1")
    aged(root, 1)
    rokubox("hold", "--set", "case", call_id(1)[:12], "--why", "court", "--archive", str(root))
    today = datetime.now(UTC).date()
    for days, is_told in ((10, False), (23, True)):
        ended_on = today - timedelta(days=days)
        rules.write_text(f'[[enterprise]]\nid = "E1"\nended_on = {ended_on}\n')
        told = rokubox("retention", *arguments(root))
        assert (f"alarm: the contract of E1 ended on {ended_on}" in told) == is_told
        assert ("and 1 call is kept" in told) == is_told
    certificates = [json.loads(path.read_bytes()) for path in (root / "retention" / "certificates").glob("*.json")]
    assert [(one["calls"], one["left"]) for one in certificates] == [
        (2, {"held": 1})
    ]  # the second time there was nothing to erase


def test_a_certificate_for_every_contract(tmp_path: Path) -> None:
    """One for each enterprise ID, whatever rules its lines had and in however many steps it was erased."""
    root, rules = tmp_path / "archive", tmp_path / "rokubox.toml"
    records = make(root, 6, parts=1, enterprise="E1", line="0312345678")
    archive = Archive(root)
    for record, enterprise, line in ((records[3], "../東京", None), (records[4], "E1", None), (records[5], None, None)):
        rewritten(archive, replace(record, enterprise=enterprise, line=line))
    rokubox("reindex", "--archive", str(root))
    rules.write_text(
        """
[site]
customer = "Example"
[[enterprise]]
id = "E1"
ended_on = 2020-01-01
lines = [{ number = "0312345678", retention = { keep_days = 90 } }]
[[enterprise]]
id = "../東京"
ended_on = 2020-01-01
"""
    )
    aged(root, 1)
    rokubox("hold", "--set", "case", call_id(1)[:12], "--why", "court", "--archive", str(root))
    told = rokubox("retention", *arguments(root))
    folder = root / "retention" / "certificates"
    found = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    assert [(one["subject"], one["customer"], one["calls"], one["left"]) for one in found] == [
        ("enterprise ../東京", "Example", 1, {}),
        ("enterprise E1", "Example", 3, {"held": 1}),
    ]
    assert [len(one["entries"]) for one in found] == [1, 2]
    assert all(str(path) in told for path in folder.glob("*.txt"))
    assert list((root / "retention" / "orders").iterdir()) == []


@pytest.mark.parametrize("has_index", [True, False])
def test_what_the_index_does_not_know_the_records_tell(archive: Path, has_index: bool) -> None:
    """An index that is not there is not asked; one that says otherwise than a record erases nothing."""
    aged(archive, 10)
    if has_index:
        with closing(sqlite3.connect(archive / "index.sqlite", isolation_level=None)) as index:
            index.execute("INSERT INTO lines VALUES (77, 'E1', '', '')")
            index.execute("UPDATE calls SET line = 77 WHERE call_id = ?", (bytes.fromhex(call_id(1)),))
            index.execute("UPDATE calls SET line = 1 WHERE call_id = ?", (bytes.fromhex(call_id(2)),))
        rewritten(Archive(archive), replace(record_of(archive, 2), enterprise="E1"))
    else:
        (archive / "index.sqlite").unlink()
    told = rokubox("retention", *arguments(archive), code=3 if has_index else 0)
    assert f"{2 if has_index else 4} calls erased" in told
    assert (f"call record {call_id(2)[:10]}: the index says otherwise" in told) is has_index


def record_of(root: Path, number: int) -> CallRecord:
    return read_record(next((root / "calls").rglob(f"{call_id(number)}.json")))


def rewritten(archive: Archive, record: CallRecord) -> None:
    """Let the archive's record say something else."""
    path = archive.record_path(record)
    path.write_bytes(to_json(record))


def test_what_cannot_be_read_is_told(archive: Path) -> None:
    next((archive / "calls").rglob(f"{call_id(0)}.json")).write_bytes(b"{}")
    aged(archive, 1000)
    told = rokubox("retention", *arguments(archive), code=3)
    assert f"rokubox: call record {call_id(0)[:10]}: not a CallRecord" in told
    assert "3 calls erased" in told


def test_erase_asks_first(archive: Path, tmp_path: Path) -> None:
    words = [
        str(ROKUBOX),
        "erase",
        "--number",
        "0312345678",
        "--why",
        "x",
        "--certificate",
        "cert",
        *arguments(archive),
    ]
    for said, code, left in (("", 2, 10), ("yes", 2, 10), ("5", 0, 0)):
        done = subprocess.run(words, input=said, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.returncode, len(finished(archive))) == (code, left)
    assert clockguard.is_confirmed(clockfile.read(archive / "retention")) is False
