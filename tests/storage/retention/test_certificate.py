"""The certificate says what the ledger says, in both languages, and never more than is so."""

import json
from dataclasses import replace

from storage.retention.certificate import Certificate, Left, ProvenEntry, to_json, to_text

WHOLE = Certificate(
    software="rokubox 0.1.0",
    customer="客先",
    site="大阪",
    subject="090-1234-5678",
    rule="request of the person",
    who="tanaka",
    why="開示請求 2026-17",
    at="2026-11-27T12:00:00.000000000+09:00",
    calls=1200,
    parts=1300,
    bytes=12_345_678,
    left={},
    journal_clean=True,
    entries=(ProvenEntry(line='{"kind":"erasure"}', proof="c2sp.org/tlog-proof@v1\nindex 41\nrokubox/RB-1\n"),),
)


def test_json_holds_everything() -> None:
    document = json.loads(to_json(WHOLE))
    assert document["schema"] == "rokubox.erasure/1"
    [entry] = document["entries"]
    assert entry == {"line": '{"kind":"erasure"}', "proof": WHOLE.entries[0].proof}
    assert (document["why"], document["calls"], document["left"]) == ("開示請求 2026-17", 1200, {})


def test_text_for_people() -> None:
    text = to_text(WHOLE)
    for words in (
        "消去証明書\n",
        "Certificate of erasure\n",
        "消去した通話: 1,200 件",
        "calls erased: 1,200 (1,300 files, 12,345,678 bytes)",
        "090-1234-5678",
        "すべて消去されました",
        "were all erased from this box",
        '{"kind":"erasure"}\n\nc2sp.org/tlog-proof@v1\nindex 41\n',
    ):
        assert words in text
    assert text.index("消去証明書") < text.index("Certificate of erasure")


def test_what_is_left_is_said_and_nothing_is_called_complete() -> None:
    held = replace(WHOLE, left={Left.HELD: 3, Left.OPEN: 1})
    assert not held.is_complete
    text = to_text(held)
    for words in ("残存する通話: 3 件（法的保全", "calls left:   1 (call in progress)", "残存分は上記のとおり"):
        assert words in text
    assert "すべて消去されました" not in text
    assert "were all erased" not in text


def test_a_journal_that_still_holds_something_is_not_complete() -> None:
    text = to_text(replace(WHOLE, journal_clean=False))
    assert "leaves with its next files" in text
    assert "were all erased" not in text


def test_what_backups_still_hold_is_said() -> None:
    assert "Backups" not in to_text(WHOLE)
    text = to_text(replace(WHOLE, backup_days=93))
    assert "each is deleted 93 days after it was made" in text
    assert "作成から 93 日後に削除されます" in text
