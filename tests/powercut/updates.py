"""Power cut during an update: whatever the instant, GRUB finds its files, knows a slot, and that slot is whole.

What is logged is written by the kernel of the image, as RAUC and `rokubox-bootstate` do it, by a script in the
place of the system: so it takes a minute and not an hour. Then GRUB itself starts the new slot and counts that
start. What is cut is looked at from outside (`slots`).
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from appliance.firmware import bootstate, grubenv
from tests.image import machine, writelog
from tests.image.machine import Fittings
from tests.image.writelog import Rebuilder, WriteLog
from tests.powercut import rescue, slots
from tests.powercut.slots import Slot

DONE = "the update is written"
STARTED = "Booting `rokubox B'"
_CHANGE_OTHER = b"\xa5"
"""What makes the new version another one: the first byte of its initial file system, which nobody starts here."""
_INIT = """\
#!/bin/sh
export PATH=/sbin:/usr/sbin:/bin:/usr/bin
busybox mount -t devtmpfs dev /dev; busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys
exec >/dev/ttyS0 2>&1
modprobe -a virtio_pci virtio_blk
for module in /cut/modules/*; do busybox insmod "$module"; done
while [ ! -b /dev/vda5 ] || [ ! -b /dev/vdb ]; do busybox sleep 0.2; done
told() {  # as rokubox-bootstate writes: mounted for that, in its place, on the disk when it is done
  busybox mount -t vfat -o rw,sync,noatime,codepage=437,iocharset=ascii /dev/vda1 /cut/esp || echo "no ESP"
  busybox dd if="/cut/$1" of=/cut/esp/EFI/BOOT/grubenv bs=1024 conv=notrunc,fsync 2>/dev/null
  busybox umount /cut/esp
}
told bad
busybox dd if=/dev/vdb of=/dev/vda4 bs=1M count={boot} conv=fsync 2>/dev/null
busybox dd if=/dev/vdb of=/dev/vda5 bs=1M skip={boot} count={root} conv=fsync 2>/dev/null
told primary
echo {done}
busybox sleep 1000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of the update, with a log of its own."""

    name: str
    base: Path
    """The disk before it."""
    log: WriteLog


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a cut has left."""

    piece: str
    point: int
    started: str
    """The slot that GRUB starts."""
    version: str
    """What is in it: `old` or `new`."""
    is_on_trial: bool
    problems: tuple[str, ...]


def record(image: Path, folder: Path) -> list[Piece]:
    """Have the update, and keep its logs in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    base, source = folder / "write.raw", folder / "slots.raw"
    writelog.copy(image, base)
    boot_mib, root_mib = _new_version(base, source, folder)
    initrd = _initial_file_system(base, folder, boot_mib, root_mib)
    log = _logged(base, folder, "write")
    drive = ("-drive", f"if=virtio,format=raw,readonly=on,file={source}")
    kernel = ("-kernel", str(folder / "vmlinuz"), "-initrd", str(initrd))
    order = ("-append", "console=ttyS0 rdinit=/cut/init panic=5")
    with machine.switched_on(base, folder, "write", _fittings(folder, "write", (*drive, *kernel, *order))) as box:
        box.wait_for(DONE)
        box.order("quit")
        box.wait_off()
    written = Piece(name="write", base=base, log=writelog.read(log))
    start = folder / "start.raw"
    writelog.rebuild(written.log, base, start, len(written.log.entries), seed=0)
    log = _logged(start, folder, "start")
    with machine.switched_on(start, folder, "start", _fittings(folder, "start", ())) as box:
        box.wait_for(STARTED)
        box.order("quit")
        box.wait_off()
    return [written, Piece(name="start", base=start, log=writelog.read(log))]


def cuts(pieces: Sequence[Piece], count: int, folder: Path, seed: int) -> list[Found]:
    """Cut so many times, and look at what is left: at every request of GRUB's own, at each change of the ESP, and
    anywhere else while the slot is written."""
    written, start = pieces
    chance = random.Random(seed)
    near = _near_esp(written)
    rest = [point for point in range(1, len(written.log.entries) + 1) if point not in near]
    started = range(len(start.log.entries) + 1)
    at_start = sorted(chance.sample(started, min(len(started), count // 6)))
    at_esp = chance.sample(near, min(len(near), count // 3))
    points = sorted([*at_esp, *chance.sample(rest, count - len(at_esp) - len(at_start))])
    old = slots.slot(written.base, "A", folder)
    new = slots.slot(start.base, "B", folder)
    known = {"old": old, "new": new}
    loader = slots.esp(written.base, folder).loader
    found = _looked_at(written, points, known, loader, folder, seed)
    return found + _looked_at(start, at_start, known, loader, folder, seed)


def _looked_at(
    piece: Piece, points: Sequence[int], known: dict[str, Slot], loader: tuple[str, ...], folder: Path, seed: int
) -> list[Found]:
    rebuilder = Rebuilder(piece.log, piece.base, folder / "flushed.raw")
    disk = folder / "disk.raw"
    found = []
    for point in points:
        rebuilder.rebuild(disk, point, seed)
        found.append(look(disk, piece.name, point, known, loader, folder))
        disk.unlink()
    return found


def look(disk: Path, piece: str, point: int, known: dict[str, Slot], loader: tuple[str, ...], folder: Path) -> Found:
    """What GRUB would do with a disk, and whether that is right."""
    esp = slots.esp(disk, folder)
    name = slots.started(esp.variables)
    there = slots.slot(disk, name, folder)
    version = next((version for version, slot in known.items() if slot == there), "")
    problems = []
    if esp.loader != loader or not all(loader):
        problems.append("GRUB's own files are not what they were")
    if esp.variables is None:
        problems.append("grubenv is no environment block")
    if not there.is_whole or not version:
        problems.append(f"slot {name} would be started, and is not whole")
    return Found(
        piece=piece,
        point=point,
        started=name,
        version=version,
        is_on_trial=(esp.variables or {}).get("TRIAL") == name,
        problems=tuple(problems),
    )


def _near_esp(piece: Piece) -> list[int]:
    """Points at, right before and right behind a write to the ESP."""
    esp = next(part for part in machine.partitions(piece.base) if part.name == "esp")
    sector = piece.log.sector_bytes
    numbers = [
        number
        for number, entry in enumerate(piece.log.entries)
        if entry.sectors and esp.at <= entry.first_sector * sector < esp.at + esp.length
    ]
    around = {number + step for number in numbers for step in (0, 1, 2)}
    return sorted(point for point in around if point <= len(piece.log.entries))


def _new_version(base: Path, source: Path, folder: Path) -> tuple[int, int]:
    """Another version of both images of a slot, one behind the other; returns how many MiB each has."""
    boot = rescue.partition(base, "boot-a", folder / "boot.img")
    root = rescue.partition(base, "root-a", folder / "root.img")
    kernel = folder / "vmlinuz"
    subprocess.run(["mcopy", "-n", "-o", "-i", boot, "::vmlinuz", kernel], check=True)
    subprocess.run(["mcopy", "-n", "-o", "-i", boot, "::initrd.img", folder / "initrd.img"], check=True)
    other = folder / "other.img"
    other.write_bytes((folder / "initrd.img").read_bytes() + _CHANGE_OTHER)
    subprocess.run(["mcopy", "-o", "-i", boot, other, "::initrd.img"], check=True)
    used = -(-_used_bytes(root) >> 20) + 1
    with source.open("wb") as out:
        out.write(boot.read_bytes())
        with root.open("rb") as file:
            out.write(file.read(used << 20))
    sizes = (boot.stat().st_size >> 20, used)
    boot.unlink()
    root.unlink()
    return sizes


def _used_bytes(part: Path) -> int:
    """Up to where there is anything but zeros."""
    size, last = 1 << 20, 0
    with part.open("rb") as file:
        for number, piece in enumerate(iter(lambda: file.read(size), b"")):
            if piece.count(0) < len(piece):
                last = number + 1
    return last * size


def _initial_file_system(base: Path, folder: Path, boot_mib: int, root_mib: int) -> Path:
    """The image's own, with the script and what it needs behind it."""
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "cut" / "modules").mkdir(parents=True)
    (tree / "cut" / "esp").mkdir()
    root = rescue.partition(base, "root-a", folder / "root.img")
    modules = ("fs/fat/fat.ko", "fs/fat/vfat.ko", "fs/nls/nls_cp437.ko", "fs/nls/nls_ascii.ko")
    wanted = [f"{top}lib/modules/*/kernel/{name}" for name in modules for top in ("", "usr/")]
    taken = folder / "taken"
    shutil.rmtree(taken, ignore_errors=True)
    command = ["unsquashfs", "-q", "-n", "-f", "-no-xattrs", "-d", str(taken), str(root), *wanted]
    subprocess.run(command, check=False, capture_output=True)
    root.unlink()
    for number, name in enumerate(modules):
        (found,) = taken.rglob(Path(name).name)
        shutil.copy(found, tree / "cut" / "modules" / f"{number}-{found.name}")
    variables = slots.esp(base, folder).variables or {}
    bad = bootstate.with_state(variables, "B", good=False)
    for told, changed in (("bad", bad), ("primary", bootstate.with_primary(bad, "B"))):
        (tree / "cut" / told).write_bytes(grubenv.serialize(changed))
    init = tree / "cut" / "init"
    init.write_text(_INIT.replace("{boot}", str(boot_mib)).replace("{root}", str(root_mib)).replace("{done}", DONE))
    init.chmod(0o755)
    initrd = folder / "initrd.cut"
    plain = (folder / "initrd.img").read_bytes()
    initrd.write_bytes(plain + bytes(-len(plain) % 4) + _archive(tree))
    return initrd


def _archive(tree: Path) -> bytes:
    """A tree as the kernel takes it (cpio, newc; initramfs buffer format)."""
    out = bytearray()
    for number, path in enumerate([*sorted(tree.rglob("*")), None], 1):
        name = b"TRAILER!!!" if path is None else str(path.relative_to(tree)).encode()
        content = path.read_bytes() if path is not None and path.is_file() else b""
        mode = path.stat().st_mode if path is not None else 0
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)


def _logged(base: Path, folder: Path, name: str) -> Path:
    """The disk of a piece, to be written to, and its log."""
    writelog.copy(base, folder / f"{name}.disk")
    return folder / f"{name}.log"


def _fittings(folder: Path, name: str, more: tuple[str, ...]) -> Fittings:
    drive = writelog.options(folder / f"{name}.disk", folder / f"{name}.log", "raw")
    quick = ",file.cache.no-flush=on,file.file.cache.no-flush=on"
    return Fittings(disk=drive + quick, arguments=(*writelog.ARGUMENTS, *more))


def main() -> int:
    """1 if a cut leaves a box that does not boot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--points", type=int, default=30, help="cuts (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of the cuts; by default another one each time")
    chosen = parser.parse_args()
    if reason := machine.why_not():
        print(f"not possible: {reason}")
        return 1
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    with tempfile.TemporaryDirectory(prefix="powercut") as name:
        pieces = record(chosen.image, Path(name))
        return show(pieces, cuts(pieces, chosen.points, Path(name), seed), seed)


def show(pieces: Sequence[Piece], found: Sequence[Found], seed: int) -> int:
    """Print it; 1 if something is wrong."""
    requests = ", ".join(f"{len(piece.log.entries)} requests to {piece.name}" for piece in pieces)
    table = Table(title=f"{len(found)} cuts during an update ({requests}; seed {seed})", title_justify="left")
    for column in ("slot that GRUB starts", "version in it", "on trial", "cuts"):
        table.add_column(column, justify="right" if column == "cuts" else "left")
    kinds = sorted({(one.started, one.version or "neither", one.is_on_trial) for one in found})
    for started, version, is_on_trial in kinds:
        alike = sum(
            (one.started, one.version or "neither", one.is_on_trial) == (started, version, is_on_trial) for one in found
        )
        table.add_row(started, version, "yes" if is_on_trial else "no", str(alike))
    console = Console(width=120)
    console.print(table)
    wrong = [one for one in found if one.problems]
    for one in wrong:
        console.print(f"  WRONG: {one.piece}, cut {one.point}: {'; '.join(one.problems)}", markup=False)
    console.print(
        "NOT PROVEN" if wrong else "proven: ESP and grubenv whole at every cut, and so is the slot that is started"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
