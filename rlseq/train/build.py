"""Build the parts of a run from its configuration: agent, schedule and compiled functions."""

import contextlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from rlseq import agents
from rlseq.agents.types import AgentWithData
from rlseq.config import NO_MODEL, Config, EnvConfig
from rlseq.envs import action_log
from rlseq.errors import InputError
from rlseq.fields import INT32
from rlseq.train import memory, sharding
from rlseq.types import Agent, PyTree, VecEnv


class Schedule(NamedTuple):
    """The updates of a run, in chunks of equal size that share one program."""

    steps_per_update: int
    chunk: int  # updates in one chunk
    chunks: int

    @property
    def updates(self) -> int:
        """Of the whole run; a little more than asked for where chunks do not divide it."""
        return self.chunk * self.chunks

    @property
    def chunk_steps(self) -> int:
        """Environment steps of one chunk, per seed."""
        return self.chunk * self.steps_per_update

    @property
    def steps(self) -> int:
        """Environment steps of the whole run, per seed."""
        return self.updates * self.steps_per_update

    def end_from(self, step: int) -> int:
        """Where a run ends that goes on from `step`: chunks are whole, so it may pass `steps`."""
        return step + -(-max(self.steps - step, 0) // self.chunk_steps) * self.chunk_steps


class Job(NamedTuple):
    """What was built from a configuration; holds no progress."""

    config: Config
    agent: Agent
    schedule: Schedule


def build(config: Config) -> Job:
    """The job of a configuration. Raises InputError for anything the parts refuse, shapes that do
    not fit and a mesh that this machine cannot form; nothing is compiled or written.
    """
    job = build_to_act(config)
    check(job)
    return job


def check(job: Job) -> None:
    """Raise InputError for a state that no device here could hold, and for an impossible mesh."""
    memory.check(abstract_state(job))
    _layout(job)


def build_to_act(config: Config) -> Job:
    """`build` for what only acts: the memory and the mesh that training needs may be missing."""
    num_envs = config.env.num_envs
    steps_per_update = agents.update_steps(*agent_options(config), num_envs)
    schedule = make_schedule(config.total_steps, steps_per_update, config.run.chunks)
    _check_counters(schedule, num_envs)
    # A host environment logs its actions until the host has read them, once a chunk.
    log = -(-schedule.chunk_steps // num_envs)
    env = make_env(config.env, num_envs, action_log=log, statistics=True)
    return Job(config, _make_agent(config, env, schedule.updates), schedule)


def make_schedule(total_steps: float, steps_per_update: int, chunks: int) -> Schedule:
    """Whole updates in about `chunks` equal chunks that reach `total_steps`.

    Raises InputError for fewer steps than one update and for more than int32 counts.
    """
    if total_steps < steps_per_update:
        raise InputError(
            f"total_steps = {total_steps} is less than one update, which takes {steps_per_update} "
            "steps (env.num_envs x agent.num_steps)"
        )
    updates = math.ceil(total_steps / steps_per_update)
    chunk = math.ceil(updates / chunks)
    schedule = Schedule(steps_per_update, chunk, math.ceil(updates / chunk))
    # Counters on the device are int32: of updates over the run, of steps over a chunk.
    if schedule.updates > INT32:
        raise InputError(
            f"total_steps = {total_steps} makes {updates:,} updates of {steps_per_update} steps: "
            f"at most {INT32:,} are counted"
        )
    if schedule.chunk_steps > INT32:
        raise InputError(
            f"run.chunks = {chunks} makes chunks of {schedule.chunk_steps:,} steps: at most "
            f"{INT32:,} are counted, so more chunks are needed"
        )
    return schedule


def _check_counters(schedule: Schedule, num_envs: int) -> None:
    """Raise InputError for a run with more steps of an environment than its int32 counts."""
    steps = schedule.steps // num_envs
    if steps > INT32:
        raise InputError(
            f"total_steps makes {steps:,} steps of each of {num_envs:,} environments, and counters "
            f"end at {INT32:,}: fewer steps, or a larger env.num_envs"
        )


def make_env(config: EnvConfig, num_envs: int, **purpose: Any) -> VecEnv:
    """The configured environment, `num_envs` of it. `purpose` is `action_log`, `evaluation` or
    `statistics`, as `rlseq.envs.make_env` has them. Raises InputError."""
    from rlseq.envs import make_env as make

    preset = {} if config.preset is None else {"preset": config.preset}
    return make(config.id, num_envs=num_envs, **{**preset, **config.options, **purpose})


def seed_keys(config: Config) -> jax.Array:
    """One key a seed, [S]; seed i of a run equals a run of that seed alone."""
    return _keys(jnp.asarray(_seeds(config)))


def _seeds(config: Config) -> np.ndarray:
    return np.arange(config.seed, config.seed + config.seeds).astype(np.uint32)


def _keys(seeds: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.key)(seeds)


def init(job: Job) -> PyTree:
    """Fresh states of every seed, [S, ...], on the devices of the mesh."""
    layout = _layout(job)
    start = jax.vmap(job.agent.init)
    if layout is None:
        return jax.jit(start)(seed_keys(job.config))
    # Keys are made inside: those outside lie on a device of this process.
    begin = jax.jit(lambda seeds: start(_keys(seeds)), out_shardings=layout)
    return place(job, begin(_seeds(job.config)))


def abstract_state(job: Job) -> PyTree:
    """Shapes and dtypes of `init`, without computing it."""
    return jax.eval_shape(jax.vmap(job.agent.init), seed_keys(job.config))


def place(job: Job, state: PyTree) -> PyTree:
    """The state on the devices of `run.mesh`, or where it is without one."""
    layout = _layout(job)
    return state if layout is None else sharding.put(state, layout)


def compiler_options() -> dict[str, str | bool]:
    """Options of XLA that programs over several seeds need to be right.

    On CPUs the YNN fusions, which came with jaxlib 0.10.2, give wrong sums under vmap: with two
    seeds, losses of 1e25 and NaN were seen. 0.11.2 mends one case
    (https://github.com/jax-ml/jax/issues/39103), not all of them.
    """
    faulty = jax.default_backend() == "cpu" and jax.__version_info__ >= (0, 10, 2)
    return {"xla_cpu_experimental_ynn_fusion_type": ""} if faulty else {}


def jit_disabled() -> bool:
    """Whether JAX_DISABLE_JIT is set."""
    return bool(jax.config.jax_disable_jit)  # type: ignore[attr-defined]


def compile_chunk(job: Job) -> Callable[[PyTree], tuple[PyTree, PyTree]]:
    """(states [S, ...]) -> (states, metrics of [S]): one chunk of every seed; takes the states.

    Under JAX_DISABLE_JIT, where nothing is compiled ahead, it runs operation by operation.
    """
    data, layout = recorded_data(job), _layout(job)
    if layout is not None:
        everywhere = replicated(layout)
        data = sharding.put(data, jax.tree.map(lambda _: everywhere, data))
    disabled = jit_disabled()
    run = chunk_program(job) if disabled else lower_chunk(job).compile(compiler_options())
    return lambda states: run(states, *data)


def replicated(layout: PyTree) -> NamedSharding:
    """A copy on every device of a layout."""
    return NamedSharding(jax.tree.leaves(layout)[0].mesh, PartitionSpec())


def recorded_data(job: Job) -> tuple[PyTree, ...]:
    """What its agent learns from, read now, if that is recorded: one argument of `chunk_program`.

    Raises InputError for data that are not there, are damaged or do not fit.
    """
    return (job.agent.data,) if isinstance(job.agent, AgentWithData) else ()


def lower_chunk(job: Job) -> jax.stages.Lowered:
    """What `compile_chunk` compiles, traced; recorded data are an argument, not constants."""
    layout = _layout(job)
    mesh = None if layout is None else jax.tree.leaves(layout)[0].mesh
    # `rlseq.rl.devices` splits batches over it.
    with contextlib.nullcontext() if mesh is None else jax.set_mesh(mesh):
        return chunk_program(job).lower(abstract_state(job), *recorded_data(job))


def chunk_program(job: Job) -> jax.stages.Wrapped:
    """(states [S, ...], recorded data if the agent has any) -> (states, metrics of [S])."""
    train, updates = job.agent.train, job.schedule.chunk
    train_on = job.agent.train_on if isinstance(job.agent, AgentWithData) else None

    def chunk(states: PyTree, *data: PyTree) -> tuple[PyTree, PyTree]:
        one = train if train_on is None else partial(train_on, *data)
        return jax.vmap(lambda state: one(state, updates))(states)

    layout = _layout(job)
    if layout is None:
        return jax.jit(chunk, donate_argnums=0)
    everywhere = replicated(layout)  # metrics and recorded data
    copies = [] if train_on is None else [everywhere]
    return jax.jit(
        chunk, donate_argnums=0, in_shardings=(layout, *copies), out_shardings=(layout, everywhere)
    )


def _make_agent(config: Config, env: VecEnv, updates: int) -> Agent:
    name, options = agent_options(config)
    model = world_model_of(config)
    return agents.make_agent(
        name, env, core=core_of(config), world_model=model, num_updates=updates, **options
    )


def world_model_of(config: Config) -> dict[str, Any] | None:
    """The world model's name and options; None where the run has none."""
    return None if config.world_model["name"] == NO_MODEL else config.world_model


def core_of(config: Config) -> dict[str, Any]:
    """The core's options, with `precision`. Raises InputError where they name another dtype."""
    if config.precision == "float32":
        return config.core
    dtype = config.core.get("dtype", "float32")
    if dtype not in ("float32", config.precision):
        raise InputError(f"precision={config.precision} and core.dtype={dtype}: choose one")
    return config.core | {"dtype": config.precision}


def agent_options(config: Config) -> tuple[str, dict[str, Any]]:
    """(name, hyper-parameters)."""
    options = dict(config.agent)
    return options.pop("name"), options


def abstract_layout(job: Job) -> PyTree | None:
    """NamedShardings of a state [S, ...] on `run.mesh`, of which no device need be there."""
    return _layout(job, sharding.abstract_mesh)


def _layout(
    job: Job, make_mesh: Callable[..., Mesh | AbstractMesh] = sharding.make_mesh
) -> PyTree | None:
    """The same on devices that are there. Raises InputError without them."""
    config = job.config
    if config.run.mesh is None:
        return None
    if action_log.find(job.agent.env) is not None:
        raise InputError(
            f"run.mesh cannot split {config.env.id}: its environments live outside JAX, in one "
            "process on one device"
        )
    mesh = make_mesh(config.run.mesh, seeds=config.seeds, num_envs=config.env.num_envs)
    if mesh.shape["env"] > 1 and not job.agent.steps_environment:
        raise InputError(
            f"run.mesh={config.run.mesh} splits environments, and agent={config.agent['name']} has "
            "none: seed=N splits seeds"
        )
    batched = job.agent.batched(jax.eval_shape(job.agent.init, seed_keys(config)[0]))
    return sharding.shardings(mesh, abstract_state(job), batched)
