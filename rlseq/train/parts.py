"""Where training time goes: parts of an update, timed before a run begins.

Inside one compiled program no clock can be read, so each part is compiled and timed by itself; the
rest of a chunk's time is the environment's. Needs an agent with `parts`.
"""

import time
from typing import NamedTuple

import jax

from rlseq.agents.types import AgentWithParts
from rlseq.errors import InputError
from rlseq.train.build import Job, seed_keys
from rlseq.types import PyTree

CALLS = 5


class Parts(NamedTuple):
    """Seconds of one update, all seeds together."""

    acting: float
    model: float | None  # None without a world model
    agent: float

    def of_chunk(self, updates: int, seconds: float) -> dict[str, float]:
        """What to log of a chunk that took `seconds`."""
        parts = self._asdict().items()
        known = {name: value * updates for name, value in parts if value is not None}
        known["environment"] = max(0.0, seconds - sum(known.values()))
        return {f"seconds/{name}": round(value, 4) for name, value in known.items()}


def measure(job: Job, state: PyTree) -> Parts:
    """Time the parts on a state [S, ...], which stays as it is.

    Raises InputError for an agent without `parts`.
    """
    if not isinstance(job.agent, AgentWithParts):
        raise InputError(
            f"agent {job.config.agent['name']!r} has no parts to time: set run.time_parts=false"
        )
    found = {}
    for name, (function, times) in job.agent.parts().items():
        keys = seed_keys(job.config)
        compiled = jax.jit(jax.vmap(function)).lower(state, keys).compile()
        jax.block_until_ready(compiled(state, keys))
        began = time.perf_counter()
        for _ in range(CALLS):
            jax.block_until_ready(compiled(state, keys))
        found[name] = times * (time.perf_counter() - began) / CALLS
    model = found.get("model")
    return Parts(found["acting"], model, max(0.0, found["learning"] - (model or 0.0)))
