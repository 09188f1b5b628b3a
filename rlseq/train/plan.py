"""What a run needs: sizes, counts, compiled memory. Compiles one chunk and trains nothing."""

import math
import time
from typing import Any

import jax

from rlseq.config import Config
from rlseq.errors import InputError
from rlseq.train import build
from rlseq.types import PyTree


def plan(config: Config) -> list[tuple[str, str]]:
    """(what, how much) in reading order.

    Raises InputError as `train` does, and under JAX_DISABLE_JIT, where nothing can be compiled.
    """
    if build.jit_disabled():
        raise InputError("a plan compiles a chunk, which JAX_DISABLE_JIT=1 prevents: unset it")
    job = build.build(config)
    state = build.abstract_state(job)
    began = time.perf_counter()
    compiled = build.lower_chunk(job).compile(build.compiler_options())
    compile_seconds = time.perf_counter() - began
    return [
        *_schedule(job),
        *_parameters(job, state),
        *_bytes(job, state),
        *_compiled(compiled, compile_seconds),
    ]


def _schedule(job: build.Job) -> list[tuple[str, str]]:
    schedule, config = job.schedule, job.config
    asked = int(config.total_steps)
    rounded = f" (asked for {asked:,}, rounded up to whole chunks)"
    return [
        ("environment steps", f"{schedule.steps:,}{rounded if schedule.steps != asked else ''}"),
        ("seeds", f"{config.seeds} (steps are per seed)"),
        ("updates", f"{schedule.updates:,} of {schedule.steps_per_update:,} steps"),
        ("chunks", f"{schedule.chunks:,} of {schedule.chunk:,} updates"),
    ]


def _parameters(job: build.Job, state: PyTree) -> list[tuple[str, str]]:
    params = jax.eval_shape(jax.vmap(job.agent.policy_params), state)
    flat = jax.tree_util.tree_flatten_with_path(params)[0]
    parts: dict[str, int] = {}
    for path, leaf in flat:
        part = jax.tree_util.keystr(path[:3], simple=True, separator="/")
        parts[part] = parts.get(part, 0) + math.prod(leaf.shape[1:])
    rows = [(f"  {part}", f"{count:,}") for part, count in parts.items() if count]
    return [("parameters per seed", f"{sum(parts.values()):,}"), *rows]


def _bytes(job: build.Job, state: PyTree) -> list[tuple[str, str]]:
    seeds, steps = job.config.seeds, job.schedule.steps_per_update
    env = build.make_env(job.config.env, job.config.env.num_envs)
    observed = jax.eval_shape(env.reset, jax.random.key(0))[1].obs
    rollout = seeds * steps // env.num_envs * build.state_bytes(observed)
    parts = state._asdict()
    rows = [(f"  {name}", _human(build.state_bytes(part))) for name, part in parts.items()]
    return [
        ("state, all seeds", _human(build.state_bytes(state))),
        *rows,
        ("observations of a rollout", _human(rollout)),
    ]


def _compiled(compiled: jax.stages.Compiled, seconds: float) -> list[tuple[str, str]]:
    rows = [("compile", f"{seconds:.1f} s")]
    memory = compiled.memory_analysis()
    if memory is not None:
        peak = memory.temp_size_in_bytes + memory.argument_size_in_bytes
        rows.append(("compiled memory", f"{_human(peak)}: arguments and temporaries of a chunk"))
    cost: Any = compiled.cost_analysis()
    if cost and "flops" in cost:
        rows.append(("FLOPs", f"{cost['flops']:.3g} as XLA counts: the body of each loop once"))
    return rows


def _human(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
