"""The little of SVG 1.1 that a picture of a call needs. Pure: text in, text out."""

import re
from collections.abc import Iterable, Mapping

_NOT_XML = re.compile("[^\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TURNS_WRITING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FONT = "'Noto Sans CJK JP', 'Noto Sans JP', 'Hiragino Sans', 'Yu Gothic UI', Meiryo, sans-serif"
Value = str | float


def document(width: int, height: int, title: str, body: Iterable[str]) -> str:
    """A whole picture, in pixels."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="{_FONT}" font-size="13" role="img">\n<title>{escaped(title)}</title>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def element(name: str, content: str, attributes: Mapping[str, Value]) -> str:
    """An element; `stroke_width` is the attribute `stroke-width`, and `content` is SVG already."""
    said = "".join(f' {key.replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{said}>{content}</{name}>" if content else f"<{name}{said}/>"


def rectangle(x: float, y: float, width: float, height: float, **attributes: Value) -> str:
    """A filled rectangle."""
    return element("rect", "", {"x": x, "y": y, "width": width, "height": height, **attributes})


def line(x1: float, y1: float, x2: float, y2: float, **attributes: Value) -> str:
    """A straight line."""
    return element("line", "", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, **attributes})


def text(x: float, y: float, said: str, **attributes: Value) -> str:
    """Text whose base line begins, ends or has its middle (`text_anchor`) at a point."""
    return element("text", escaped(said), {"x": x, "y": y, **attributes})


def polygon(points: Iterable[tuple[float, float]], **attributes: Value) -> str:
    """A filled outline."""
    path = "L".join(f"{_number(x)} {_number(y)}" for x, y in points)
    return element("path", "", {"d": f"M{path}Z", **attributes})


def escaped(said: str) -> str:
    """Text for XML; what XML cannot hold, or what would turn the writing around, becomes U+FFFD."""
    shown = _TURNS_WRITING.sub("\N{REPLACEMENT CHARACTER}", _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", said))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _value(value: Value) -> str:
    return escaped(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
