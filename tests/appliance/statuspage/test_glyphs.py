"""Pixels of a page, with a font of three characters."""

from pathlib import Path

import numpy as np
import pytest
from rich.text import Text

from appliance.statuspage import console, framebuffer, glyphs
from appliance.statuspage.framebuffer import Screen
from appliance.statuspage.glyphs import Font

FONT = Font(
    b"0020:" + b"00" * 16 + b"\n"
    b"0041:" + b"81" * 16 + b"\n"
    b"9332:" + b"8001" * 16 + b"\n"
)  # fmt: skip


def test_glyphs_are_narrow_or_wide() -> None:
    assert FONT.glyph("A").shape == (16, 8)
    assert FONT.glyph("\u9332").shape == (16, 16)
    assert FONT.glyph("A")[0].tolist() == [True, *[False] * 6, True]
    assert FONT.glyph("B").any()  # a box: something is there


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1280, 800, (160, 50)),
        (1920, 1080, (120, 33)),
        (1024, 768, (128, 48)),
        (640, 480, (80, 30)),
        (320, 200, (40, 12)),
    ],
)
def test_what_fits_a_screen(width: int, height: int, expected: tuple[int, int]) -> None:
    assert glyphs.cells(width, height) == expected


def test_ink_is_where_the_glyph_says_and_has_its_colour() -> None:
    drawn = glyphs.picture([Text.assemble("A", ("\u9332", "bold red"), "A")], FONT, 640, 384)
    assert drawn.shape == (384, 640, 3)
    inked = np.flatnonzero(drawn[0].any(axis=1))
    assert inked.tolist() == [0, 7, 8, 23, 24, 31]
    red, plain = drawn[0, 8], drawn[0, 0]
    assert red[0] > red[1]
    assert len(set(plain.tolist())) == 1
    assert not drawn[16:].any()


def test_reverse_and_what_does_not_fit() -> None:
    drawn = glyphs.picture([Text("A" * 200, style="reverse"), *[Text("A")] * 50], FONT, 640, 384)
    assert drawn[0, 1].all()  # beside the ink
    assert not drawn[0, 0].any()


def test_a_picture_is_written_blue_first_line_by_line(tmp_path: Path) -> None:
    device = tmp_path / "fb0"
    device.write_bytes(bytes(2 * 16))
    picture = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]], np.uint8)
    framebuffer.show(picture, Screen(width=2, height=2, stride=16, device=device))
    first, second = device.read_bytes()[:16], device.read_bytes()[16:]
    assert first == bytes([3, 2, 1, 0, 6, 5, 4, 0, *[0] * 8])
    assert second[:8] == bytes([9, 8, 7, 0, 12, 11, 10, 0])


def test_only_a_screen_that_can_be_drawn_on_is_one(tmp_path: Path) -> None:
    device = tmp_path / "fb0"
    assert framebuffer.find(device, tmp_path) is None
    device.touch()
    for name, text in (("virtual_size", "1280,800\n"), ("bits_per_pixel", "32\n"), ("stride", "5120\n")):
        (tmp_path / name).write_text(text)
    assert framebuffer.find(device, tmp_path) == Screen(width=1280, height=800, stride=5120, device=device)
    (tmp_path / "bits_per_pixel").write_text("16\n")
    assert framebuffer.find(device, tmp_path) is None


@pytest.mark.parametrize(("name", "virtual"), [("/dev/tty1", True), ("/dev/ttyS0", False), ("/dev/pts/3", False)])
def test_a_serial_line_is_no_screen(name: str, virtual: bool) -> None:
    assert console.is_virtual(name) == virtual
