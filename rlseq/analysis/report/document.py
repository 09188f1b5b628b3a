"""A page as data, written as Markdown or as one self-contained, accessible HTML file."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 66rem; padding: 1rem 1.25rem 4rem; background: #fff; color: #222;
       font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1.05rem; margin-top: 1.75rem; }
nav ul { columns: 14rem; padding-left: 1.2rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
.scroll:focus { outline: 2px solid #0072b2; outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .25rem 0 .5rem; color: #444; white-space: nowrap; }
th, td { padding: .2rem .65rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
thead th { border-bottom: 2px solid #555; vertical-align: bottom; }
tbody th { font-weight: normal; }
tbody tr { border-bottom: 1px solid #e2e2e2; }
tbody tr.ours > * { font-weight: 600; background: #eef5fa; }
td.text, th.text { text-align: left; }
figure { margin: 1.25rem 0; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #444; font-size: .9rem; }
code { font-size: .9em; }
@media print { .scroll { overflow: visible; } }
"""


class Heading(NamedTuple):
    """Level 2 or 3; those of level 2 are listed at the top."""

    level: int
    text: str


class Text(NamedTuple):
    """A paragraph."""

    text: str


class Points(NamedTuple):
    """An unordered list."""

    items: Sequence[str]


class Table(NamedTuple):
    """Rows of cells; the first column names the row, `ours` are the indices of marked rows."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    ours: Sequence[int] = ()
    text_columns: Sequence[int] = ()  # beside the first; the others hold numbers


class Image(NamedTuple):
    """A PNG file beside the page; `alt` says in words what it shows."""

    path: Path
    alt: str
    caption: str


Block = Heading | Text | Points | Table | Image


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """GitHub's Markdown; images are linked by their file names."""
    return "\n\n".join([f"# {title}", *(_markdown(block) for block in blocks)]) + "\n"


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """One file that needs no network: styles and images are inside, and no script."""
    sections = [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]
    links = "".join(f'<li><a href="#{_anchor(s)}">{_escape(s)}</a></li>' for s in sections)
    body = "\n".join(_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{_escape(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_escape(title)}</h1>\n<nav aria-label="Sections"><ul>{links}</ul></nav>\n'
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {text}"
        case Text(text):
            return text
        case Points(items):
            return "\n".join(f"- {item}" for item in items)
        case Image(path, alt, caption):
            return f"![{alt}]({path.name})\n\n{caption}"
        case Table():
            return _markdown_table(block)


def _markdown_table(table: Table) -> str:
    marks = [":--" if _is_text(table, i) else "--:" for i in range(len(table.header))]
    rows = [
        [f"**{cell}**" if index in table.ours and cell else cell for cell in row]
        for index, row in enumerate(table.rows)
    ]
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in (table.header, marks, *rows)
    ]
    return f"{table.caption}\n\n" + "\n".join(lines)


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f'<h{level} id="{_anchor(text)}">{_escape(text)}</h{level}>'
        case Text(text):
            return f"<p>{_escape(text)}</p>"
        case Points(items):
            return "<ul>" + "".join(f"<li>{_escape(item)}</li>" for item in items) + "</ul>"
        case Image(path, alt, caption):
            data = base64.b64encode(path.read_bytes()).decode()
            image = f'<img src="data:image/png;base64,{data}" alt="{_escape(alt)}">'
            return f"<figure>{image}<figcaption>{_escape(caption)}</figcaption></figure>"
        case Table():
            return _html_table(block)


def _html_table(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{_class(table, i)}>{_escape(cell)}</th>'
        for i, cell in enumerate(table.header)
    )
    rows = "\n".join(_html_row(table, index) for index in range(len(table.rows)))
    caption = _escape(table.caption)
    # A wide table scrolls by keyboard too: hence the tab stop and its name.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody>"
        "</table></div>"
    )


def _html_row(table: Table, index: int) -> str:
    first, *rest = table.rows[index]
    cells = f'<th scope="row">{_escape(first)}</th>' + "".join(
        f"<td{_class(table, i)}>{_escape(cell)}</td>" for i, cell in enumerate(rest, 1)
    )
    return f'<tr class="ours">{cells}</tr>' if index in table.ours else f"<tr>{cells}</tr>"


def _class(table: Table, column: int) -> str:
    return ' class="text"' if _is_text(table, column) else ""


def _is_text(table: Table, column: int) -> bool:
    return column == 0 or column in table.text_columns


def _anchor(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower())


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
