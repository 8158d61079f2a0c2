import hashlib

import numpy as np
import pytest

from dsp import g711
from storage import partreader
from storage.disk import Disk
from storage.errors import DamagedPartError, DamagedRecordError
from storage.partfile import AUDIO_NAME, METADATA_NAME, write_part
from storage.vocabulary import Form, Law
from tests.storage.samples import companded, linear, metadata, part_record, plan, sound

FORMS = [Form.ZIP, Form.WAV]


def written(folders, form, audio, law=None):
    return folders / "day" / write_part(Disk(), plan(folders, form), sound(audio, law=law), metadata).name


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_read(folders, form):
    audio = linear(20000)
    path = written(folders, form, audio)
    assert np.array_equal(partreader.read_samples(path), audio)
    assert np.array_equal(partreader.read_samples(path, 12345, 100), audio[12345:12445])
    assert len(partreader.read_samples(path, 19990, 100)) == 10
    assert len(partreader.read_samples(path, 30000)) == 0
    record = partreader.read_record(path)
    assert record == part_record(wav_sha256=record.wav_sha256)


@pytest.mark.parametrize("samples", [1, 20000, 150_000])
def test_a_zip_is_hashed_with_what_is_in_it(folders, samples):
    path = written(folders, Form.ZIP, linear(samples))
    with path.open("rb") as file:
        found = partreader.zip_hashes(file)
    assert found == partreader.ZipHashes(
        whole=hashlib.sha256(path.read_bytes()).hexdigest(),
        call_json=partreader.sha256(path, METADATA_NAME),
        wav=partreader.sha256(path, AUDIO_NAME),
        size_bytes=path.stat().st_size,
    )
    path.write_bytes(path.read_bytes()[:-30])
    with path.open("rb") as file, pytest.raises(DamagedPartError, match=r"^its ZIP is damaged$"):
        partreader.zip_hashes(file)


@pytest.mark.parametrize("law", Law)
def test_companded_audio_is_read_as_linear(folders, law):
    codes = companded(5000)
    read = partreader.read_samples(written(folders, Form.ZIP, codes, law))
    assert np.array_equal(read, g711.decode(codes, g711.Law(law.value)))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_not_there_is_said_without_its_name(folders, form):
    with pytest.raises(DamagedPartError, match=r"^it is missing$"):
        partreader.read_record(folders / "day" / f"20260102_0312345678.{form}")


def test_a_damaged_part_is_said_to_be_damaged(folders):
    path = written(folders, Form.ZIP, linear(20000))
    whole = path.read_bytes()
    for damaged, told in (
        (whole[: len(whole) // 2], "its ZIP is damaged"),
        (whole.replace(b"audio.wav", b"audio.wax"), "its ZIP lacks an entry"),
        (whole.replace(b"WAVEfmt ", b"WAXEfmt "), "its WAV is damaged"),
        (b"", "its ZIP is damaged"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(DamagedPartError, match=f"^{told}$"):
            partreader.read_samples(path)


def test_a_bare_wav_that_is_damaged(folders):
    path = written(folders, Form.WAV, linear(20000))
    path.write_bytes(b"RIFFxxxxWAVE")
    with pytest.raises(DamagedPartError, match=r"^its WAV is damaged$"):
        partreader.read_samples(path)
    path.with_suffix(".json").write_bytes(b"{}")
    with pytest.raises(DamagedRecordError):
        partreader.read_record(path)
