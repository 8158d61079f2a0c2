"""`python -m tests.image.disk IMAGE`: the data partition made, cut off in the making, encrypted, grown, and destroyed.

The stories are of one disk, in this order; each boot of the emulated machine shows as much as it can.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.datapartition import medium as stick_files
from appliance.datapartition import reset, table
from appliance.datapartition.table import State
from appliance.datapartition.tablefile import Disk
from appliance.flashing.gpt import SECTOR_BYTES
from tests.image import cuts, machine, medium, writelog
from tests.image.machine import Fittings, Machine, switched_on, wait_until
from tests.image.stories import RECORDING
from tests.units.story import Story, is_proven

BOOTED = "multi-user.target"
SERIAL = "RB-TEST-1"
PASSPHRASE = "correct-horse-9"
CONFIGURATION = """\
[site]
customer = "Example"
site = "Emulated"
serial = "RB-TEST-1"

[storage]
archive = "/var/lib/rokubox"
encryption = "{encryption}"
"""
_AS_CALLED = ("-smbios", f"type=1,serial={SERIAL}")
_SETTLED_S = 10.0
_KEY_S = 0.15
_KEYS = {"-": "minus", "\n": "ret"}


@dataclass(slots=True, kw_only=True)
class Bench:
    """What the stories share."""

    image: Path
    folder: Path
    points: int
    """Cuts that are drawn, besides those in the writing of the partition table."""
    boots: int
    """How many of the disks that were cut are booted."""
    seed: int

    @property
    def disk(self) -> Path:
        """The disk of all stories."""
        return self.folder / "disk.qcow2"


def main() -> int:
    """1 if something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--boots", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="keep everything there, and go on from what is there")
    parser.add_argument("--stories", nargs="*", help="only these")
    arguments = parser.parse_args()
    if reason := machine.why_not():
        print(f"not possible: {reason}")
        return 1
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="disk")))
        folder.mkdir(exist_ok=True)
        bench = Bench(
            image=arguments.image,
            folder=folder,
            points=arguments.points,
            boots=arguments.boots,
            seed=arguments.seed,
        )
        told: list[Callable[[Bench], Story]] = [
            first_boot,
            cut_off,
            reset_to_passphrase,
            locked,
            reset_to_tpm,
            sealed,
            moved,
        ]
        results = [is_proven(partial(tell, bench)) for tell in told if _wanted(tell, arguments.stories)]
        return int(not all(results))


def _wanted(tell: Callable[[Bench], Story], stories: list[str] | None) -> bool:
    return stories is None or tell.__name__ in stories


def first_boot(bench: Bench) -> Story:
    """Without a stick: not encrypted, the whole disk; every write is logged."""
    story = Story(title="first boot, without a stick")
    flashed = machine.fresh_disk(bench.image, bench.folder)
    writelog.raw(flashed, bench.folder / "base.raw")
    fittings = Fittings(
        disk=writelog.options(flashed, bench.folder / "log"), arguments=(*writelog.ARGUMENTS, *_AS_CALLED)
    )
    begun = time.monotonic()
    with switched_on(flashed, bench.folder, "first", fittings) as box:
        box.wait_for(RECORDING)
        story.done.append(f"records {time.monotonic() - begun:.0f} s after power-on")
        box.wait_for(BOOTED)
        time.sleep(_SETTLED_S)
        box.cut_power()
    writelog.raw(flashed, bench.folder / "now.raw")
    disk = Disk(bench.folder / "now.raw")
    partition = disk.read().partitions[cuts.DATA - 1]
    size_mib = (partition.last_sector + 1 - partition.first_sector) * SECTOR_BYTES >> 20
    story.done.append(f"data partition {size_mib} MiB of a disk of {disk.sectors * SECTOR_BYTES >> 20} MiB")
    story.expect(disk.is_whole(), "the partition table is not whole")
    story.expect(partition.name == State.MADE, f"the data partition is {partition.name}")
    story.expect(disk.sectors - partition.last_sector < 4096, "the data partition has not the whole disk")
    (bench.folder / "now.raw").unlink()
    return story


def cut_off(bench: Bench) -> Story:
    """The power was cut at many points of the first boot; some of the disks are booted."""
    story = Story(title="power cut during the first boot")
    base, bare = bench.folder / "base.raw", bench.folder / "bare.raw"
    log, disk = writelog.read(bench.folder / "log"), Disk(base)
    flashed = disk.read()
    story.problems += list(cuts.touched(log, flashed))
    cuts.without_slots(base, bare, flashed)
    found = []
    rebuilder = writelog.Rebuilder(log, bare, bench.folder / "flushed.raw")
    for point, seed in cuts.points(log, disk.sectors, bench.points, bench.seed):
        one = cuts.left(rebuilder, point, seed, bare, bench.folder)
        story.problems += [f"cut at {point} ({seed}): {problem}" for problem in one.problems]
        found.append(one)
    story.done.append(f"{len(log.entries)} writes and flushes ({len(log.flushes())}), cut at {len(found)} points")
    for (state, notes), count in sorted(Counter((one.state, ", ".join(one.notes)) for one in found).items()):
        story.done.append(f"  {count:3} x data partition {state}{': ' if notes else ''}{notes}")
    for one in _most_telling(found, bench.boots):
        cut = bench.folder / "cut.raw"
        writelog.rebuild(log, base, cut, one.point, one.seed)
        fittings = Fittings(disk=f"format=raw,file={cut}", arguments=_AS_CALLED)
        begun = time.monotonic()
        with switched_on(cut, bench.folder, f"cut{one.point}", fittings) as box:
            box.wait_for(RECORDING)
            story.done.append(
                f"cut at {one.point} ({one.state}: {', '.join(one.notes) or 'whole'}), booted:"
                f" records after {time.monotonic() - begun:.0f} s"
            )
            box.wait_for(BOOTED)
            time.sleep(_SETTLED_S)
        story.expect(Disk(cut).is_whole(), f"cut at {one.point}: the partition table is not mended")
        story.expect(table.state(Disk(cut).read(), cuts.DATA) is State.MADE, f"cut at {one.point}: no data partition")
    return story


def _most_telling(found: list[cuts.Left], count: int) -> list[cuts.Left]:
    """Disks that differ in what is left to be done: first those of which there are fewest."""
    kinds: dict[tuple[str, ...], list[cuts.Left]] = {}
    for one in found:
        kinds.setdefault((one.state, *one.notes), []).append(one)
    return [ones[len(ones) // 2] for ones in sorted(kinds.values(), key=len)][:count]


def reset_to_passphrase(bench: Bench) -> Story:
    """A stick with the serial number, and a word: everything goes, whatever comes between, and it is encrypted then."""
    story = Story(title="factory reset of a box that is not encrypted; a passphrase from then on")
    stick = _stick(bench, "passphrase", {stick_files.RESET: SERIAL})
    fittings = Fittings(sticks=(stick,), arguments=_AS_CALLED)
    with switched_on(bench.disk, bench.folder, "erasing", fittings) as box:
        box.wait_for("FACTORY RESET")
        is_told = "初期化" in box.console() and SERIAL in box.console()
        story.expect(is_told, "the console does not say what will be done")
        time.sleep(1.0)
        _type(box, f"{reset.WORD}\n")
        box.wait_for("30 % overwritten")
        box.cut_power()
    story.expect("NOT FINISHED" in _read(stick, stick_files.DESTROYED), "the stick does not say that it goes on")
    with switched_on(bench.disk, bench.folder, "passphrase", fittings) as box:
        box.wait_for("everything was destroyed")
        story.expect("FACTORY RESET" not in box.console(), "it asked again")
        story.done.append("power cut at 30 %: it goes on by itself")
        box.wait_for("choose the passphrase")
        _type(box, "short\n")
        box.wait_for("once more")
        _type(box, "short\n")
        box.wait_for("too short")
        _type(box, f"{PASSPHRASE}\n")
        box.wait_for("once more", times=2)
        _type(box, f"{PASSPHRASE}\n")
        box.wait_for(RECORDING)
        story.expect(PASSPHRASE not in box.console(), "the passphrase is shown")
        box.wait_for(BOOTED)
        time.sleep(_SETTLED_S)
        box.cut_power()
    answer = _read(stick, stick_files.DESTROYED)
    story.done += [f"stick: {line}" for line in answer.splitlines() if line]
    story.expect("finished: 20" in answer and "NOT FINISHED" not in answer, "the stick does not say what was destroyed")
    key = _recovery_key(stick)
    story.expect(bool(key), "no recovery key on the stick")
    story.expect(_opens(bench, key), "the recovery key does not open it")
    story.expect(_opens(bench, PASSPHRASE), "the passphrase does not open it")
    story.expect(not _opens(bench, "another phrase"), "anything opens it")
    story.done.append("the recovery key from the stick opens it, the passphrase too, another phrase not")
    return story


def locked(bench: Bench) -> Story:
    """Without a stick it waits for its passphrase. The disk is larger by now, and was not shut down."""
    story = Story(title="locked; grown when it was not shut down")
    subprocess.run(["qemu-img", "resize", "-q", str(bench.disk), "5G"], check=True)
    with switched_on(bench.disk, bench.folder, "locked", Fittings(arguments=_AS_CALLED)) as box:
        box.wait_for("NOT RECORDING")
        story.expect(RECORDING not in box.console(), "it records, and is locked")
        _type(box, "another-phrase\n")
        box.wait_for("does not open it")
        _type(box, f"{PASSPHRASE}\n")
        box.wait_for(RECORDING)
        box.wait_for(BOOTED)
        box.wait_for("resized filesystem to")
        box.power_off()
    with _raw(bench) as disk:
        partition = disk.read().partitions[cuts.DATA - 1]
        story.expect(disk.is_whole(), "the partition table is not whole")
        story.expect(disk.sectors - partition.last_sector < 4096, "the data partition has not the whole disk")
    story.done.append("a wrong passphrase is refused, the right one opens; partition and file system have 1 GiB more")
    return story


def reset_to_tpm(bench: Bench) -> Story:
    """An encrypted one is destroyed by its keys, without being opened; a TPM holds the next ones."""
    story = Story(title="factory reset of an encrypted box; a TPM from then on")
    before = _opens(bench, PASSPHRASE)
    stick = _stick(bench, "tpm2", {f"{stick_files.RESET}.txt": f"\ufeff{SERIAL.lower()}\r\n"})
    with _tpm(bench, "tpm") as tpm:
        fittings = Fittings(sticks=(stick,), arguments=(*_AS_CALLED, *tpm))
        with switched_on(bench.disk, bench.folder, "tpm", fittings) as box:
            box.wait_for("FACTORY RESET")
            time.sleep(1.0)
            _type(box, f"{reset.WORD}\n")
            box.wait_for("everything was destroyed")
            box.wait_for(RECORDING)
            box.wait_for(BOOTED)
            time.sleep(_SETTLED_S)
            box.power_off()
    story.done += [f"stick: {line}" for line in _read(stick, stick_files.DESTROYED).splitlines() if line]
    story.expect(before and not _opens(bench, PASSPHRASE), "the old passphrase opens it")
    story.expect(_opens(bench, _recovery_key(stick)), "the recovery key does not open it")
    story.expect(not _read(stick, f"{stick_files.RESET}.txt"), "the stick asks for it again")
    return story


def sealed(bench: Bench) -> Story:
    """With the same TPM nobody has to be there."""
    story = Story(title="opened by its TPM")
    with _tpm(bench, "tpm") as tpm:
        fittings = Fittings(arguments=(*_AS_CALLED, *tpm))
        with switched_on(bench.disk, bench.folder, "sealed", fittings) as box:
            begun = time.monotonic()
            box.wait_for(RECORDING)
            story.done.append(f"records {time.monotonic() - begun:.0f} s after power-on, without a stick and a key")
            story.expect("NOT RECORDING" not in box.console(), "it asked for a key")
            box.wait_for(BOOTED)
            box.power_off()
    return story


def moved(bench: Bench) -> Story:
    """In another machine it is of no use without the recovery key, whose stick lets the other TPM open it."""
    story = Story(title="moved to another machine, with the stick")
    stick = bench.folder / "tpm2" / "stick.img"
    for name in ("other-with-stick", "other-alone"):
        with _tpm(bench, "other") as tpm:
            sticks = (stick,) if name == "other-with-stick" else ()
            with switched_on(
                bench.disk, bench.folder, name, Fittings(sticks=sticks, arguments=(*_AS_CALLED, *tpm))
            ) as box:
                box.wait_for(RECORDING)
                refused = "TPM does not open it" in box.console()
                story.expect(refused == bool(sticks), f"{name}: refused by the TPM: {refused}")
                story.done.append(f"{name}: refused by the TPM: {refused}; records")
                box.wait_for(BOOTED)
                box.power_off()
    return story


def _stick(bench: Bench, encryption: str, files: dict[str, str]) -> Path:
    folder = bench.folder / encryption
    folder.mkdir()
    image = medium.stick(folder, CONFIGURATION.format(encryption=encryption), {})
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
        subprocess.run(["mcopy", "-i", image, folder / name, "::"], check=True)
    return image


def _read(stick: Path, name: str) -> str:
    read = subprocess.run(["mtype", "-i", stick, f"::{name}"], check=False, capture_output=True)
    return read.stdout.decode() if read.returncode == 0 else ""


def _recovery_key(stick: Path) -> str:
    text = _read(stick, stick_files.RECOVERY_KEY.format(serial=SERIAL))
    return next((line for line in text.splitlines() if line.count("-") == 7), "")


def _type(box: Machine, text: str) -> None:
    """On the keyboard of the machine itself."""
    for letter in text:
        key = {"type": "qcode", "data": _KEYS.get(letter, letter)}
        box.order("send-key", keys=[key])
        time.sleep(_KEY_S)


@contextlib.contextmanager
def _raw(bench: Bench) -> Iterator[Disk]:
    path = bench.folder / "now.raw"
    writelog.raw(bench.disk, path)
    yield Disk(path)
    path.unlink()


def _opens(bench: Bench, key: str) -> bool:
    """Whether a key opens the data partition of the machine that is off."""
    with _raw(bench) as disk:
        volume = bench.folder / "volume"
        cuts.partition(bench.folder / "now.raw", disk.read(), cuts.DATA, volume)
    order = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(volume)]
    done = subprocess.run(order, input=key.encode(), check=False, capture_output=True)
    volume.unlink()
    return done.returncode == 0


@contextlib.contextmanager
def _tpm(bench: Bench, name: str) -> Iterator[tuple[str, ...]]:
    """A TPM 2 with a state of its own, as QEMU's arguments."""
    state = bench.folder / name
    state.mkdir(exist_ok=True)
    control = state / "control"
    order = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--ctrl", f"type=unixio,path={control}"]
    with subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(control.exists, lambda: "no TPM")
            yield (
                *("-chardev", f"socket,id=tpm,path={control}"),
                *("-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0"),
            )
        finally:
            process.terminate()
            process.wait()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(control)


if __name__ == "__main__":
    sys.exit(main())
