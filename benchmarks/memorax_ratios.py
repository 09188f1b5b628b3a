"""Our cores beside memorax's cells, one pair after the other.

`python memorax_ratios.py OUT PYTHON CHECKOUT [CORE ...]`: PYTHON runs `memorax_peer.py` in an
environment with memorax's pins, CHECKOUT is a clone of memory-rl/memorax. One layer, T = 1024,
B = 16, 128 features, forward and backward by parameters and input; our method is `auto`. Steps at
B = 1 stand beside bare matmuls with the same matrices. OUT/rows.jsonl gets a line a core (what it
holds is not run again), OUT/README.md the table.
"""

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

from rlseq.analysis.bench.core_cases import Case, measure

# Ours -> the cell of memorax that does the same: `mamba` there has the form of Mamba-2.
PAIRS = {
    "s5": "s5", "lru": "lru", "min_gru": "mingru", "mamba2": "mamba", "mlstm": "mlstm",
    "attention": "self_attention", "gru": "gru", "lstm": "lstm", "slstm": "slstm",
}  # fmt: skip
LOOPS = ("gru", "lstm", "slstm")  # step by step in both
LENGTH, BATCH, WIDTH = 1024, 16, 128
COLUMNS = {
    "core": "core", "ours ms": "ms", "memorax ms": "memorax", "time": "ratio",
    "ours MB": "MB", "memorax MB": "memorax", "memory": "ratio", "ours compile s": "compile s",
    "memorax compile s": "memorax", "step us": "step us", "step / matmuls": "x matmuls",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("python")
    parser.add_argument("checkout")
    parser.add_argument("cores", nargs="*", choices=[[], *PAIRS], help="all without any")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for core in options.cores or PAIRS:
        if core not in [row["core"] for row in rows]:
            rows.append(pair(core, options.python, options.checkout))
            print(json.dumps(rows[-1]), flush=True)
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
        (options.out / "README.md").write_text(table(rows))


def pair(core: str, python: str, checkout: str) -> dict[str, Any]:
    """One core, then its peer."""
    ours = measure(Case(core, "", "sequence", LENGTH, BATCH, WIDTH))
    peer = Path(__file__).with_name("memorax_peer.py")
    command = [python, str(peer), checkout, PAIRS[core]]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    theirs = json.loads(said.splitlines()[-1])
    step = measure(Case(core, "", "step", 1, 1, WIDTH))
    row = {
        "core": core, "cell": PAIRS[core], "parameters": ours["parameters"],
        "memorax parameters": theirs.get("parameters"), "ours ms": 1e3 * ours["seconds"],
        "memorax ms": theirs.get("ms"), "ours MB": ours["temp_bytes"] / 1e6,
        "memorax MB": theirs.get("temporary MB"), "ours compile s": ours["compile_seconds"],
        "memorax compile s": theirs.get("compile s"), "step us": 1e6 * step["seconds"],
        "step / matmuls": step["matmul_ratio"], "error": theirs.get("error", ""),
    }  # fmt: skip
    for name, unit in (("time", "ms"), ("memory", "MB")):
        row[name] = None if row["error"] else row[f"ours {unit}"] / row[f"memorax {unit}"]
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """README.md: the rows and the medians of those that are parallel."""
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|---" * len(COLUMNS) + "|"]
    for row in rows:
        lines.append("| " + " | ".join(text(row[name]) for name in COLUMNS) + " |")
    parallel = [row for row in rows if row["core"] not in LOOPS and not row["error"]]
    notes = ""
    if parallel:
        time, memory = (statistics.median(r[k] for r in parallel) for k in ("time", "memory"))
        notes = (
            f"\nMedian of the parallel cores ({', '.join(r['core'] for r in parallel)}): "
            f"{time:.2f} of the time, {memory:.2f} of the memory.\n"
        )
    return HEAD + "\n".join(lines) + "\n" + notes


def text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


HEAD = """# Cores beside memorax

`python benchmarks/memorax_ratios.py results/core_speed PYTHON CHECKOUT`: one layer, T = 1024,
B = 16, 128 features, forward and backward by parameters and input. memorax (commit 0f33712) in an
environment of its own with jax 0.9.1 and flax 0.12.5, as its lock file says; each pair one right
after the other. MB are temporary memory by XLA's own account. Steps are at B = 1, with the time of
the same matrices in bare matmuls beside them. Raw rows: `rows.jsonl`.

"""


if __name__ == "__main__":
    main()
