"""Text drawn as pixels, in the glyphs of GNU Unifont: 8 x 16, or 16 x 16 for what is wide. Pure.

Its file has a line for each character: the code point, ":", and rows of bits, 16 of 8 or of 16, in hexadecimal digits.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.color_triplet import ColorTriplet
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

CELL_WIDTH, CELL_HEIGHT = 8, 16
"""Pixels of a cell."""
COLUMNS, ROWS = 100, 30
"""A screen shows at least so many cells where it can."""
_BEHIND, _FRONT = ColorTriplet(0, 0, 0), ColorTriplet(208, 208, 208)
Glyph = npt.NDArray[np.bool_]
"""(16, 8) or (16, 16): where there is ink."""
Picture = npt.NDArray[np.uint8]
"""(height, width, 3): red, green, blue."""


class Font:
    """Looks glyphs up, and remembers those that were asked for."""

    def __init__(self, text: bytes) -> None:
        """`text` is the content of Unifont's file."""
        self._text = b"\n" + text
        self._known: dict[str, Glyph] = {}

    def glyph(self, character: str) -> Glyph:
        """Its glyph; an empty box for a character that the font does not have."""
        if character not in self._known:
            self._known[character] = self._look_up(character)
        return self._known[character]

    def _look_up(self, character: str) -> Glyph:
        key = b"\n%04X:" % ord(character)
        at = self._text.find(key)
        if at < 0:
            box = np.zeros((CELL_HEIGHT, CELL_WIDTH), np.bool_)
            box[2:14, 1:7] = True
            box[3:13, 2:6] = False
            return box
        digits = self._text[at + len(key) : self._text.find(b"\n", at + 1)].strip()
        octets = np.frombuffer(bytes.fromhex(digits.decode("ascii")), np.uint8)
        return np.unpackbits(octets).reshape(CELL_HEIGHT, -1).astype(np.bool_)


def scale(width: int, height: int) -> int:
    """How much larger glyphs are drawn, so that they can be read and the page still fits."""
    return max(1, min(width // (COLUMNS * CELL_WIDTH), height // (ROWS * CELL_HEIGHT)))


def cells(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of a screen of so many pixels."""
    factor = scale(width, height)
    return width // (CELL_WIDTH * factor), height // (CELL_HEIGHT * factor)


def picture(lines: Sequence[Text], font: Font, width: int, height: int) -> Picture:
    """Draw lines onto a screen of so many pixels; what does not fit is left out."""
    factor = scale(width, height)
    columns, rows = cells(width, height)
    drawn = np.zeros((rows * CELL_HEIGHT, columns * CELL_WIDTH, 3), np.uint8)
    for row, line in enumerate(lines[:rows]):
        _draw(drawn[row * CELL_HEIGHT : (row + 1) * CELL_HEIGHT], line, font)
    screen = np.zeros((height, width, 3), np.uint8)
    large = drawn.repeat(factor, axis=0).repeat(factor, axis=1)
    screen[: large.shape[0], : large.shape[1]] = large
    return screen


def _draw(row: Picture, line: Text, font: Font) -> None:
    styles = [Style.parse(str(line.style))] * len(line)
    for span in line.spans:
        for at in range(span.start, min(span.end, len(line))):
            styles[at] += Style.parse(str(span.style))
    x = 0
    for character, style in zip(line.plain, styles, strict=True):
        ink = font.glyph(character)
        end = x + ink.shape[1]
        if end > row.shape[1]:
            return
        front, behind = _colours(style)
        row[:, x:end] = np.where(ink[..., None], front, behind)
        x = end


def _colours(style: Style) -> tuple[ColorTriplet, ColorTriplet]:
    """Of ink and of what is behind it."""
    theme = SVG_EXPORT_THEME
    front = _FRONT if style.color is None else style.color.get_truecolor(theme)
    behind = _BEHIND if style.bgcolor is None else style.bgcolor.get_truecolor(theme, foreground=False)
    if style.dim:
        front = ColorTriplet(*(value * 5 // 8 for value in front))
    return (behind, front) if style.reverse else (front, behind)
