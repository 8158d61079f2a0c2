"""Exports of what a real import recorded."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import soundfile

from appliance.export import bundle
from appliance.export.bundle import Order
from appliance.export.treatment import Encoding, Treatment
from storage.archive import Archive
from storage.errors import ConflictError
from tests.scenario import CALLEE, CALLER, RATE_HZ, Imported, call, do_import, media
from tests.traffic.calls import play
from tests.traffic.media import Digit, impaired

NUMBERS = [CALLER.number, CALLEE.number]
TONE = 20 * RATE_HZ
"""Where the key sent as sound begins."""
KEYS = {"device-key.pem": b"a key\n", "checkpoint.txt": b"a checkpoint\n"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """One call of 40 s in two parts, with loss, pressed keys and a key sent as sound."""
    pressed = tuple(Digit(at_s=4.0 + place, digit=key) for place, key in enumerate("42"))
    sound = media(40.0, 2).audio.copy()
    at = np.arange(1600) / RATE_HZ
    sound[TONE : TONE + 1600] = 6000 * (np.sin(2 * np.pi * 770 * at) + np.sin(2 * np.pi * 1209 * at))
    tone = replace(media(40.0, 2), audio=sound)
    script = call(
        talk_s=40.0, caller_media=impaired(media(40.0, 1, digits=pressed), loss=0.02, seed=3), callee_media=tone
    )
    return do_import(tmp_path_factory.mktemp("export"), play(script).packets, config="[recording]\nsegment_s = 30\n")


Exported = Callable[..., zipfile.ZipFile]


@pytest.fixture
def export(imported: Imported, tmp_path: Path) -> Exported:
    def write(**asked) -> zipfile.ZipFile:
        archive = Archive(imported.archive)
        calls = list(archive.calls(_refuse))
        order = Order(
            calls=calls,
            treatment=Treatment(**asked),
            who="auditor",
            why="complaint 7",
            at=datetime(2026, 1, 2, 3, 4, 6, tzinfo=ZoneInfo("Asia/Tokyo")),
            software="rokubox test",
        )
        target = tmp_path / "export.zip"
        bundle.write(archive, order, target, prove=_proof, keys=KEYS, step=lambda _part: None)
        assert [path.name for path in tmp_path.iterdir()] == ["export.zip"]
        return zipfile.ZipFile(io.BytesIO(target.read_bytes()))

    return write


def _refuse(error: Exception) -> None:
    raise error


def _proof(call_id: str, part: int) -> bytes:
    return f"proof of {call_id} {part}\n".encode()


def audio(exported: zipfile.ZipFile, part: int) -> np.ndarray:
    (name,) = [
        name for name in exported.namelist() if name.startswith("treated/") and name.endswith(f"p{part:02d}.wav")
    ]
    samples, rate = soundfile.read(io.BytesIO(exported.read(name)), dtype="int16", always_2d=True)
    assert rate == RATE_HZ
    return samples


def test_without_wishes_it_holds_the_originals_and_their_proofs(imported, export):
    exported = export()
    assert exported.testzip() is None
    for name, part in imported.parts.items():
        assert exported.read(f"originals/{name}") == part.path.read_bytes()
        assert exported.read(f"originals/{part.path.stem}.proof.txt").startswith(b"proof of ")
    assert not [name for name in exported.namelist() if name.startswith("treated/")]
    for name, content in KEYS.items():
        assert exported.read(name) == content
    assert "録音".encode() in exported.read("README.txt")


def test_the_manifest_names_every_file_with_its_hash(imported, export):
    exported = export(mix=True)
    manifest = json.loads(exported.read("manifest.json"))
    assert (manifest["schema"], manifest["who"], manifest["why"]) == ("rokubox.export/1", "auditor", "complaint 7")
    named = {file["name"]: file for file in manifest["files"]}
    assert set(exported.namelist()) == {*named, *KEYS, "manifest.json", "README.txt"}
    for name, file in named.items():
        assert hashlib.sha256(exported.read(name)).hexdigest() == file["sha256"]
    hashes = {entry["wav_sha256"] for entry in imported.only["parts"]}
    assert {file["original_wav_sha256"] for file in named.values() if file["part"]} == hashes


def test_the_same_order_gives_the_same_bytes(export, tmp_path):
    export(mix=True)
    first = (tmp_path / "export.zip").read_bytes()
    (tmp_path / "export.zip").unlink()
    export(mix=True)
    assert (tmp_path / "export.zip").read_bytes() == first


def test_another_file_under_its_name_is_kept(export, tmp_path):
    (tmp_path / "export.zip").write_bytes(b"mine")
    with pytest.raises(ConflictError):
        export()
    assert (tmp_path / "export.zip").read_bytes() == b"mine"


def test_a_mix_is_one_channel_and_cannot_clip(imported, export):
    exported = export(mix=True)
    for number, part in enumerate(imported.parts.values(), 1):
        mixed = audio(exported, number)
        assert mixed.shape == (len(part.audio), 1)
        assert np.array_equal(mixed[:, 0], part.audio.sum(axis=1, dtype=np.int32) >> 1)


def test_a_companded_copy_in_the_law_of_the_call_is_exact(imported, export):
    exported = export(encoding=Encoding.PCMU)
    for number, part in enumerate(imported.parts.values(), 1):
        assert np.array_equal(audio(exported, number), part.audio)


def test_a_companded_copy_in_the_other_law_is_off_by_a_step_at_most(imported, export):
    exported = export(encoding=Encoding.PCMA)
    for number, part in enumerate(imported.parts.values(), 1):
        step = np.abs(part.audio.astype(np.int32)) // 16 + 16
        assert (np.abs(audio(exported, number).astype(np.int32) - part.audio) <= step).all()


def test_lost_packets_are_concealed_and_counted(imported, export):
    exported = export(conceal=True)
    made_up = 0
    for number, part in enumerate(imported.parts.values(), 1):
        heard = audio(exported, number)
        for channel, described in enumerate(part.record["channels"]):
            for at, length, cause in (fill for stream in described["streams"] for fill in stream["fill"]):
                if cause == "loss":
                    made_up += length
                    assert (
                        at < 400
                        or heard[at : at + length, channel].any()
                        or not part.audio[at - 400 : at, channel].any()
                    )
    treated = [file["treated"] for file in json.loads(exported.read("manifest.json"))["files"] if file["treated"]]
    assert sum(each["concealed_samples"] for each in treated) == made_up > 0


def test_pressed_keys_are_silenced_and_nowhere_told(imported, export):
    exported = export(mask_keys=True)
    assert not [name for name in exported.namelist() if name.startswith("originals/")]
    heard, part = audio(exported, 1), next(iter(imported.parts.values()))
    keys = [key for key in part.record["dtmf"] if key["side"] == "caller"]
    assert len(keys) == 2
    for key in keys:
        assert not heard[key["first_sample"] : key["first_sample"] + key["samples"], 0].any()
    assert part.audio[TONE : TONE + 1600, 1].any()
    silent = np.flatnonzero(~heard[:, 1].astype(bool))
    assert np.isin(np.arange(TONE + 320, TONE + 1280), silent).all()
    told = [json.loads(exported.read(name)) for name in exported.namelist() if name.endswith(".json")]
    assert {key["digit"] for each in told for key in each.get("dtmf", ())} == {"x"}


def test_nothing_redacted_can_be_found(export):
    exported = export(redact=True)
    everything = "\n".join(exported.namelist()).encode() + b"".join(map(exported.read, exported.namelist()))
    for number in NUMBERS:
        assert number.encode() not in everything
        assert number.lstrip("0").encode() not in everything
    assert b"10.77.0.11" in everything, "addresses of streams are no numbers"


def test_a_cut_crosses_parts_and_keeps_its_place(imported, export):
    exported = export(cut_s=(28.5, 31.25))
    whole = np.concatenate([part.audio for part in imported.parts.values()])
    first, second = audio(exported, 1), audio(exported, 2)
    assert np.array_equal(np.concatenate([first, second]), whole[int(28.5 * RATE_HZ) : int(31.25 * RATE_HZ)])
    treated = [file["treated"] for file in json.loads(exported.read("manifest.json"))["files"] if file["treated"]]
    assert [each["first_sample"] for each in treated] == [228_000, 240_000]


def test_a_cut_of_one_part_leaves_the_other_out(export):
    names = export(cut_s=(1.0, 2.0)).namelist()
    assert (
        [name for name in names if name.endswith(".wav")] == [name for name in names if name.endswith("p01.wav")] != []
    )


def test_everything_at_once(export):
    exported = export(mix=True, conceal=True, encoding=Encoding.PCMA, mask_keys=True, redact=True, cut_s=(0.0, 35.0))
    assert audio(exported, 1).shape == (240_000, 1)
    assert audio(exported, 2).shape == (40_000, 1)


def test_two_files_for_each_part_of_the_wav_form(tmp_path):
    (tmp_path / "in").mkdir()
    found = do_import(tmp_path / "in", play(call()).packets, arguments=["--form", "wav"])
    archive = Archive(found.archive)
    calls = list(archive.calls(_refuse))
    at = datetime(2026, 1, 2, tzinfo=ZoneInfo("UTC"))
    order = Order(calls=calls, treatment=Treatment(), who="a", why="b", at=at, software="s")
    bundle.write(archive, order, tmp_path / "e.zip", prove=_proof, keys=KEYS, step=lambda _part: None)
    with zipfile.ZipFile(tmp_path / "e.zip") as exported:
        suffixes = sorted(name.rsplit(".", 1)[1] for name in exported.namelist() if name.startswith("originals/"))
    assert suffixes == ["json", "txt", "wav"]
