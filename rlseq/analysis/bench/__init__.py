"""What `rlseq bench` measures: scans, PPO updates, environments, cores; nothing here is a test."""

import importlib

from rlseq.errors import unknown_name

BENCHES = {
    "scans": "the affine scan against lax.associative_scan through autodiff",
    "ppo": "compile, steps/s, share of the matmul rate and memory of recurrent PPO",
}
# These take options and long; `rlseq bench` without a name leaves them out.
LONG = {
    "envs": "environment steps per second, raw, inside a PPO rollout and of popgym itself",
    "atari": "Atari steps per second: in jitted rollouts, in ALE's loop and in gymnasium's forms",
    "cores": "steps and sequences of every core and method, one layer each",
    "scale": "one device, a mesh and several processes on the same cores; an estimate for GPUs",
    "choices": "the fastest method of each scan by length and size, as scans/choices.json",
}


def run_bench(name: str) -> list[dict[str, object]]:
    """The rows that a benchmark measured. Raises InputError for an unknown name."""
    if name not in BENCHES:
        raise unknown_name("benchmark", name, BENCHES)
    return importlib.import_module(f"rlseq.analysis.bench.{name}").rows()


def as_table(rows: list[dict[str, object]]) -> str:
    """Rows of one form as a Markdown table."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *[[_text(row[h]) for h in heads] for row in rows]]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "-" if value is None else str(value)
