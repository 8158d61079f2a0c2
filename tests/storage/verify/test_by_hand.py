"""The recipe of docs/verify-by-hand.md, run as it stands there, with unzip, coreutils and openssl and nothing else."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from storage.errors import LedgerError
from storage.ledger import devicekey, proof, prooftext
from storage.verify import proofcheck
from tests.storage.ledger.books import opened
from tests.storage.verify.archives import call_id, make

DOCUMENT = Path(__file__).parents[3] / "docs/verify-by-hand.md"
COREUTILS = ("base64", "cat", "csplit", "cut", "head", "mv", "tail")
PROVED = ("The recording is in the ledger.", "Signature Verified Successfully")


def recipe(document: Path = DOCUMENT) -> str:
    found = re.search(r"```sh\n(.*?)\n```", document.read_text(), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def tools(tmp_path_factory) -> Path:
    """A folder with the tools that the recipe may use."""
    folder = tmp_path_factory.mktemp("tools")
    for name in (*COREUTILS, "unzip", "openssl"):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def bundle(made, tmp_path) -> Path:
    """What a court gets: recording, proof and public key."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    shutil.copy(made.parts[0], folder / "PART.zip")
    shutil.copy(made.root / "recordings/device-key.pem", folder / "device-key.pem")
    with opened(made.root) as ledger:
        found = ledger.prove(call_id(1), 1)
    assert found is not None
    (folder / "PART.proof.txt").write_bytes(prooftext.to_text(found))
    return folder


def said(folder: Path, tools: Path, script: str) -> str:
    sh = shutil.which("sh")
    assert sh
    done = subprocess.run(
        [sh, "-c", script], cwd=folder, env={"PATH": str(tools)}, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


def test_readme_and_proof_tell_the_recipe_of_the_document():
    assert recipe() == prooftext.RECIPE == recipe(DOCUMENT.parents[1] / "README.md")


def test_a_recording_is_proved(bundle, tools):
    output = said(bundle, tools, recipe())
    assert all(line in output for line in PROVED), output


@pytest.mark.parametrize("number", range(1, 21))
def test_in_ledgers_of_any_size(tmp_path, tools, number):
    made = make(tmp_path / "archive")
    from tests.storage.ledger.books import both

    with opened(made.root) as ledger:
        ledger.append(both(*range(100, 100 + number)))
        ledger.commit(1_800_000_000_000_000_000)
        found = ledger.prove(call_id(4), 1)
    assert found is not None
    shutil.copy(made.parts[-1], tmp_path / "PART.zip")
    shutil.copy(made.root / "recordings/device-key.pem", tmp_path / "device-key.pem")
    (tmp_path / "PART.proof.txt").write_bytes(prooftext.to_text(found))
    output = said(tmp_path, tools, recipe())
    assert all(line in output for line in PROVED), output


@pytest.mark.parametrize("place", [0, 60, 500, 1500])
def test_an_altered_recording_is_not(bundle, tools, place):
    path = bundle / "PART.zip"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    output = said(bundle, tools, recipe())
    assert "NOT PROVED" in output or place == 0  # the ZIP's own first byte: unzip reads the same files
    assert proofcheck.defects(path, bundle / "PART.proof.txt", keys(bundle))


@pytest.mark.parametrize("line", [*range(7), 8, 9, 10, 12])
def test_an_altered_proof_is_not(bundle, tools, line):
    path = bundle / "PART.proof.txt"
    lines = path.read_bytes().split(b"\n")
    assert len(lines[line]) > 1
    lines[line] = lines[line][:-3] + (b"AA=" if lines[line].endswith(b"=") else b"99")
    path.write_bytes(b"\n".join(lines))
    output = said(bundle, tools, recipe())
    assert line == 0 or not all(one in output for one in PROVED), output
    try:
        assert proofcheck.defects(bundle / "PART.zip", path, keys(bundle))
    except LedgerError:
        return


def test_another_key_does_not_prove_it(bundle, tools, tmp_path):
    with opened(tmp_path / "other"):
        pass
    shutil.copy(tmp_path / "other/ledger/device.pub", bundle / "device-key.pem")
    assert PROVED[1] not in said(bundle, tools, recipe())
    found = proofcheck.defects(bundle / "PART.zip", bundle / "PART.proof.txt", keys(bundle))
    assert [defect.kind.value for defect in found] == ["signature"]


def test_wav_and_json(made, tools, tmp_path):
    wav = next(path for path in made.parts if path.suffix == ".wav")
    with opened(made.root) as ledger:
        found = ledger.prove(call_id(2), 1)
    assert found is not None
    for path, name in ((wav, "PART.wav"), (wav.with_suffix(".json"), "PART.json")):
        shutil.copy(path, tmp_path / name)
    shutil.copy(made.root / "recordings/device-key.pem", tmp_path / "device-key.pem")
    (tmp_path / "PART.proof.txt").write_bytes(prooftext.to_text(found))
    changed = recipe().replace('unzip -p "$part" call.json', "cat PART.json")
    changed = changed.replace('unzip -p "$part" audio.wav', "cat PART.wav")
    output = said(tmp_path, tools, changed)
    assert all(line in output for line in PROVED), output


def test_rokubox_reads_both_forms(bundle, made):
    part = bundle / made.parts[0].name
    (bundle / "PART.zip").rename(part)
    text = (bundle / "PART.proof.txt").read_bytes()
    bare = proof.serialize(prooftext.from_text(text))
    for name, content in ((part.stem + ".proof.txt", text), (part.name + ".tlog-proof", bare)):
        (bundle / name).write_bytes(content)
        beside = proofcheck.proof_beside(part)
        assert beside is not None
        assert beside == bundle / name
        assert proofcheck.defects(part, beside, keys(bundle)) == []
        (bundle / name).unlink()
    assert proofcheck.proof_beside(part) is None


def keys(folder: Path) -> list[bytes]:
    return [devicekey.read_public(folder / "device-key.pem")]


def test_nothing_but_the_named_tools_is_there(tools):
    assert sorted(os.listdir(tools)) == sorted((*COREUTILS, "unzip", "openssl"))
