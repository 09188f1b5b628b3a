"""The page about cores: a card of each from its source, and its measured costs.

Between `<!-- card NAME -->` and `<!-- end -->` stand the equations and options, between
`<!-- cost NAME -->` and `<!-- end -->` the figures; all other text of the page is written by hand.
"""

import importlib
import inspect
import re
from collections.abc import Sequence
from pathlib import Path

from rlseq import registry
from rlseq.analysis.bench.core_report import HEADS, cells
from rlseq.cores import core_options
from rlseq.cores.stack import Stack
from rlseq.errors import InputError
from rlseq.train.files import write_atomic

MARKED = re.compile(r"<!-- (card|cost) (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
SHARED = ("features", "layers", "dtype", "method", "matmul_dtype")  # explained once, on the page
_FIELD = re.compile(r"^    (\w+): \w+ = [^#\n]+(?:# (.*))?$", re.MULTILINE)


def insert(page: Path, rows: Sequence[dict]) -> None:
    """Make the cards of a page anew, and the costs of the cores that have rows.

    Registered cores without a section get one at the end. Raises InputError if the page is
    missing.
    """
    if not page.is_file():
        raise InputError(f"no page {str(page)!r} to insert cards into")
    text = page.read_text(encoding="utf-8")
    listed, known = sections(text), registry.names("core")
    for name in known:
        if name not in listed:
            text = text.rstrip("\n") + f"\n\n{_section(name)}"

    def fill(found: re.Match) -> str:
        kind, name, old = found.groups()
        mine = [row for row in rows if row["core"] == name]
        new = costs(mine) if kind == "cost" else card(name) if name in known else ""
        return f"<!-- {kind} {name} -->\n{new or old}<!-- end -->"

    write_atomic(page, MARKED.sub(fill, text))


def sections(text: str) -> list[str]:
    """The cores that a page has cards of, in its order."""
    return [name for kind, name, _ in MARKED.findall(text) if kind == "card"]


def card(name: str) -> str:
    """Title, source, equations, carry and options of a core as Markdown, from its file."""
    layer = registry.load("core", name)
    module = inspect.getdoc(importlib.import_module(layer.__module__)) or ""
    title, _, equations = module.partition("\n")
    text = f"{title}\n\n"
    if equations.strip():
        text += f"```text\n{equations.strip()}\n```\n\n"
    text += f"{_first_paragraph(layer)}\n\n{_stack(layer)}\n"
    own = [key for key in core_options(name) if key not in (*SHARED, *Stack.option_names())]
    if own:
        notes = _notes(layer)
        text += "\n| option | default | |\n|---|---|---|\n"
        for key in own:
            default = core_options(name)[key][1]
            text += f"| `{key}` | `{default!r}` | {notes.get(key, '')} |\n"
    methods = [f"`{method}`" for method in layer.methods if method != "auto"]
    return text + (f"\nMethods: {', '.join(methods)}.\n" if methods else "")


def costs(rows: Sequence[dict]) -> str:
    """Rows of one core as a Markdown table; "" without any."""
    lines = [HEADS[1:], ["---"] * len(HEADS[1:]), *[cells(row)[1:] for row in rows]]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines if rows)


def _section(name: str) -> str:
    return (
        f"## `{name}`\n\n<!-- card {name} -->\n<!-- end -->\n\n<!-- cost {name} -->\n<!-- end -->\n"
    )


def _first_paragraph(layer: type) -> str:
    return (inspect.getdoc(layer) or "").split("\n\n")[0].replace("\n", " ")


def _stack(layer) -> str:
    """What stands around the layers by default, in words."""
    block = {"layers": 1} | layer.block
    parts = [f"{key} `{value}`" for key, value in block.items() if key != "layers"]
    return f"Layers by default: {block['layers']}" + (f"; {', '.join(parts)}." if parts else ".")


def _notes(layer: type) -> dict[str, str]:
    """Option -> the comment behind it, which names the default's source."""
    notes: dict[str, str] = {}
    for cls in reversed(layer.__mro__):
        if cls.__module__.startswith("rlseq."):
            found = _FIELD.findall(inspect.getsource(cls))
            notes |= {key: note for key, note in found if note}
    return {key: note.replace("|", "\\|") for key, note in notes.items()}
