"""Bundles are checked to the last byte: real ones, with real keys."""

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.errors import BundleError
from appliance.firmware import bundle
from appliance.firmware.updatestatus import Reason
from tests.appliance.firmware import bundles

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("rauc", "veritysetup", "openssl", "mksquashfs")),
    reason="rauc, cryptsetup-bin, openssl and squashfs-tools are not installed (packages.apt)",
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("bundles"), keys)


def changed(good: Path, folder: Path, at: int) -> Path:
    """A copy with one bit changed; counted from the end when `at` is negative."""
    content = bytearray(good.read_bytes())
    content[at] ^= 0x10
    copy = folder / good.name
    copy.write_bytes(content)
    return copy


def refused(path: Path, configuration: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        bundle.verify(path, bundle.inspect(path, configuration))
    return caught.value


def test_a_good_one(good: Path, keys: Path) -> None:
    found = bundle.inspect(good, bundles.trusting(keys))
    assert (found.compatible, found.version) == ("rokubox-x86_64", "0.2.0")
    bundle.verify(good, found)


@pytest.mark.parametrize("at", [0, 100, 1_000_000, 2_100_000, -12_000])
def test_one_bit_of_payload_or_tree_is_found_before_anything_is_written(
    at: int, good: Path, keys: Path, tmp_path: Path
) -> None:
    error = refused(changed(good, tmp_path, at), bundles.trusting(keys))
    assert error.reason in (Reason.DAMAGED, Reason.SIGNATURE)
    assert at in (0, -12_000) or error.reason == Reason.DAMAGED


@pytest.mark.parametrize("at", [-600, -9])
def test_one_bit_of_the_signature(at: int, good: Path, keys: Path, tmp_path: Path) -> None:
    assert refused(changed(good, tmp_path, at), bundles.trusting(keys)).reason == Reason.SIGNATURE


def test_one_that_somebody_else_has_signed(good: Path, tmp_path: Path) -> None:
    other = bundles.keys(tmp_path / "others")
    assert refused(good, bundles.trusting(other)).reason == Reason.SIGNATURE


def test_one_that_was_cut_off(good: Path, keys: Path, tmp_path: Path) -> None:
    short = tmp_path / good.name
    short.write_bytes(good.read_bytes()[:-100_000])
    assert refused(short, bundles.trusting(keys)).reason == Reason.SIGNATURE


def test_one_for_other_hardware(keys: Path, tmp_path: Path) -> None:
    other = bundles.bundle(tmp_path, keys, compatible="rokubox-arm64")
    assert refused(other, bundles.trusting(keys)).reason == Reason.OTHER_DEVICE


def test_what_is_no_bundle(keys: Path, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.raucb"
    nothing.write_bytes(b"x" * 5000)
    assert refused(nothing, bundles.trusting(keys)).reason == Reason.SIGNATURE


def test_keys_are_never_overwritten(keys: Path) -> None:
    before = (keys / "signing.key").read_bytes()
    again = subprocess.run([bundles.REPOSITORY / "image/keys", keys], capture_output=True, text=True)
    assert (again.returncode, (keys / "signing.key").read_bytes()) == (2, before)
    assert "is there already" in again.stderr
    assert (keys / "signing.key").stat().st_mode & 0o077 == 0
