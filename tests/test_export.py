"""`rokubox export` as a customer meets it: the bundle proves itself, and the ledger knows of it."""

import io
import json
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from appliance import cli, failures
from storage.ledger import entries
from storage.ledger.entries import Export
from tests.archive_reading import tree_digest
from tests.scenario import CALLER, Imported, call, do_import
from tests.traffic.calls import play


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    return do_import(tmp_path_factory.mktemp("in"), play(call()).packets)


def rokubox(*words: object, code: int = failures.OK) -> str:
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        assert cli.main([str(word) for word in words]) == code, told.getvalue()
    return told.getvalue()


def exports(archive: Path) -> list[Export]:
    stored = (archive / "ledger" / "entries.jsonl").read_bytes().splitlines()
    return [entry for line in stored if isinstance(entry := entries.parse(line), Export)]


def test_an_original_proves_itself_elsewhere(imported: Imported, tmp_path: Path) -> None:
    before = tree_digest(imported.archive / "recordings")
    target = tmp_path / "out.zip"
    said = rokubox(
        "export", imported.only["call_id"][:10], "--archive", imported.archive, "--to", target, "--why", "complaint 17"
    )
    assert "1 calls, 1 recordings" in said
    elsewhere = tmp_path / "elsewhere"
    with zipfile.ZipFile(target) as bundle:
        bundle.extractall(elsewhere)
    (original,) = elsewhere.glob("originals/*.zip")
    rokubox("verify", original, "--public-key", elsewhere / "device-key.pem")
    original.write_bytes(original.read_bytes().replace(b"caller", b"calker"))
    rokubox("verify", original, "--public-key", elsewhere / "device-key.pem", code=10)
    entry = exports(imported.archive)[-1]
    assert (entry.call_ids, entry.why, entry.options) == ((imported.only["call_id"],), "complaint 17", {})
    after = tree_digest(imported.archive / "recordings")
    assert {name: digest for name, digest in after.items() if name != "checkpoint.txt"} == {
        name: digest for name, digest in before.items() if name != "checkpoint.txt"
    }
    rokubox("verify", "--archive", imported.archive)


def test_what_is_treated_is_said_in_bundle_and_ledger(imported: Imported, tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    wishes = ["--mix", "--redact", "--mask-keys", "--encoding", "pcmu", "--from", "1", "--until", "3.5"]
    rokubox(
        "export", "--number", CALLER.number, "--archive", imported.archive, "--to", target, *wishes, "--why", "training"
    )
    with zipfile.ZipFile(target) as bundle:
        manifest = json.loads(bundle.read("manifest.json"))
        assert CALLER.number.encode() not in b"".join(map(bundle.read, bundle.namelist()))
    assert manifest["treatment"]["cut_s"] == [1.0, 3.5]
    assert exports(imported.archive)[-1].options == {
        "mix": "yes",
        "redact": "yes",
        "mask_keys": "yes",
        "encoding": "pcmu",
        "cut_s": "1-3.5",
    }


def test_refusals_name_what_is_wrong(imported: Imported, tmp_path: Path) -> None:
    there = tmp_path / "there.zip"
    there.write_bytes(b"mine")
    to_archive = ["--archive", imported.archive, "--why", "x"]
    known = imported.only["call_id"]
    count = len(exports(imported.archive))
    assert "is there already" in rokubox("export", known, "--to", there, *to_archive, code=failures.USAGE)
    assert "in no directory" in rokubox(
        "export", known, "--to", tmp_path / "no" / "x", *to_archive, code=failures.USAGE
    )
    assert "no call with this id" in rokubox("export", "0" * 10, *to_archive, code=failures.USAGE)
    assert there.read_bytes() == b"mine"
    assert len(exports(imported.archive)) == count
