"""Calls by the ledger's lines: each once, in order, whatever is half written."""

import msgspec
import pytest

from appliance.agent import calltail
from appliance.agent.calltail import Place
from storage.archive import Archive
from storage.json_form import to_json
from storage.layout import day_folder
from storage.ledger.entries import Call
from storage.vocabulary import Source
from tests.storage.samples import call_record

FIRST = b'{"kind": "log", "n": 1}\n'


@pytest.fixture
def archive(tmp_path):
    made = Archive(tmp_path)
    made.ledger.mkdir()
    (made.ledger / "entries.jsonl").write_bytes(FIRST)
    return made


def line(archive, number, source=Source.SPAN):
    record = call_record(call_id=f"{number:064x}", source=source)
    path = archive.records / day_folder(record.started_at) / f"{record.call_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(record))
    entry = Call(call_id=record.call_id, day=record.started_at[:10], record_sha256="0" * 64, at=record.started_at)
    return msgspec.json.encode(entry) + b"\n"


def append(archive, stored):
    with (archive.ledger / "entries.jsonl").open("ab") as lines:
        lines.write(stored)


def numbers(news):
    return [int(record.call_id, 16) for record in news.calls]


def test_what_was_before_is_history_then_each_call_comes_once(archive):
    append(archive, line(archive, 1) + b'{"torn')
    news = calltail.read(archive, None)
    assert numbers(news) == []
    assert news.place.offset == (archive.ledger / "entries.jsonl").stat().st_size - len(b'{"torn')
    with (archive.ledger / "entries.jsonl").open("r+b") as lines:
        lines.truncate(news.place.offset)
    append(archive, line(archive, 2) + line(archive, 3, Source.IMPORT) + line(archive, 4)[:-1])
    news = calltail.read(archive, calltail.load(calltail.dump(news.place)))
    assert numbers(news) == [2]  # an import is no news, a line that is not whole not yet
    append(archive, b"\n" + b"not a line\n" + line(archive, 5))
    news = calltail.read(archive, news.place)
    assert (numbers(news), news.more) == ([4, 5], False)
    assert numbers(calltail.read(archive, news.place)) == []


def test_what_was_erased_since_is_left_out(archive):
    place = calltail.read(archive, None).place
    append(archive, line(archive, 1) + line(archive, 2))
    next(archive.records.rglob(f"{1:064x}.json")).unlink()
    assert numbers(calltail.read(archive, place)) == [2]


def test_another_log_is_read_from_its_beginning(archive):
    place = calltail.read(archive, None).place
    (archive.ledger / "entries.jsonl").write_bytes(FIRST.replace(b"1", b"2") + line(archive, 7))
    assert numbers(calltail.read(archive, place)) == [7]
    (archive.ledger / "entries.jsonl").write_bytes(FIRST)
    assert calltail.read(archive, Place(begins=FIRST.decode(), offset=10_000)).place.offset == len(FIRST)


def test_much_is_read_in_turns(archive, monkeypatch):
    place = calltail.read(archive, None).place
    for number in range(1, 8):
        append(archive, line(archive, number))
    monkeypatch.setattr(calltail, "READ_BYTES", 600)
    found = []
    while True:
        news = calltail.read(archive, place)
        found += numbers(news)
        place = news.place
        if not news.more:
            break
    assert found == list(range(1, 8))


def test_a_text_that_is_no_place_is_none():
    assert calltail.load("") is None
    assert calltail.load("[]") is None
