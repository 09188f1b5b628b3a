"""What a run needs: sizes, counts, compiled memory. Compiles one chunk and trains nothing."""

import math
import time
from typing import Any

import jax
from jax.sharding import NamedSharding

from rlseq.config import Config
from rlseq.errors import InputError
from rlseq.train import build, memory
from rlseq.types import PyTree

_SHOWN = 8  # parts of a mesh in one line


def plan(config: Config) -> list[tuple[str, str]]:
    """(what, how much) in reading order. A mesh of more devices than there are is not compiled.

    Raises InputError as `train` does, and under JAX_DISABLE_JIT, where nothing can be compiled.
    """
    if build.jit_disabled():
        raise InputError("a plan compiles a chunk, which JAX_DISABLE_JIT=1 prevents: unset it")
    job = build.build_to_act(config)
    state, layout = build.abstract_state(job), build.abstract_layout(job)
    missing = layout is not None and _mesh(layout).size > jax.device_count()
    if not missing:
        build.check(job)
    return [
        *_schedule(job),
        *_parameters(job, state),
        *_bytes(job, state),
        *(_devices(layout, state) if layout is not None else ()),
        *(_not_compiled(layout) if missing else _compiled(job, state)),
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
    rollout = seeds * steps // env.num_envs * memory.state_bytes(observed)
    parts = state._asdict()
    rows = [(f"  {name}", _human(memory.state_bytes(part))) for name, part in parts.items()]
    return [
        ("state, all seeds", _human(memory.state_bytes(state))),
        *rows,
        ("observations of a rollout", _human(rollout)),
    ]


def _devices(layout: PyTree, state: PyTree) -> list[tuple[str, str]]:
    """How a mesh splits the state."""
    mesh = _mesh(layout)
    seeds, envs = mesh.axis_sizes
    lines = [
        f"part {i} of the seeds on {_numbers(i * envs, envs)}" for i in range(min(seeds, _SHOWN))
    ]
    more = "; and so on" if seeds > _SHOWN else ""
    parts = zip(state._asdict().items(), layout._asdict().values(), strict=True)
    sizes = {name: _on_each(part, places) for (name, part), places in parts}
    return [
        ("mesh", f"{seeds * envs} devices: seed={seeds}, env={envs}"),
        ("device order", "; ".join(lines) + more),
        ("state, each device", _human(sum(sizes.values()))),
        *((f"  {name}", _human(size)) for name, size in sizes.items()),
    ]


def _mesh(layout: PyTree) -> Any:
    return jax.tree.leaves(layout)[0].mesh


def _numbers(first: int, count: int) -> str:
    return f"device {first}" if count == 1 else f"devices {first} to {first + count - 1}"


def _on_each(part: PyTree, places: PyTree) -> int:
    """Bytes of a part of a state that one device holds."""

    def of_leaf(leaf: Any, place: NamedSharding) -> int:
        here = math.prod(place.shard_shape(leaf.shape))
        return memory.state_bytes(leaf) * here // max(1, math.prod(leaf.shape))

    return sum(jax.tree.leaves(jax.tree.map(of_leaf, part, places)))


def _not_compiled(layout: PyTree) -> list[tuple[str, str]]:
    wanted = _mesh(layout).size
    why = f"not here: {wanted} devices are needed, there are {jax.device_count()}"
    return [("compile", why), ("state buffers", "donated to each chunk")]


def _compiled(job: build.Job, state: PyTree) -> list[tuple[str, str]]:
    began = time.perf_counter()
    compiled = build.lower_chunk(job).compile(build.compiler_options())
    rows = [("compile", f"{time.perf_counter() - began:.1f} s")]
    used, peak = compiled.memory_analysis(), memory.compiled_bytes(compiled)
    if used is not None and peak is not None:
        rows.append(("compiled memory", f"{_human(peak)}: arguments and temporaries of a chunk"))
        reused = _human(used.alias_size_in_bytes)
        rows.append(("state buffers", f"donated to each chunk, {reused} of them written in place"))
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
