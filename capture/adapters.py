"""Where network adapters are plugged in, by udev or, where no udevd runs (containers), by the kernel's own events.

The slot outlives the adapter: one that is replaced has another MAC and perhaps another name, and the same slot. What
happens to the links themselves is told by rtnetlink, here only adapters that appear matter.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pyudev

_NET = Path("/sys/class/net")
_UDEVD = Path("/run/udev/control")
_APPEARANCES = ("add", "move")
_EVENTS_AT_ONCE = 256


class AdapterWatch:
    """Adapters that appear or are named anew."""

    def __init__(self) -> None:
        self._context = pyudev.Context()
        self._monitor: pyudev.Monitor | None = self._open()

    def _open(self) -> pyudev.Monitor | None:
        """The monitor, or None where the sandbox forbids it: names and MACs still recognise an adapter then."""
        try:
            monitor = pyudev.Monitor.from_netlink(self._context, "udev" if _UDEVD.exists() else "kernel")
            monitor.filter_by("net")
            monitor.start()
        except OSError:
            return None
        return monitor

    def fileno(self) -> int | None:
        """To poll for reading; None where there are no events."""
        return None if self._monitor is None else int(self._monitor.fileno())

    def read(self) -> list[tuple[int, str]]:
        """Interface number and slot of the adapters that appeared, without waiting."""
        if self._monitor is None:
            return []
        try:
            return list(_appeared(self._monitor))
        except OSError:
            # Events were lost. libudev does not clear the error, a new monitor does; the adapters are all listed again.
            self._monitor = self._open()
            return self.present()

    def present(self) -> list[tuple[int, str]]:
        """Interface number and slot of the adapters that are there."""
        located: list[tuple[int, str]] = []
        for entry in _NET.iterdir():
            # Gone meanwhile, or none at all: the directory also holds a file of the bonding driver.
            with suppress(pyudev.DeviceNotFoundError):
                located += _located(pyudev.Devices.from_name(self._context, "net", entry.name))
        return located

    def close(self) -> None:
        """End the watch."""
        self._monitor = None


def _appeared(monitor: pyudev.Monitor) -> Iterator[tuple[int, str]]:
    for _ in range(_EVENTS_AT_ONCE):
        device = monitor.poll(timeout=0)
        if device is None:
            return
        if device.action in _APPEARANCES:
            yield from _located(device)


def _located(device: pyudev.Device) -> Iterator[tuple[int, str]]:
    """Number and slot of an adapter; nothing for a virtual interface, which is plugged in nowhere."""
    ifindex = device.properties.get("IFINDEX")
    path = device.properties.get("ID_PATH") or (device.parent.device_path if device.parent is not None else None)
    # Several ports of one card have one path and are told apart by their number.
    port = device.attributes.get("dev_port")
    if ifindex and path and port:
        yield int(ifindex), f"{path}/{port.decode().strip()}"
