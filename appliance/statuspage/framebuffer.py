"""The screen of the box as the kernel has it: pixels, /dev/fb0.

A console of the kernel has 512 glyphs at most, and none for Japanese. Drawn on is only what every machine with UEFI
has: 32 bits a pixel, blue first. Without that the page is text.
"""

import fcntl
import os
import re
import termios
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from appliance.statuspage.glyphs import Picture

DEVICE, SYSFS = Path("/dev/fb0"), Path("/sys/class/graphics/fb0")
_KDSETMODE, _KD_GRAPHICS = 0x4B3A, 1
"""ioctl_console(2): the console stops drawing on the screen itself."""
_VIRTUAL_SIZE = re.compile(r"(\d+),(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A framebuffer that can be drawn on."""

    width: int
    height: int
    """Pixels."""
    stride: int
    """Bytes from a line to the next."""
    device: Path


def find(device: Path = DEVICE, sysfs: Path = SYSFS) -> Screen | None:
    """The screen; None when there is none, or none that is drawn on like this."""
    try:
        size = _VIRTUAL_SIZE.fullmatch((sysfs / "virtual_size").read_text("ascii").strip())
        bits = int((sysfs / "bits_per_pixel").read_text("ascii"))
        stride = int((sysfs / "stride").read_text("ascii"))
    except (OSError, ValueError):
        return None
    if size is None or bits != 32 or not os.access(device, os.W_OK):
        return None
    return Screen(width=int(size[1]), height=int(size[2]), stride=stride, device=device)


def take(terminal: int) -> None:
    """Keep the kernel's console, and what is typed, from the screen; it has to be our controlling terminal."""
    with suppress(OSError):
        fcntl.ioctl(terminal, _KDSETMODE, _KD_GRAPHICS)
    silence(terminal)


def silence(terminal: int) -> None:
    """What is typed is not shown, and no signal to us."""
    with suppress(OSError, termios.error):
        modes = termios.tcgetattr(terminal)
        modes[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG)
        termios.tcsetattr(terminal, termios.TCSANOW, modes)


def show(picture: Picture, screen: Screen) -> None:
    """Put a picture of the screen's size on it. Raises OSError."""
    pixels = np.zeros((screen.height, screen.stride // 4, 4), np.uint8)
    pixels[:, : screen.width, :3] = picture[..., ::-1]
    octets = memoryview(pixels.tobytes())
    descriptor = os.open(screen.device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        at = 0
        while at < len(octets):
            at += os.pwrite(descriptor, octets[at:], at)
    finally:
        os.close(descriptor)
