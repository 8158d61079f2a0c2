import io
import shutil
import struct
import subprocess
import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import SoundError
from storage.vocabulary import Law
from storage.wavfile import MAX_DATA_BYTES, Sound, WavInfo, encode
from tests.storage.samples import INFO, companded, linear, sound

LAWS = [Law.PCMU, Law.PCMA]


def wav_of(part: Sound) -> bytes:
    return b"".join(bytes(chunk) for chunk in encode(part))


@pytest.mark.parametrize("frames", [1, 3999, 4000, 80001])
def test_pcm16_is_what_libsndfile_itself_writes(frames, tmp_path):
    audio = linear(frames)
    path = tmp_path / "whole.wav"
    with soundfile.SoundFile(path, "w", 8000, 2, subtype="PCM_16") as whole:
        whole.title, whole.date, whole.comment = INFO.title, INFO.date, INFO.comment
        whole.software = f"{INFO.software} (libsndfile)"
        whole.write(audio)
    assert wav_of(sound(audio)) == path.read_bytes()


def test_pcm16_reads_back_with_soundfile_and_the_standard_library():
    audio = linear(8000)
    stored = wav_of(sound(audio))
    with soundfile.SoundFile(io.BytesIO(stored)) as read:
        assert (read.samplerate, read.channels, read.subtype) == (8000, 2, "PCM_16")
        assert (read.title, read.date, read.comment) == (INFO.title, INFO.date, INFO.comment)
        assert read.software == "rokubox 0.1.0 (libsndfile)"
        assert np.array_equal(read.read(dtype="int16"), audio)
    with wave.open(io.BytesIO(stored)) as read:
        assert read.readframes(8000) == audio.tobytes()


def test_no_version_of_a_library_is_in_the_file():
    stored = wav_of(sound(linear(10)))
    assert soundfile.__libsndfile_version__.encode() not in stored


@pytest.mark.parametrize("law", LAWS)
def test_g711_keeps_the_received_bytes(law):
    codes = companded(8001)
    stored = wav_of(sound(codes, law=law))
    assert stored.endswith(codes.tobytes())
    with soundfile.SoundFile(io.BytesIO(stored)) as read:
        assert (read.frames, read.channels) == (8001, 2)
        assert read.subtype == {Law.PCMU: "ULAW", Law.PCMA: "ALAW"}[law]
        assert (read.title, read.date, read.software) == (INFO.title, INFO.date, INFO.software)


@pytest.mark.parametrize("law", LAWS)
def test_g711_header(law):
    stored = wav_of(sound(companded(3), law=law))
    riff, size, form, fmt, fmt_size = struct.unpack_from("<4sI4s4sI", stored)
    assert (riff, size, form, fmt, fmt_size) == (b"RIFF", len(stored) - 8, b"WAVE", b"fmt ", 18)
    tag = {Law.PCMU: 7, Law.PCMA: 6}[law]
    assert struct.unpack_from("<HHIIHHH", stored, 20) == (tag, 2, 8000, 16000, 2, 8, 0)
    assert struct.unpack_from("<4sII", stored, 38) == (b"fact", 4, 3)
    assert stored[-14:-6] == b"data" + struct.pack("<I", 6)
    assert stored.index(b"data") % 2 == 0


@pytest.mark.parametrize("law", [None, *LAWS])
@pytest.mark.skipif(shutil.which("sox") is None, reason="sox is not installed")
def test_sox_reads_it_without_a_complaint(law, tmp_path):
    audio = linear(8000) if law is None else companded(8000)
    path = tmp_path / "part.wav"
    path.write_bytes(wav_of(sound(audio, law=law)))
    linear_again = ["-t", "raw", "-e", "signed-integer", "-b", "16", "-"]
    run = subprocess.run(["sox", path, *linear_again], capture_output=True, check=True)
    assert run.stderr == b""
    assert run.stdout == soundfile.read(path, dtype="int16")[0].tobytes()


@given(st.lists(st.integers(0, 700), min_size=1, max_size=12).filter(any), st.sampled_from([None, *LAWS]))
@settings(max_examples=60, deadline=None)
def test_how_the_audio_is_cut_into_blocks_does_not_show(lengths, law):
    audio = linear(sum(lengths)) if law is None else companded(sum(lengths))
    blocks = np.split(audio, np.cumsum(lengths)[:-1])
    cut = Sound(blocks=iter(blocks), frames=len(audio), law=law, info=INFO)
    assert wav_of(cut) == wav_of(sound(audio, law=law, block=10_000))


def test_blocks_need_not_be_contiguous():
    assert wav_of(sound(linear(500)[::-1], block=99)) == wav_of(sound(linear(500)[::-1].copy()))
    swapped = companded(500)[:, ::-1]
    assert wav_of(sound(swapped, law=Law.PCMU)) == wav_of(sound(swapped.copy(), law=Law.PCMU))


@given(st.text(max_size=300), st.sampled_from([None, *LAWS]))
@settings(max_examples=60, deadline=None)
def test_any_text_fits_into_info(text, law):
    info = WavInfo(title=text, date=text, comment=text, software=text)
    audio = linear(7) if law is None else companded(7)
    stored = wav_of(Sound(blocks=[audio], frames=7, law=law, info=info))
    with soundfile.SoundFile(io.BytesIO(stored)) as read:
        assert read.frames == 7
        assert len(read.title) <= 200
    assert stored.endswith(audio.tobytes())


@pytest.mark.parametrize(
    ("blocks", "frames", "law", "message"),
    [
        ([linear(5)], 6, None, "another length than the 6 frames"),
        ([linear(5), linear(5)], 6, None, "another length than the 6 frames"),
        ([companded(5)], 6, Law.PCMU, "another length than the 6 frames"),
        ([companded(5)], 5, None, "a block of uint8"),
        ([linear(5)], 5, Law.PCMA, "a block of int16"),
        ([linear(5)[:, :1]], 5, None, r"\(5, 1\)"),
        ([linear(5)[:, 0]], 5, None, r"\(5,\)"),
        ([linear(5).astype(">i2")], 5, None, "a block of >i2"),
        ([], MAX_DATA_BYTES // 4 + 1, None, "do not make one WAV"),
        ([], 0, None, "do not make one WAV"),
    ],
)
def test_audio_that_is_not_as_announced(blocks, frames, law, message):
    with pytest.raises(SoundError, match=message):
        wav_of(Sound(blocks=blocks, frames=frames, law=law, info=INFO))
