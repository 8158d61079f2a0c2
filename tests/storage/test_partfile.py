import hashlib
import io
import json
import shutil
import subprocess
import time
import zipfile
from datetime import datetime

import numpy as np
import pytest
import soundfile

from storage.disk import Disk
from storage.errors import ConflictError, SoundError
from storage.partfile import write_part
from storage.vocabulary import Form, Law
from storage.wavfile import Sound, encode
from tests.storage.samples import INFO, STEM, companded, files, linear, metadata, plan, sound

FORMS = [Form.ZIP, Form.WAV]


@pytest.mark.parametrize("law", [None, Law.PCMA])
def test_a_zip_holds_the_wav_and_its_metadata(folders, law):
    audio = linear(20000) if law is None else companded(20000)
    written = write_part(Disk(), plan(folders, Form.ZIP), sound(audio, law=law), metadata)
    assert files(folders) == {f"day/{STEM}.zip"}
    path = folders / "day" / written.name
    assert (written.created, written.size_bytes) == (True, path.stat().st_size)
    with zipfile.ZipFile(path) as stored:
        assert stored.testzip() is None
        assert stored.namelist() == ["audio.wav", "call.json"]
        wav, call_json = stored.read("audio.wav"), stored.read("call.json")
    assert wav == b"".join(bytes(chunk) for chunk in encode(sound(audio, law=law)))
    assert written.wav_sha256 == hashlib.sha256(wav).hexdigest() == json.loads(call_json)["wav_sha256"]
    assert written.call_json_sha256 == hashlib.sha256(call_json).hexdigest()


def test_the_entries_say_what_unix_and_windows_want_to_know(folders):
    written = write_part(Disk(), plan(folders, Form.ZIP), sound(linear(10)), metadata)
    with zipfile.ZipFile(folders / "day" / written.name) as stored:
        for entry in stored.infolist():
            assert entry.date_time == (2026, 1, 2, 3, 4, 4)
            assert entry.compress_type == zipfile.ZIP_STORED
            assert entry.compress_size == entry.file_size
            assert (entry.create_system, entry.external_attr >> 16) == (3, 0o100640)
            assert (entry.flag_bits, entry.extract_version, entry.extra) == (1 << 11, 20, b"")


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_finds_no_errors(folders):
    written = write_part(Disk(), plan(folders, Form.ZIP), sound(linear(10000)), metadata)
    run = subprocess.run(["unzip", "-t", folders / "day" / written.name], capture_output=True, text=True, check=True)
    assert "No errors detected" in run.stdout


@pytest.mark.parametrize(
    ("started", "stored"),
    [
        (datetime(1970, 1, 1, 9), (1980, 1, 1, 0, 0, 0)),
        (datetime(2107, 12, 31, 23, 59, 59), (2107, 12, 31, 23, 59, 58)),
        (datetime(9999, 12, 31), (2107, 12, 31, 23, 59, 58)),
    ],
)
def test_times_that_zip_cannot_hold(folders, started, stored):
    written = write_part(Disk(), plan(folders, Form.ZIP, started), sound(linear(1)), metadata)
    with zipfile.ZipFile(folders / "day" / written.name) as part:
        assert part.infolist()[0].date_time == stored


def test_a_bare_wav_has_a_sidecar(folders):
    audio = linear(9000)
    written = write_part(Disk(), plan(folders, Form.WAV), sound(audio), metadata)
    assert files(folders) == {f"day/{STEM}.wav", f"day/{STEM}.json"}
    wav = (folders / "day" / written.name).read_bytes()
    sidecar = (folders / "day" / f"{STEM}.json").read_bytes()
    assert written.wav_sha256 == hashlib.sha256(wav).hexdigest() == json.loads(sidecar)["wav_sha256"]
    assert (written.call_json_sha256, written.size_bytes) == (
        hashlib.sha256(sidecar).hexdigest(),
        len(wav) + len(sidecar),
    )
    assert np.array_equal(soundfile.read(io.BytesIO(wav), dtype="int16")[0], audio)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_part_again_changes_nothing(folders, form):
    first = write_part(Disk(), plan(folders, form), sound(linear(9000)), metadata)
    before = {name: changes(folders / name) for name in files(folders)}
    again = write_part(Disk(), plan(folders, form), sound(linear(9000), block=77), metadata)
    assert (again.created, again.wav_sha256, again.name) == (False, first.wav_sha256, first.name)
    assert {name: changes(folders / name) for name in files(folders)} == before


def changes(path):
    """What tells that a file was written to, renamed or made anew; that it was read does not count."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink, status.st_mode


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("frames", [9000, 9001])
def test_another_part_under_the_name_is_a_conflict_and_the_first_is_kept(folders, form, frames):
    write_part(Disk(), plan(folders, form), sound(linear(9000)), metadata)
    before = {name: (folders / name).read_bytes() for name in files(folders)}
    with pytest.raises(ConflictError, match=r"^part 0123456789_p01 is in the archive with other content") as raised:
        write_part(Disk(), plan(folders, form), sound(linear(frames) ^ 1), metadata)
    assert "0312345678" not in str(raised.value)
    assert {name: (folders / name).read_bytes() for name in files(folders)} == before


def test_a_conflicting_sidecar_keeps_the_wav_back(folders):
    (folders / "day" / f"{STEM}.json").write_text("{}")
    with pytest.raises(ConflictError):
        write_part(Disk(), plan(folders, Form.WAV), sound(linear(10)), metadata)
    assert files(folders) == {f"day/{STEM}.json"}


def test_a_wav_without_its_sidecar_is_completed(folders):
    write_part(Disk(), plan(folders, Form.WAV), sound(linear(10)), metadata)
    (folders / "day" / f"{STEM}.json").unlink()
    assert write_part(Disk(), plan(folders, Form.WAV), sound(linear(10)), metadata).created
    assert files(folders) == {f"day/{STEM}.wav", f"day/{STEM}.json"}


@pytest.mark.parametrize("form", FORMS)
def test_a_symbolic_link_under_the_name_is_not_followed(folders, form):
    (folders / "day" / f"{STEM}.{form}").symlink_to(folders / "elsewhere")
    with pytest.raises(ConflictError):
        write_part(Disk(), plan(folders, form), sound(linear(10)), metadata)
    assert not (folders / "elsewhere").exists()


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_when_the_audio_or_the_metadata_fails(folders, form):
    def broken(_digest):
        raise RuntimeError("metadata")

    with pytest.raises(SoundError):
        write_part(Disk(), plan(folders, form), Sound(blocks=[linear(5)], frames=6, law=None, info=INFO), metadata)
    with pytest.raises(RuntimeError, match="metadata"):
        write_part(Disk(), plan(folders, form), sound(linear(5)), broken)
    assert files(folders) == set()


@pytest.mark.parametrize("form", FORMS)
def test_the_zone_of_the_process_does_not_show_in_the_bytes(folders, form, monkeypatch):
    digests = set()
    try:
        for zone in ("UTC", "America/New_York"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            write_part(Disk(), plan(folders, form), sound(linear(5)), metadata)
            path = folders / "day" / f"{STEM}.{form}"
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
            path.unlink()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert len(digests) == 1
