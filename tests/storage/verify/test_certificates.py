"""Certificates of erasure in the archive against the ledger."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from storage.retention import certificate
from storage.retention.certificate import Certificate
from storage.verify.defects import Defect
from tests.storage.verify.archives import Made, make_small, verified


def forms(made: Made) -> tuple[Path, Path]:
    folder = made.root / "retention" / certificate.FOLDER
    return folder / "E1.json", folder / "E1.txt"


def said(made: Made) -> list[tuple[str, str]]:
    return [(one.kind.value, one.what) for one in defects(made)]


def defects(made: Made) -> list[Defect]:
    return [one for one in verified(made.root).defects if one.path.startswith("retention/")]


def rewritten(made: Made, **changes: object) -> None:
    """Both forms say something else, and fit each other."""
    path, text = forms(made)
    document = json.loads(path.read_bytes()) | changes
    done = msgspec.convert(document, Certificate)
    path.write_bytes(certificate.to_json(done))
    text.write_text(certificate.to_text(done), "utf-8")


def test_a_right_one(made: Made) -> None:
    rewritten(made)
    assert said(made) == []


@pytest.mark.parametrize("changes", [{"calls": 2}, {"parts": 7}, {"bytes": 7}, {"why": "other"}, {"entries": []}])
def test_what_the_ledger_does_not_say(made: Made, changes: dict[str, object]) -> None:
    rewritten(made, **changes)
    assert said(made) == [("altered", "it says something else than the ledger's lines in it")]


def test_a_line_of_ones_own(made: Made) -> None:
    [entry] = json.loads(forms(made)[0].read_bytes())["entries"]
    rewritten(made, entries=[{**entry, "line": entry["line"].replace("90 days", "91 days")}])
    assert said(made) == [("altered", "a line in it is not proved")]
    rewritten(made, entries=[{**entry, "line": "{}"}])
    assert said(made) == [("altered", "a line or a proof in it is none")]


def test_of_another_log(made: Made, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_small(other)
    shutil.copytree(made.root / "retention", other / "retention")
    found = verified(other).defects
    assert {(one.subject, one.path) for one in found} == {
        ("the checkpoint in a certificate of erasure", "retention/certificates/E1.json")
    }


def test_halves_and_what_has_no_place_there(made: Made) -> None:
    path, text = forms(made)
    text.rename(text.with_name("E2.txt"))
    (path.parent / "note").write_bytes(b"x")
    (path.parent / ".E3.json.tmp-7").write_bytes(b"x")
    assert [(one.kind.value, one.path.rpartition("/")[2]) for one in defects(made)] == [
        ("missing", "E1.txt"),
        ("unexpected", "E2.txt"),
        ("unexpected", "note"),
    ]
    text.with_name("E2.txt").rename(text)
    path.write_bytes(path.read_bytes().replace(b" ", b"", 1))
    assert ("altered", "it is in another form than it was written") in said(made)
    path.write_bytes(b"{")
    assert ("altered", "it cannot be read, or is none") in said(made)
