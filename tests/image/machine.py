"""An emulated x86-64 machine (QEMU without hardware virtualisation, which may be there and not work) that boots a disk.

Its second network port is the mirror port: what the test sends over a stream arrives there frame by frame. The machine
is slow at times: a stream then holds up its sender, where datagrams would be lost on the way. Its console goes to a
file; everything else is read off its disk once it is switched off.
"""

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FIRMWARE = Path("/usr/share/OVMF")
FLASH = Path(sys.executable).with_name("rokubox-flash")
_SECTOR = 512
_ENTRIES_AT = 2 * _SECTOR
_ENTRY = struct.Struct("<16s16sQQQ72s")
"""A partition in the table: type, id, first and last sector, attributes, name."""
_MOST_ENTRIES = 128
_ESP, _ROOT_A, _DATA = 1, 3, 6
"""Numbers of partitions."""
_HEAD_BYTES = 1 << 20
"""Of a disk: up to its first partition."""
_KERNEL_ARGUMENT = "panic=5"
"""In GRUB's menu; others stand beside it."""
_LENGTH = struct.Struct("!I")
"""Before each frame of the stream."""
_PLUG_IN_S = 60.0
_PULLED_OUT_S = 5.0
USB = ("-device", "qemu-xhci,id=usb")
"""Sockets for sticks that are plugged in later; a machine that is switched on with sticks has them."""
_LIMIT_S = 900.0


def why_not() -> str:
    """What keeps an image from being built and booted here; empty when nothing does."""
    tools = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mksquashfs", "veritysetup", "genimage", "grub-mkimage")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        return f"not installed: {' '.join(missing)} (see packages.apt)"
    return "" if os.geteuid() == 0 else "an image is built by root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """Where a partition lies, in bytes."""

    name: str
    at: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fittings:
    """What a machine has beyond its disk, its two ports and its console."""

    sticks: tuple[Path, ...] = ()
    """Raw images, each on a USB stick."""
    forwards: Mapping[int, int] = field(default_factory=dict)
    """Ports of this host's loopback, each with the port of the machine that it leads to (TCP)."""
    reaches_host: bool = False
    """Whether its management port reaches this host, which is 10.0.2.2 for it, and what is beyond."""
    begins_anew: bool = False
    """Whether it begins anew where it would (a reset, a watchdog); else it is off then."""
    watchdog: bool = False
    """Whether it has a watchdog of its own (i6300esb), which resets it."""
    disk: str | None = None
    """Options of its disk's drive in place of the disk as it is, without `if=` (as for blklogwrites)."""
    arguments: tuple[str, ...] = ()
    """Whatever else QEMU is to be told (a TPM)."""


class Machine:
    """The machine, while it is switched on."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", console: Path, keyboard: Path, control: Path, wire: socket.socket
    ) -> None:
        self._process = process
        self._console = console
        self._keyboard = keyboard
        self._control = control
        self._wire = wire

    def console(self) -> str:
        """What it has said so far."""
        return self._console.read_text("utf-8", "replace")

    def send(self, frame: bytes) -> None:
        """Show a frame to its mirror port."""
        self._wire.sendall(_LENGTH.pack(len(frame)) + frame)

    def type(self, text: str) -> None:
        """Type something at its serial console."""
        with socket.socket(socket.AF_UNIX) as keyboard:
            keyboard.connect(str(self._keyboard))
            for each in text.encode():  # as slowly as a person: its buffer has 16 places
                keyboard.sendall(bytes([each]))
                time.sleep(0.2)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Until the console has said something so often."""
        wait_until(lambda: self.console().count(text) >= times, lambda: f"no {text!r}:\n{self.console()[-4000:]}")

    def wait_off(self) -> None:
        """Until it has switched itself off, or would begin anew."""
        wait_until(lambda: self._process.poll() is not None, lambda: f"it is on:\n{self.console()[-4000:]}")

    def power_off(self) -> None:
        """Press the button, and wait until it has obeyed."""
        self.order("system_powerdown")
        self.wait_off()

    def cut_power(self) -> None:
        """Take its power away."""
        self._process.kill()
        self._process.wait()

    def order(self, command: str, **arguments: Any) -> Any:
        """Tell QEMU something (QMP), and return what it answers."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._control))
            with control.makefile("rw") as lines:
                lines.readline()  # it greets
                for order in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    lines.write(json.dumps(order) + "\n")
                    lines.flush()
                    answer = {"event": ""}
                    while "event" in answer:
                        answer = json.loads(lines.readline())
        assert "return" in answer, f"{command}: {answer}"
        return answer["return"]

    def plug_in(self, name: str, stick: Path) -> None:
        """Plug a USB stick in, while it runs (with `USB` among its fittings' arguments)."""
        self.order("blockdev-add", driver="raw", file={"driver": "file", "filename": str(stick)}, **{"node-name": name})
        self.order("device_add", driver="usb-storage", bus="usb.0", id=name, drive=name, removable=True)

    def pull_out(self, name: str) -> None:
        """Pull it out again."""
        self.order("device_del", id=name)
        time.sleep(_PULLED_OUT_S)
        self.order("blockdev-del", **{"node-name": name})


@contextlib.contextmanager
def switched_on(disk: Path, folder: Path, name: str, fittings: Fittings | None = None) -> Iterator[Machine]:
    """Boots a disk; the machine is off at the context's end whatever happens."""
    console, keyboard, control, variables, mirror = (
        folder / f"{name}.{end}" for end in ("console", "keys", "qmp", "fd", "span")
    )
    shutil.copy(FIRMWARE / "OVMF_VARS.fd", variables)
    command = [
        *("qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off", "-smp", "2"),
        *("-m", "2048", "-display", "none", "-no-user-config", "-nodefaults"),
        *("-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE / 'OVMF_CODE.fd'}"),
        *("-drive", f"if=pflash,format=raw,file={variables}"),
        *("-netdev", f"stream,id=span,server=off,addr.type=unix,addr.path={mirror}"),
        *("-device", "virtio-net-pci,netdev=span,addr=6"),
        *("-chardev", f"socket,id=serial,path={keyboard},server=on,wait=off,logfile={console}"),
        *("-serial", "chardev:serial", "-qmp", f"unix:{control},server=on,wait=off"),
        *_fitted(disk, fittings or Fittings()),
    ]
    console.touch()
    mirror.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(mirror))
        listening.listen(1)
        listening.settimeout(_PLUG_IN_S)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            wire, _ = listening.accept()
            with wire:
                yield Machine(process, console, keyboard, control, wire)
        finally:
            process.kill()
            process.wait()


def _fitted(disk: Path, fittings: Fittings) -> Iterator[str]:
    """QEMU's arguments for what differs from machine to machine."""
    yield from ("-drive", f"if=virtio,{fittings.disk or f'format=qcow2,file={disk}'}")
    management = "user,id=management" + ("" if fittings.reaches_host else ",restrict=on")
    management += "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{guest}" for host, guest in fittings.forwards.items())
    yield from ("-netdev", management, "-device", "virtio-net-pci,netdev=management,addr=5")
    if fittings.sticks:
        yield from USB
    for number, stick in enumerate(fittings.sticks):
        yield from ("-drive", f"if=none,id=stick{number},format=raw,file={stick}")
        yield from ("-device", f"usb-storage,bus=usb.0,drive=stick{number},removable=on")
    if fittings.watchdog:
        yield from ("-device", "i6300esb", "-action", "watchdog=reset")
    if not fittings.begins_anew:
        yield "-no-reboot"
    yield from fittings.arguments


def flash(image: Path, folder: Path, size_bytes: int = 4 << 30) -> Path:
    """A file as large as a disk, with the image written onto it as a technician does."""
    target = folder / "flashed.img"
    with target.open("wb") as disk:
        disk.truncate(size_bytes)
    subprocess.run([FLASH, image, target], check=True, stdout=subprocess.DEVNULL)
    return target


def fresh_disk(image: Path, folder: Path, size: str = "4G") -> Path:
    """A disk of this size with the image on it, as flashed."""
    disk = folder / "disk.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image.absolute()), str(disk), size],
        check=True,
    )
    return disk


def damage(disk: Path) -> None:
    """Change some bytes of the system in the first slot: its beginning, which is read at once."""
    order = f"write -q -P 0xa5 {_partition(disk, _ROOT_A).at + 64} 32"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", order, str(disk)], check=True)


def add_kernel_arguments(disk: Path, folder: Path, arguments: str) -> None:
    """Have GRUB give the kernel more arguments, from the next boot on, as only who holds the disk can."""
    esp, menu = folder / "esp.vfat", folder / "grub.cfg"
    read_partition(disk, _ESP, esp)
    # Not -p: it asks before it keeps what it cannot.
    subprocess.run(["mcopy", "-n", "-o", "-i", esp, "::EFI/BOOT/grub.cfg", menu], check=True)
    told = menu.read_text()
    assert _KERNEL_ARGUMENT in told, told
    menu.write_text(told.replace(_KERNEL_ARGUMENT, f"{_KERNEL_ARGUMENT} {arguments}"))
    subprocess.run(["mcopy", "-o", "-i", esp, menu, "::EFI/BOOT/grub.cfg"], check=True)
    target = _image_options(disk, _partition(disk, _ESP))
    subprocess.run(["qemu-img", "convert", "-n", "-f", "raw", "--target-image-opts", str(esp), target], check=True)


def recorded(disk: Path, folder: Path) -> Path:
    """The archive on the data partition of a machine that is off, copied out."""
    data, out = folder / "data.ext4", folder / "data"
    read_partition(disk, _DATA, data)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump /var/lib/rokubox {out}", str(data)], check=True, capture_output=True)
    data.unlink()
    return out / "rokubox"


def read_partition(disk: Path, number: int, out: Path) -> None:
    """Copy a partition of a machine that is off; what is zero takes no room."""
    source = _image_options(disk, _partition(disk, number))
    subprocess.run(["qemu-img", "convert", "-O", "raw", "--image-opts", source, str(out)], check=True)


def partitions(disk: Path) -> list[Partition]:
    """What the table of a raw disk says (GPT; UEFI 2.10, 5.3.3), in its order."""
    with disk.open("rb") as whole:
        return _partitions(whole.read(_HEAD_BYTES))


def head(disk: Path) -> bytes:
    """The beginning of the disk of a machine that is off, with its partition table."""
    with tempfile.NamedTemporaryFile(dir=disk.parent) as out:
        source = _image_options(disk, Partition(name="", at=0, length=_HEAD_BYTES))
        subprocess.run(["qemu-img", "convert", "-O", "raw", "--image-opts", source, out.name], check=True)
        return Path(out.name).read_bytes()


def _partitions(octets: bytes) -> list[Partition]:
    table = octets[_ENTRIES_AT : _ENTRIES_AT + _MOST_ENTRIES * _ENTRY.size]
    found = []
    for kind, _, first, last, _, name in _ENTRY.iter_unpack(table):
        if kind != bytes(16):
            label = name.decode("utf-16-le").rstrip("\0")
            found.append(Partition(name=label, at=first * _SECTOR, length=(last + 1 - first) * _SECTOR))
    return found


def _partition(disk: Path, number: int) -> Partition:
    """A partition of a machine's disk."""
    return _partitions(head(disk))[number - 1]


def _image_options(disk: Path, part: Partition) -> str:
    """A part of a disk, as QEMU's tools are told of it."""
    where = str(disk).replace(",", ",,")
    return f"driver=raw,offset={part.at},size={part.length},file.driver=qcow2,file.file.filename={where}"


def wait_until(happened: Callable[[], bool], otherwise: Callable[[], str], limit_s: float = _LIMIT_S) -> None:
    """Waits for something that has to happen."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.2)
