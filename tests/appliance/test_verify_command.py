"""`rokubox verify`, `prove` and `scrub` as their users meet them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli import main
from storage.ledger import checkpoint as checkpoints
from storage.ledger import devicekey
from tests.storage.verify.archives import Made, make


@pytest.fixture
def made(tmp_path) -> Made:
    return make(tmp_path / "archive")


def flip(path: Path, place: int = 200) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_sound_archive(made, capsys):
    assert main(["verify", "--archive", str(made.root)]) == 0
    output = capsys.readouterr()
    right = "3 parts, 3 call records and 1 record of late packets as recorded"
    assert output.out == f"{right}, 19 lines of the ledger rokubox/RB-0001: no defects\n"
    assert output.err == (
        "rokubox: note: the key that is believed is the archive's own: give --public-key FILE to prove more\n"
    )


def test_each_defect_is_named(made, capsys):
    flip(made.parts[0])
    made.parts[-1].unlink()
    assert main(["verify", "--all", "--archive", str(made.root)]) == 16
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"altered     {made.parts[0].relative_to(made.root)}  part 1 of call ")
    assert any(line.startswith("missing     recordings/2026/01/03  part 1 of call ") for line in lines)
    assert lines[-1].endswith(": 2 defects") or lines[-1].endswith(": 3 defects")


def test_an_older_checkpoint_and_the_public_key(made, tmp_path, capsys):
    kept = tmp_path / "kept.txt"
    kept.write_bytes(checkpoints.serialize(made.checkpoints[0]))
    key = shutil.copy(made.root / "recordings/device-key.pem", tmp_path)
    options = ["verify", "--archive", str(made.root), "--public-key", key, "--checkpoint", str(kept), "--json"]
    assert main(options) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert (report["parts"], report["ledger_entries"], report["notices"]) == (3, 19, [])
    with (made.root / "ledger/entries.jsonl").open("r+b") as lines:
        lines.write(lines.read().replace(b"suzuki", b"sasaki"))
    assert main(options) in (13, 16)
    assert not json.loads(capsys.readouterr().out)["ok"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "'yesterday' is no date"),
        (["--all", "--since", "2026-01-01"], "give PATH, --all or --since, not several of them"),
        (["--checkpoint", "nowhere"], "nowhere: No such file or directory"),
        (["elsewhere.zip"], "elsewhere.zip is not in the archive, and has no proof beside it"),
    ],
)
def test_usage(made, capsys, options, said):
    try:
        code = main(["verify", "--archive", str(made.root), *options])
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err


def test_what_is_no_archive_and_no_key(made, tmp_path, capsys):
    assert main(["verify", "--archive", str(tmp_path / "nowhere")]) == 3
    assert "cannot read the ledger: No such file or directory" in capsys.readouterr().err
    assert main(["verify", "--archive", str(made.root), "--public-key", str(made.parts[0])]) == 3
    assert "is not a public key in PEM" in capsys.readouterr().err


def test_paths(made, capsys):
    flip(made.parts[0])
    assert main(["verify", str(made.parts[0]), "--archive", str(made.root)]) == 10
    assert main(["verify", str(made.parts[-1]), "--archive", str(made.root)]) == 0
    assert main(["verify", str(made.parts[0].parent), "--archive", str(made.root)]) == 10
    capsys.readouterr()


def test_a_recording_with_its_proof_far_from_the_archive(made, tmp_path, capsysbinary):
    part = made.parts[0]
    assert main(["prove", str(part), "--archive", str(made.root)]) == 0
    text = capsysbinary.readouterr().out
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    copy = Path(shutil.copy(part, bundle))
    copy.with_suffix(".proof.txt").write_bytes(text)
    key = str(made.root / "recordings/device-key.pem")
    assert main(["verify", str(copy), "--public-key", key]) == 0
    assert capsysbinary.readouterr().out == b"1 part and 0 call records as recorded: no defects\n"
    assert main(["verify", str(copy)]) == 2
    flip(copy)
    assert main(["verify", str(copy), "--public-key", key]) == 10


@pytest.mark.parametrize("gone", [(), ("hashes",), ("hashes", "names", "device.key")])
def test_proofs_come_from_the_lines_alone_too(made, capsysbinary, gone):
    for name in gone:
        (made.root / "ledger" / name).unlink()
    assert main(["prove", str(made.parts[-1]), "--archive", str(made.root)]) == 0
    assert capsysbinary.readouterr().out.startswith(b"c2sp.org/tlog-proof@v1\nindex 16\n")


def test_nothing_is_proved_of_what_was_altered(made, capsys):
    flip(made.parts[0], 90)
    assert main(["prove", str(made.parts[0]), "--archive", str(made.root)]) == 3
    assert capsys.readouterr().err == "rokubox: this recording is not the one in the ledger: it was altered\n"
    with (made.root / "ledger/entries.jsonl").open("r+b") as lines:
        lines.truncate(3000)
    assert main(["prove", str(made.parts[-1]), "--archive", str(made.root)]) == 3


def test_the_scrub_goes_on_in_a_process_of_its_own(made):
    """At idle priority for disk and processor, so not in this process."""
    flip(made.parts[-1])
    script = "import sys; from appliance.cli import main; code = main(sys.argv[1:]); import os; print(os.nice(0), code)"
    command = [sys.executable, "-c", script, "scrub", "--archive", str(made.root), "--period-days", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": "."})
    assert "2 days, 0.0 MB read, " in done.stdout
    assert done.stdout.splitlines()[-1] == "19 10"
    assert "rokubox: scrub: altered: part 1 of call " in done.stderr
    assert "0312345678" not in done.stderr
    state = json.loads((made.root / "run/scrub.json").read_bytes())
    assert list(state["defects"]) == ["20260103"]


def test_idle_priority_is_taken():
    script = (
        "import ctypes; from appliance import idlepriority as i; print(i.take());"
        "print(ctypes.CDLL(None).syscall({'x86_64': 252, 'aarch64': 31}[__import__('platform').machine()], 1, 0) >> 13)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": "."})
    assert done.stdout.split() == ["True", "3"], done.stderr


def test_public_keys_are_read(made):
    assert len(devicekey.read_public(made.root / "recordings/device-key.pem")) == 32
