import io
import shutil
import subprocess

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp.g711 import DECODE, SILENCE_CODE, Law, decode, decode_stereo, encode

ALL_CODES = np.arange(256).astype(np.uint8)
ALL_SAMPLES = np.arange(-32768, 32768).astype(np.int16)
SOX_ENCODING = {Law.PCMU: "mu-law", Law.PCMA: "a-law"}
LIBSNDFILE_SUBTYPE = {Law.PCMU: "ULAW", Law.PCMA: "ALAW"}
DIGITAL_MILLIWATT = {Law.PCMU: "1e0b0b1e9e8b8b9e", Law.PCMA: "34212134b4a1a1b4"}
OVERLOAD_PEAK = {Law.PCMU: 4 * 8159, Law.PCMA: 8 * 4096}
OVERLOAD_DBM0 = {Law.PCMU: 3.17, Law.PCMA: 3.14}

needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="sox, the independent G.711 table, is not installed")
both_laws = pytest.mark.parametrize("law", list(Law))


def sox(source: bytes, source_format: str, target_format: str) -> bytes:
    raw = "-t raw -r 8000 -c 1"
    command = f"sox -D {raw} {source_format} - {raw} {target_format} -".split()
    return subprocess.run(command, input=source, capture_output=True, check=True).stdout


@needs_sox
@both_laws
def test_every_code_decodes_as_in_sox(law: Law) -> None:
    linear = sox(ALL_CODES.tobytes(), f"-e {SOX_ENCODING[law]} -b 8", "-L -e signed -b 16")
    assert np.array_equal(decode(ALL_CODES, law), np.frombuffer(linear, "<i2"))


@needs_sox
@both_laws
def test_every_sample_encodes_as_in_sox(law: Law) -> None:
    codes = sox(ALL_SAMPLES.astype("<i2").tobytes(), "-L -e signed -b 16", f"-e {SOX_ENCODING[law]} -b 8")
    assert encode(ALL_SAMPLES, law).tobytes() == codes


@both_laws
def test_every_code_decodes_as_in_libsndfile(law: Law) -> None:
    stored = io.BytesIO(ALL_CODES.tobytes())
    linear, _ = soundfile.read(
        stored, dtype="int16", format="RAW", subtype=LIBSNDFILE_SUBTYPE[law], samplerate=8000, channels=1
    )
    assert np.array_equal(decode(ALL_CODES, law), linear)


@both_laws
def test_digital_milliwatt_is_0_dbm0(law: Law) -> None:
    tone = decode(np.frombuffer(bytes.fromhex(DIGITAL_MILLIWATT[law]), np.uint8), law).astype(float)
    below_overload_db = 20 * np.log10(OVERLOAD_PEAK[law] / np.sqrt(2) / np.sqrt(np.mean(tone**2)))
    assert below_overload_db == pytest.approx(OVERLOAD_DBM0[law], abs=0.02)


@both_laws
def test_encode_undoes_decode(law: Law) -> None:
    again = encode(decode(ALL_CODES, law), law)
    different = ALL_CODES[again != ALL_CODES].tolist()
    assert different == ([0x7F] if law is Law.PCMU else [])


@both_laws
def test_louder_samples_never_get_a_lower_level(law: Law) -> None:
    assert (np.diff(decode(encode(ALL_SAMPLES, law), law)) >= 0).all()


def test_silence() -> None:
    assert [int(DECODE[law][SILENCE_CODE[law]]) for law in Law] == [0, 8]
    assert [int(np.abs(DECODE[law]).max()) for law in Law] == [32124, 32256]


def test_the_shared_table_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        DECODE[Law.PCMU][0] = 1


def sides(n: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    generator = np.random.default_rng(n)
    return generator.integers(0, 256, n, np.uint8), generator.integers(0, 256, n, np.uint8)


@both_laws
@pytest.mark.parametrize("right_law", list(Law))
@pytest.mark.parametrize("n", [0, 1, 160, 16383, 16384, 16385, 40000])
def test_stereo_is_both_sides_decoded(n: int, law: Law, right_law: Law) -> None:
    left, right = sides(n)
    stereo = decode_stereo(left, right, law, right_law)
    assert stereo.dtype == np.int16
    assert np.array_equal(stereo, np.stack([decode(left, law), decode(right, right_law)], axis=1))


def test_every_pair_of_codes() -> None:
    left, right = np.tile(ALL_CODES, 256), np.repeat(ALL_CODES, 256)
    stereo = decode_stereo(left, right, Law.PCMU, Law.PCMA)
    assert np.array_equal(stereo, np.stack([decode(left, Law.PCMU), decode(right, Law.PCMA)], axis=1))


def test_stereo_goes_into_the_given_array_and_nowhere_else() -> None:
    left, right = sides(20000)
    buffer = np.full((20004, 2), 77, np.int16)
    returned = decode_stereo(left, right, Law.PCMU, Law.PCMU, buffer[2:-2])
    assert np.shares_memory(returned, buffer)
    assert np.array_equal(buffer[2:-2], decode_stereo(left, right, Law.PCMU, Law.PCMU))
    assert (buffer[:2] == 77).all()
    assert (buffer[-2:] == 77).all()


@pytest.mark.parametrize("header", [44, 58])
def test_stereo_goes_behind_a_wav_header_of_any_alignment(header: int) -> None:
    left, right = sides(500)
    file = bytearray(header + 4 * 500)
    decode_stereo(left, right, Law.PCMA, Law.PCMA, np.frombuffer(file, np.int16, offset=header).reshape(-1, 2))
    assert bytes(file[header:]) == decode_stereo(left, right, Law.PCMA, Law.PCMA).tobytes()


@pytest.mark.parametrize(("n_left", "n_right", "n_out"), [(3, 1, 3), (1, 3, 1), (3, 3, 2), (0, 1, 0)])
def test_shapes_that_differ_are_refused(n_left: int, n_right: int, n_out: int) -> None:
    left, right = np.zeros(n_left, np.uint8), np.zeros(n_right, np.uint8)
    with pytest.raises(ValueError, match="do not match"):
        decode_stereo(left, right, Law.PCMU, Law.PCMU, np.zeros((n_out, 2), np.int16))


@given(codes=st.binary(max_size=400), cut=st.integers(0, 400), law=st.sampled_from(Law))
@settings(max_examples=60, deadline=None)
def test_parts_decode_as_the_whole(codes: bytes, cut: int, law: Law) -> None:
    whole = np.frombuffer(codes, np.uint8)
    parts = [decode(whole[:cut], law), decode(whole[cut:], law)]
    assert np.array_equal(np.concatenate(parts), decode(whole, law))
