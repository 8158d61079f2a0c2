"""One update from the bundle to the restart; RAUC checks for real, and writes nothing."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import AlreadyRunningError, BundleError, FirmwareError
from appliance.firmware import fetching, updatestatus
from appliance.firmware.updatestatus import Attempt, Reason, State, UpdateStatus
from appliance.firmware.updating import Update, UpdateSettings, is_older
from tests.appliance.firmware import bundles

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("rauc", "veritysetup", "openssl", "mksquashfs")),
    reason="rauc, cryptsetup-bin, openssl and squashfs-tools are not installed (packages.apt)",
)
_RAUC = """\
#!/bin/sh
[ "$1" = install ] || exec {rauc} "$@"
echo "$2" >>{folder}/installed
[ ! -e {folder}/full ] || {{ echo "LastError: Failed updating slot root.1"; exit 1; }}
"""
BEFORE = UpdateStatus(state=State.GOOD, source="file", began_ns=1, changed_ns=2, running="0.1.0", version="0.2.0")


class Box:
    """A box's folders, and a RAUC that has no slots to write to."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder = folder
        self.cmdline = {"slot": "A"}
        self.told: list[str] = []
        self.settings = UpdateSettings(
            running="0.1.0",
            folder=folder,
            restart=folder / "now",
            configuration=bundles.trusting(keys),
            announced_s=0,
            booted=lambda: self.cmdline,
        )

    def update(self, bundle: Path, source: str = "file", **settings: bool) -> UpdateStatus:
        changed = replace(self.settings, **settings)  # type: ignore[arg-type]
        Update(changed, source, self.told.append).run(lambda target: fetching.copy(bundle, target))
        return self.status()

    def refused(self, bundle: Path, source: str = "file") -> Reason:
        with pytest.raises(BundleError) as caught:
            self.update(bundle, source)
        assert not self.was_written
        assert not (self.folder / "now").exists()
        return Reason(caught.value.reason)

    def status(self) -> UpdateStatus:
        found = updatestatus.read(self.folder)
        assert found is not None
        return found

    @property
    def was_written(self) -> bool:
        return (self.folder / "installed").exists()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("bundles"), keys)


@pytest.fixture
def box(tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "rauc").write_text(_RAUC.format(rauc=shutil.which("rauc"), folder=tmp_path))
    (programs / "rauc").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return Box(tmp_path, keys)


def test_a_good_bundle_is_installed_and_the_box_restarts(box: Box, good: Path) -> None:
    (box.folder / updatestatus.BEGAN).touch()
    status = box.update(good)
    assert (status.state, status.version, status.slot, status.source) == (State.RESTARTING, "0.2.0", "B", "file")
    assert status.stops_ns is not None
    assert (box.folder / "now").exists()
    assert not (box.folder / updatestatus.BEGAN).exists()
    assert not (box.folder / "bundle.raucb").exists()
    assert (box.folder / "installed").read_text() == f"{box.folder}/bundle.raucb\n"


def test_one_that_is_damaged_is_not_handed_to_rauc(box: Box, good: Path, tmp_path: Path) -> None:
    content = bytearray(good.read_bytes())
    content[1_000_000] ^= 1
    damaged = tmp_path / "damaged.raucb"
    damaged.write_bytes(content)
    assert box.refused(damaged) is Reason.DAMAGED
    status = box.status()
    assert (status.state, status.reason, status.version) == (State.REFUSED, Reason.DAMAGED, "0.2.0")
    assert not (box.folder / "bundle.raucb").exists()


def test_older_ones_are_taken_only_when_that_is_said(box: Box, keys: Path, tmp_path: Path) -> None:
    older = bundles.bundle(tmp_path / "older", keys, "0.0.9")
    assert box.refused(older) is Reason.OLDER
    assert box.update(older, allows_older=True).state is State.RESTARTING


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [("0.1.0", "0.2.0", True), ("0.10.0", "0.9.9", False), ("1", "1.0.0", False), ("1.0", "1.0.1", True)],
)
def test_versions_are_compared_by_their_numbers(version: str, than: str, older: bool) -> None:
    assert is_older(version, than) == older


def test_a_stick_that_stays_in_is_no_second_update(box: Box, good: Path, keys: Path, tmp_path: Path) -> None:
    box.update(good, "medium")
    installed = replace(box.status(), state=State.GOOD)
    updatestatus.write(installed, box.folder)
    (box.folder / "installed").unlink()
    (box.folder / "now").unlink()
    assert box.refused(good, "medium") is Reason.SAME
    assert box.status() == installed
    same = bundles.bundle(tmp_path / "same", keys, "0.1.0")
    assert box.refused(same, "medium") is Reason.SAME


def test_one_that_was_rolled_back_is_not_tried_again(box: Box, good: Path) -> None:
    box.update(good, "medium")
    attempt = Attempt(boot_id="b", at_ns=1, reason=Reason.UNSTABLE)
    rolled_back = replace(box.status(), state=State.ROLLED_BACK, reason=Reason.UNSTABLE, attempts=(attempt,))
    updatestatus.write(rolled_back, box.folder)
    (box.folder / "installed").unlink()
    (box.folder / "now").unlink()
    assert box.refused(good, "medium") is Reason.FAILED_BEFORE
    assert box.status() == rolled_back
    assert box.update(good, tries_again=True).state is State.RESTARTING


@pytest.mark.parametrize("state", [State.RESTARTING, State.ON_TRIAL])
def test_while_something_is_on_trial_nothing_is_written_over_the_way_back(box: Box, good: Path, state: State) -> None:
    on_trial = replace(BEFORE, state=state, slot="A")
    updatestatus.write(on_trial, box.folder)
    box.cmdline["trial"] = ""
    assert box.refused(good) is Reason.ON_TRIAL
    assert box.status() == on_trial


def test_a_slot_that_cannot_be_written_is_no_reason_to_restart(box: Box, good: Path) -> None:
    (box.folder / "full").touch()
    with pytest.raises(FirmwareError, match="Failed updating slot"):
        box.update(good)
    status = box.status()
    assert (status.state, status.reason) == (State.FAILED, Reason.INSTALL)
    assert not (box.folder / "now").exists()


def test_a_machine_without_slots(box: Box, good: Path) -> None:
    box.cmdline.clear()
    with pytest.raises(FirmwareError, match="does not run the appliance's image"):
        box.update(good)


def test_there_is_one_update_at_a_time(box: Box, good: Path) -> None:
    def fetch(_target: Path) -> None:
        with pytest.raises(AlreadyRunningError, match="an update is under way"):
            box.update(good)
        raise BundleError(Reason.DOWNLOAD, "enough")

    with pytest.raises(BundleError, match="enough"):
        Update(box.settings, "url", box.told.append).run(fetch)
