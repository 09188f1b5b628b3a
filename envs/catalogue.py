"""The lines of `rlseq list envs`, kept in catalogue.json because building all ids takes long.

`python -m rlseq.envs.catalogue` writes the file anew; a test compares it with the environments.
Rows of families whose package is missing stay as they are.
"""

import json
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rlseq.envs.family import env_ids

FILE = "catalogue.json"


def lines() -> dict[str, str]:
    """id -> spaces, longest episode and rewards of a step, for every id in the file."""
    return {name: as_text(row) for name, row in rows().items()}


def rows() -> dict[str, dict[str, Any]]:
    """id -> what `described` says, for every id in the file."""
    text = (resources.files("rlseq.envs") / FILE).read_text(encoding="utf-8")
    return json.loads(text)


def as_text(row: dict[str, Any]) -> str:
    """A row of the catalogue in one line."""
    steps = "no limit" if row["steps"] is None else f"{row['steps']} steps at most"
    return f"{row['sees']} -> {row['acts']}; {steps}; rewards {_range(row['rewards'])}"


def described(env_id: str) -> dict[str, Any]:
    """The row of an environment; `rewards` is None where no bounds are known."""
    from rlseq.envs import make_env
    from rlseq.envs.spaces import describe

    venv = make_env(env_id)
    low, high = venv.spec.reward_range
    return {
        "sees": describe(venv.spec.obs_space),
        "acts": describe(venv.spec.action_space),
        "steps": venv.spec.max_steps,
        "rewards": [_number(low), _number(high)],
    }


def write(path: Path, ids: Sequence[str]) -> None:
    """The rows of these ids, one a line; those that cannot be built now keep theirs."""
    before, here = rows(), set(env_ids())
    found = {name: described(name) if name in here else before[name] for name in ids}
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _number(bound: float) -> float | None:
    return float(f"{bound:.4g}") if math.isfinite(bound) else None


def _range(bounds: Sequence[float | None]) -> str:
    low, high = bounds
    if low is None and high is None:
        return "without known bounds"
    return f"{'any' if low is None else f'{low:g}'} .. {'any' if high is None else f'{high:g}'}"


if __name__ == "__main__":
    write(Path(__file__).with_name(FILE), env_ids(missing=True))
