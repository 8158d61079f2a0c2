"""`rokubox search`, `totals` and `reindex` on an archive that the importer made."""

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from appliance.cli import main
from storage.index.numbers import searchable
from storage.index.reader import IndexReader
from tests.assembling import assembling
from tests.demo_calls import demo_calls
from tests.traffic.calls import together
from tests.traffic.pcapwriter import frames_of, write_pcap

CONFIG = """\
[[enterprise]]
id = "E0001"
lines = [{ number = "0335550101" }, { number = "+81-3-3555-0102" }]
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexed")
    write_pcap(folder / "calls.pcap", frames_of(together(demo_calls())))
    (folder / "rokubox.toml").write_text(CONFIG)
    arguments = ["--output", str(folder / "archive"), "--config", str(folder / "rokubox.toml"), "--record", "all"]
    assert main(["import", str(folder / "calls.pcap"), *arguments]) == 0
    return folder / "archive"


class Printed(NamedTuple):
    """What a command printed and told."""

    out: str
    told: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Printed:
    capsys.readouterr()
    assert main(list(arguments)) == code
    return Printed(*capsys.readouterr())


def search(capsys: pytest.CaptureFixture[str], archive: Path, *conditions: str) -> tuple[list[dict[str, Any]], str]:
    """The calls found, and the place where the next page begins."""
    printed = run(capsys, "search", "--archive", str(archive), "--json", *conditions)
    _, _, place = printed.told.strip().partition("--after ")
    return [json.loads(line) for line in printed.out.splitlines()], place


def found(capsys: pytest.CaptureFixture[str], archive: Path, *conditions: str) -> list[dict[str, Any]]:
    hits, _ = search(capsys, archive, *conditions)
    return hits


def records(capsys: pytest.CaptureFixture[str], archive: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(capsys, "calls", "--archive", str(archive), "--json").out.splitlines()]


def test_search_finds_what_the_call_records_say(capsys, archive):
    known = records(capsys, archive)
    assert len(known) >= 5
    everything = found(capsys, archive)
    assert [call["call_id"] for call in reversed(everything)] == [call["call_id"] for call in known]
    for call, hit in zip(known, reversed(everything), strict=True):
        assert hit["started_at"] == call["started_at"][:23] + call["started_at"][29:]
        assert (hit["outcome"], hit["reasons"], hit["line"]) == (call["outcome"], call["reasons"], call["line"] or "")
        assert hit["parts"] == len(call["parts"])
        sizes = [path.stat().st_size for path in archive.rglob(f"*_{call['call_id'][:10]}_p*.zip")]
        assert hit["bytes"] == sum(sizes)


@pytest.mark.parametrize(
    "number", ["0335550102", "03-3555-0102", "+81 3 3555 0102", "184-03-3555-0102", "０３３５５５０１０２"]
)
def test_every_notation_finds_the_number_on_either_side(capsys, archive, number):
    expected = {
        call["call_id"]
        for call in records(capsys, archive)
        if "0335550102"
        in {searchable(each) for each in (call["caller"]["number"], call["callee"]["number"], call["dialled"])}
    }
    assert expected
    assert {hit["call_id"] for hit in found(capsys, archive, "--number", number)} == expected
    assert {hit["call_id"] for hit in found(capsys, archive, "--prefix", number[:-2])} >= expected
    as_caller = found(capsys, archive, "--number", number, "--side", "caller")
    as_callee = found(capsys, archive, "--number", number, "--side", "callee")
    assert len(as_caller) + len(as_callee) == len(expected)


def test_conditions_narrow_down(capsys, archive):
    known = records(capsys, archive)
    with_keys = {call["call_id"] for call in known if call["dtmf"]}
    assert with_keys
    assert {hit["call_id"] for hit in found(capsys, archive, "--dtmf")} == with_keys
    held = {call["call_id"] for call in known if call["holds"]}
    assert {hit["call_id"] for hit in found(capsys, archive, "--held")} == held
    assert len(found(capsys, archive, "--no-held")) == len(known) - len(held)
    day = known[0]["started_at"][:10]
    assert len(found(capsys, archive, "--day", day)) == sum(call["started_at"][:10] == day for call in known)
    assert found(capsys, archive, "--from", f"{day}T00:00", "--to", f"{day}T00:00") == []
    assert found(capsys, archive, "--to", "1999-12-31") == []
    lengths = [hit["length_s"] for hit in found(capsys, archive, "--sort", "length", "--longer-s", "1")]
    assert lengths == sorted((call["duration_s"] for call in known if call["duration_s"] >= 1), reverse=True)
    expected = [call["call_id"] for call in known if (call["line"], call["outcome"]) == ("0335550101", "not_expected")]
    narrow = found(capsys, archive, "--enterprise", "E0001", "--line", "0335550101", "--outcome", "not_expected")
    assert [hit["call_id"] for hit in reversed(narrow)] == expected


def test_pages_go_on_where_the_last_ended(capsys, archive):
    whole = found(capsys, archive)
    paged, place = search(capsys, archive, "--limit", "2")
    while place:
        page, place = search(capsys, archive, "--limit", "2", "--after", place)
        paged += page
    assert paged == whole


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--after", "x"], "--after: this is no place in a search; give what the last page told"),
        (["--after", "00000000-time-1-1"], "--after: the index was made anew since that page; begin the search again"),
        (["--number", " "], "--number: there is nothing in it"),
        (["--side", "caller"], "--side: whose number? give --number or --prefix"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "--to lies before --from"),
        (["--from", "2026-01-02", "--day", "2026-01-01"], "give --day, or --from and --to"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(capsys, archive, arguments, told):
    assert run(capsys, "search", "--archive", str(archive), *arguments, code=2).told == f"rokubox: {told}\n"


@pytest.mark.parametrize("arguments", [["--from", "x"], ["--limit", "0"], ["--limit", "1001"], ["--longer-s", "nan"]])
def test_what_argparse_refuses(archive, arguments):
    with pytest.raises(SystemExit) as ended:
        main(["search", "--archive", str(archive), *arguments])
    assert ended.value.code == 2


def test_an_order_is_gone_on_with_in_the_same_order_only(capsys, archive):
    _, place = search(capsys, archive, "--limit", "1")
    refused = run(capsys, "search", "--archive", str(archive), "--sort", "length", "--after", place, code=2)
    assert "that page was sorted by time, this search by length" in refused.told


def test_table_and_csv_show_the_same_calls(capsys, archive):
    hits = found(capsys, archive)
    table = run(capsys, "search", "--archive", str(archive)).out
    assert table.splitlines()[-1] == f"{len(hits)} calls"
    assert all(hit["call_id"][:10] in table for hit in hits)
    rows = list(csv.DictReader(io.StringIO(run(capsys, "search", "--archive", str(archive), "--csv").out)))
    assert [row["call_id"] for row in rows] == [hit["call_id"] for hit in hits]
    assert [row["outcome"] for row in rows] == [hit["outcome"] for hit in hits]


def totals(capsys, archive: Path, *arguments: str) -> list[dict[str, Any]]:
    printed = run(capsys, "totals", "--archive", str(archive), "--json", *arguments)
    return [json.loads(line) for line in printed.out.splitlines()]


def test_totals_are_those_of_the_call_records(capsys, archive):
    known = records(capsys, archive)
    (all_of_it,) = totals(capsys, archive, "--per", "all")
    assert all_of_it["calls"] == len(known)
    assert all_of_it["seconds"] == pytest.approx(sum(call["duration_s"] for call in known), abs=0.01)
    by_day = Counter(call["started_at"][:10] for call in known)
    assert {each["day"]: each["calls"] for each in totals(capsys, archive)} == by_day
    by_outcome = Counter((call["started_at"][:7], call["line"] or "", call["outcome"]) for call in known)
    apart = totals(capsys, archive, "--per", "month", "--by", "line,outcome")
    assert {(each["month"], each["line"], each["outcome"]): each["calls"] for each in apart} == by_outcome
    (one,) = totals(capsys, archive, "--per", "all", "--line", "03 3555 0101")
    assert one["line"] == "0335550101"
    assert one["calls"] == sum(call["line"] == "0335550101" for call in known)
    spans = [(call["started_at"], call["ended_at"]) for call in known]
    peak = max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)
    assert all_of_it["peak"] == peak > 1
    assert totals(capsys, archive, "--to", "1999-12-31") == []


def test_totals_as_table_and_csv(capsys, archive):
    table = run(capsys, "totals", "--archive", str(archive), "--by", "outcome").out
    assert "peak 同時最大" in table
    rows = list(csv.DictReader(io.StringIO(run(capsys, "totals", "--archive", str(archive), "--csv").out)))
    assert [int(row["calls"]) for row in rows] == [each["calls"] for each in totals(capsys, archive)]
    assert "no calls" in run(capsys, "totals", "--archive", str(archive), "--to", "1999-12-31").out
    refused = run(capsys, "totals", "--archive", str(archive), "--from", "2026-01-02T03:04", code=2)
    assert refused.told == "rokubox: totals are of whole days: give dates without a time\n"


def test_an_index_that_is_gone_is_asked_for_and_made_anew(capsys, archive):
    before = found(capsys, archive)
    (archive / "index.sqlite").unlink()
    refused = run(capsys, "search", "--archive", str(archive), code=3)
    assert refused.told == "rokubox: the archive has no index; `rokubox reindex` makes it from the files\n"
    assert run(capsys, "reindex", "--archive", str(archive)).out.startswith(f"{len(before)} calls in the index")
    assert found(capsys, archive) == before
    assert main(["verify", "--archive", str(archive)]) == 0


def test_the_daemon_takes_the_new_index_while_it_runs(capsys, archive):
    before = found(capsys, archive)
    with IndexReader(archive / "index.sqlite") as reader:
        generation = reader.generation
    with assembling(archive):
        assert run(capsys, "reindex", "--archive", str(archive)).out.startswith(f"{len(before)} calls in the index")
        assert found(capsys, archive) == before
        with IndexReader(archive / "index.sqlite") as reader:
            assert reader.generation != generation
        hold = ["hold", "--set", "case-1", before[0]["call_id"], "--why", "y", "--archive", str(archive)]
        run(capsys, *hold)
        assert [hit["call_id"] for hit in found(capsys, archive, "--legal-hold")] == [before[0]["call_id"]]
    run(capsys, "hold", "--release", "case-1", "--why", "y", "--archive", str(archive))
    assert not (archive / "spool" / "index.sqlite").exists()


def test_a_damaged_record_is_named_by_reindex(capsys, archive):
    record = min(archive.glob("calls/*/*/*/*.json"))
    whole = record.read_bytes()
    record.write_bytes(whole[:50])
    try:
        printed = run(capsys, "reindex", "--archive", str(archive), code=3)
        assert f"call record {record.stem[:10]}: not a CallRecord" in printed.told
    finally:
        record.write_bytes(whole)
    run(capsys, "reindex", "--archive", str(archive))


def test_no_archive_no_traceback(capsys, tmp_path):
    for name in ("search", "totals", "reindex"):
        code = main([name, "--archive", str(tmp_path / "nothing")])
        told = capsys.readouterr().err
        assert code in (3, 4), told
        assert told.count("\n") == 1


def test_numbers_are_not_in_the_messages(archive):
    """Of a damaged index, too, nothing is told but that it is damaged."""
    index = archive / "index.sqlite"
    whole = index.read_bytes()
    index.write_bytes(whole[:5000] + b"\xff" * 20000 + whole[25000:])
    try:
        command = [sys.executable, "-m", "appliance", "search", "--archive", str(archive), "--number", "0335550101"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 3
        assert "0335550101" not in done.stderr
        assert "`rokubox reindex` makes it anew" in done.stderr
    finally:
        index.write_bytes(whole)
