"""Steps per second of environments under random actions, raw and inside a PPO rollout.

POPGym's ids stand beside popgym itself, in one process and in gymnasium's vector form, where that
package is installed.
"""

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from jax import lax

import rlseq
from rlseq.agents import make_agent
from rlseq.agents.rollout import collect
from rlseq.analysis.bench.core_report import SAME
from rlseq.analysis.bench.popgym_peer import popgym_rates
from rlseq.analysis.bench.timing import seconds
from rlseq.envs import env_ids
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError, check_names
from rlseq.train.files import write_atomic
from rlseq.train.runs import environment_info
from rlseq.types import TimeStep, VecEnv

SIZES, QUICK = (1, 64, 4096), (1, 8)
ROLLOUT_ENVS, ROLLOUT_STEPS = 64, 256
AT_LEAST, AT_MOST = 0.3, 5.0  # seconds of a measured run
BY_CPU = ", per CPU second"  # of a column
TRIAL = 8  # steps that say how long others will take
FAMILIES = ("popgym:", "memory:", "minatar:", "meta:")


def run(
    folder: Path,
    ids: Sequence[str] = (),
    *,
    sizes: Sequence[int] = (),
    quick: bool = False,
    show: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Measure the environments that `folder` has no row of yet, and write envs.json there.

    The file is replaced as a whole after every id, so a run that was stopped goes on where it was.

    Args:
        folder: created if it is missing.
        ids: environments; all of POPGym, memory:, minatar: and meta: without any.
        sizes: numbers of copies, and nothing else is measured; `SIZES` and all else without any.
        quick: few copies and short runs, to check that everything runs.
        show: is called with a line for each row.

    Returns the rows asked for: steps per second by column, None where nothing could be measured.
    Raises InputError for an unknown id and for a folder with rows of another machine.
    """
    ids = list(ids) or [name for name in env_ids() if name.startswith(FAMILIES)]
    check_names("environment", ids, env_ids(missing=True))
    about, held = _load(folder / "envs.json")
    for name in ids:
        if (name, quick) not in held:
            row = _row(name, quick, sizes)
            held[name, quick] = row | {"quick": quick, "commit": about["commit"]}
            folder.mkdir(parents=True, exist_ok=True)
            whole = {"about": about, "rows": list(held.values())}
            write_atomic(folder / "envs.json", json.dumps(whole, indent=1) + "\n")
        show("  ".join(f"{key} {_text(value)}" for key, value in held[name, quick].items()))
    return [held[name, quick] for name in ids]


def _load(path: Path) -> tuple[dict[str, str], dict[tuple[str, bool], dict[str, Any]]]:
    """(about this machine, rows by id and quick): none where there is no file yet."""
    here = dict(line.split(": ", 1) for line in environment_info().splitlines())
    if not path.is_file():
        return here, {}
    read = json.loads(path.read_text(encoding="utf-8"))
    for name in SAME:
        if read["about"].get(name) != here[name]:
            raise InputError(
                f"{str(path)!r} was measured with {name} {read['about'].get(name)!r}, here it is "
                f"{here[name]!r}: choose another folder with --output"
            )
    return here, {(row["environment"], row["quick"]): row for row in read["rows"]}


def _row(name: str, quick: bool, wanted: Sequence[int]) -> dict[str, Any]:
    at_least = 0.01 if quick else AT_LEAST
    row: dict[str, Any] = {"environment": name}
    sizes = wanted or (QUICK if quick else SIZES)
    for size in sizes:
        speed = _raw(rlseq.make_env(name, size), at_least)
        row[f"{size} envs"] = speed.by_clock
        if wanted:
            row[f"{size} envs{BY_CPU}"] = speed.by_cpu
    if wanted:
        return row
    copies, steps = (8, 16) if quick else (ROLLOUT_ENVS, ROLLOUT_STEPS)
    # Difficulties share their program and differ in sizes: what is slow to measure, once each.
    first = not name.endswith(("Medium", "Hard"))
    rollout = _rollout(rlseq.make_env(name, copies), steps) if first else None
    row[f"ppo rollout, {copies} envs"] = rollout
    row |= popgym_rates(name, at_least, processes=first)
    one = row["popgym"]
    row["times popgym"] = None if one is None else row[f"{sizes[-1]} envs"] / one
    return row


class Speed(NamedTuple):
    """Steps per second of all copies together, medians of three runs."""

    by_clock: float
    by_cpu: float  # per second of the process on all cores: what other load hardly changes


def _raw(env: VecEnv, at_least: float) -> Speed:
    """A run is at least one longest episode, or what `AT_MOST` seconds have time for."""
    advance = jax.jit(partial(_advance, env))
    start = jax.jit(env.reset)(jax.random.key(0))

    def once(steps: int) -> tuple[float, float]:
        began = time.perf_counter(), time.process_time()
        jax.block_until_ready(advance(start, jax.random.key(1), steps))
        return time.perf_counter() - began[0], time.process_time() - began[1]

    once(TRIAL)  # compiles
    affordable = math.ceil(TRIAL * AT_MOST / once(TRIAL)[0])
    steps = min(env.spec.max_steps or 1000, affordable)
    once(steps)
    steps *= max(1, round(at_least / once(steps)[0]))
    once(steps)
    took = zip(*(once(steps) for _ in range(3)), strict=True)
    return Speed(*(env.num_envs * steps / statistics.median(times) for times in took))


def _advance(
    env: VecEnv, start: tuple[Any, TimeStep], key: jax.Array, steps: jax.Array
) -> tuple[Any, TimeStep]:
    """`steps` random steps: (state, last time step).

    The whole time step is carried, so that no part of it can be left out as unused.
    """

    def body(index: jax.Array, carried: tuple[Any, TimeStep]) -> tuple[Any, TimeStep]:
        act_key, env_key = jax.random.split(jax.random.fold_in(key, index))
        actions = random_actions(env.spec.action_space, act_key, env.num_envs)
        return env.step(carried[0], actions, env_key)

    return lax.fori_loop(0, steps, body, start)


def random_actions(space: Any, key: jax.Array, copies: int) -> jax.Array:
    """Uniform actions of all copies from one key, as a policy draws them.

    A key for each copy would cost more than the step of many an environment.
    """
    match space:
        case spaces.Discrete():
            return jax.random.randint(key, (copies,), 0, space.n)
        case MultiDiscrete():
            shape = (copies, len(space.nvec))
            return jax.random.randint(key, shape, 0, jnp.asarray(space.nvec))
        case spaces.Box():
            return jax.random.uniform(
                key, (copies, *space.shape), space.dtype, space.low, space.high
            )
    raise InputError(f"no random actions for {space!r}")


def _rollout(env: VecEnv, steps: int) -> float:
    agent: Any = make_agent("ppo", env, core={"name": "s5", "features": 64, "layers": 2})
    state = agent.init(jax.random.key(0))

    def play(state: Any) -> Any:
        return collect(agent.env, partial(agent.policy, state.params), state.actor, steps)

    compiled = jax.jit(play)
    return env.num_envs * steps / seconds(lambda: compiled(state), repeats=3)


def _text(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)
