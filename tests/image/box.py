"""A virtual box: the image in QEMU, by software alone, with a mirror port that a test feeds."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE.fd")
_MEMORY_MIB = 1536
_STOP_S = 240.0


class Box:
    """A context: powered on when it is entered, off when it is left."""

    def __init__(self, disk: Path, folder: Path, medium: Path | None = None) -> None:
        """Console and sockets are in `folder`."""
        self.console = folder / "console"
        self._monitor = folder / "monitor"
        self._disk, self._medium = disk, medium
        self._feed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._feed.bind(("127.0.0.1", 0))
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.console.unlink(missing_ok=True)
        ours = self._feed.getsockname()[1]
        span = f"dgram,id=span,local.type=inet,local.host=127.0.0.1,local.port={self._port}"
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
        command += ["-m", str(_MEMORY_MIB), "-display", "none", "-monitor", "none"]
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}"]
        command += ["-drive", f"file={self._disk},if=virtio,format=qcow2"]
        command += ["-nic", "user,model=virtio-net-pci,restrict=on"]
        command += ["-netdev", f"{span},remote.type=inet,remote.host=127.0.0.1,remote.port={ours}"]
        command += ["-device", "virtio-net-pci,netdev=span", "-device", "i6300esb", "-watchdog-action", "reset"]
        command += ["-serial", f"file:{self.console}", "-qmp", f"unix:{self._monitor},server=on,wait=off"]
        if self._medium is not None:
            command += ["-drive", f"file={self._medium},if=none,id=stick,format=raw", "-device", "qemu-xhci"]
            command += ["-device", "usb-storage,drive=stick,removable=on"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._feed.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def told(self) -> str:
        """What the serial console shows so far."""
        return self.console.read_text(errors="replace") if self.console.exists() else ""

    def wait_for(self, text: str, limit_s: float) -> float:
        """Wait until the console shows a text; return how long that took. Raises TimeoutError."""
        begun = time.monotonic()
        while text not in self.told():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > begun + limit_s:
                raise TimeoutError(f"{text!r} not on the console within {limit_s:.0f} s:\n{self.told()[-3000:]}")
            time.sleep(0.2)
        return time.monotonic() - begun

    def send(self, frames: Sequence[tuple[int, bytes]]) -> None:
        """Let the mirror port see frames, (time in ns, octets), in their own time."""
        begun_ns, first_ns = time.monotonic_ns(), frames[0][0]
        for ts_ns, octets in frames:
            ahead_ns = ts_ns - first_ns - (time.monotonic_ns() - begun_ns)
            if ahead_ns > 0:
                time.sleep(ahead_ns / 1e9)
            self._feed.sendto(octets, ("127.0.0.1", self._port))

    def came_out(self) -> int:
        """How many frames the mirror port has sent so far: none, ever."""
        self._feed.setblocking(False)
        count = 0
        try:
            while self._feed.recv(1 << 16):
                count += 1
        except BlockingIOError:
            return count
        return count

    def power_down(self) -> None:
        """Press the power button, again while nobody is there yet to hear it, and wait until the box is off."""
        assert self._process is not None
        deadline = time.monotonic() + _STOP_S
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self._monitor))
            monitor.recv(1 << 16)  # its greeting
            self._order(monitor, "qmp_capabilities")
            while self._process.poll() is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the box does not go off:\n{self.told()[-3000:]}")
                with suppress(OSError):  # it may go off just now
                    self._order(monitor, "system_powerdown")
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(5)

    @staticmethod
    def _order(monitor: socket.socket, order: str) -> None:
        monitor.sendall(json.dumps({"execute": order}).encode())
        monitor.recv(1 << 16)


def why_not(image: Path) -> str:
    """What keeps a box from being tried; empty when nothing does."""
    if not image.exists():
        return f"{image} is not there: make image"
    if not FIRMWARE.exists():
        return "ovmf is not installed"
    return ""


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def load() -> float:
    """How busy this machine is: an emulated box takes its time accordingly."""
    return os.getloadavg()[0]
