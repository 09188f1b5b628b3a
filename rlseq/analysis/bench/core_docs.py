"""Measured costs in the page about cores, between markers that name the core."""

import re
from collections.abc import Sequence
from pathlib import Path

from rlseq.analysis.bench.core_report import HEADS, cells
from rlseq.errors import InputError
from rlseq.train.files import write_atomic

MARKED = re.compile(r"(<!-- cost (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def insert(page: Path, rows: Sequence[dict]) -> None:
    """Put each core's rows between `<!-- cost NAME -->` and `<!-- end -->`; the rest stays.

    Cores without rows keep what they have. Raises InputError if the page is missing.
    """
    if not page.is_file():
        raise InputError(f"no page {str(page)!r} to insert figures into")

    def fill(found: re.Match) -> str:
        mine = [row for row in rows if row["core"] == found[2]]
        return f"{found[1]}{_table(mine)}\n{found[3]}" if mine else found[0]

    write_atomic(page, MARKED.sub(fill, page.read_text(encoding="utf-8")))


def _table(rows: Sequence[dict]) -> str:
    lines = [HEADS[1:], ["---"] * len(HEADS[1:]), *[cells(row)[1:] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
