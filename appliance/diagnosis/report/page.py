"""HTML for paper and screen: a whole page, A4 when printed, nothing loaded from elsewhere. Pure."""

from collections.abc import Iterable, Sequence

from appliance.show.svg import escaped

STYLE = """
@page { size: A4; margin: 14mm 12mm; }
* { box-sizing: border-box; }
body { font: 13px/1.5 'Noto Sans CJK JP', 'Noto Sans JP', 'Hiragino Sans', 'Yu Gothic UI', Meiryo, sans-serif;
  color: #1f2933; max-width: 190mm; margin: 8mm auto; padding: 0 4mm; }
h1 { font-size: 20px; margin: 0 0 4px; border-bottom: 3px solid #1f2933; }
h2 { font-size: 15px; margin: 18px 0 6px; border-left: 5px solid #245b94; padding-left: 8px; }
table { border-collapse: collapse; width: 100%; margin: 4px 0 10px; }
th, td { border: 1px solid #c5ccd4; padding: 3px 7px; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
th { background: #eef2f6; font-weight: 600; white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; }
.verdict { border: 2px solid #c0392b; border-radius: 6px; padding: 8px 12px; margin: 8px 0; break-inside: avoid; }
.verdict.sound { border-color: #2f855a; }
.verdict.open { border-color: #d9822b; }
.whose { font-size: 18px; font-weight: 700; }
.ok { color: #2f855a; font-weight: 700; } .ng { color: #c0392b; font-weight: 700; }
.unknown { color: #b7791f; } .not_observable { color: #66727f; }
.small { color: #66727f; font-size: 11px; }
svg { width: 100%; height: auto; break-inside: avoid; }
section + section { break-before: page; }
tr { break-inside: avoid; }
code { font: 11px/1.4 monospace; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; padding: 0; } }
"""


def page(title: str, language: str, sections: Iterable[str]) -> str:
    """A whole document."""
    body = "\n".join(f"<section>\n{section}\n</section>" for section in sections)
    return (
        f'<!DOCTYPE html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n<title>{escaped(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = ()) -> str:
    """A table; cells are HTML already."""
    told = "".join(f"<th>{escaped(cell)}</th>" for cell in head)
    top = f"<tr>{told}</tr>\n" if head else ""
    return (
        "<table>\n" + top + "\n".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows) + "\n</table>"
    )


def _cell(cell: str) -> str:
    return cell if cell.startswith("<t") else f"<td>{cell}</td>"


def heading(text: str) -> str:
    """The head of a row."""
    return f"<th>{escaped(text)}</th>"


def number(text: str) -> str:
    """A cell with a number."""
    return f'<td class="number">{escaped(text)}</td>'


def marked(kind: str, text: str) -> str:
    """A cell in the colour of its kind."""
    return f'<td class="{kind}">{escaped(text)}</td>'
