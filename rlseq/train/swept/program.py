"""One program for every setting of a sweep: states are [H x S, ...], H settings of S seeds."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlseq import agents
from rlseq.envs import action_log
from rlseq.errors import InputError
from rlseq.train import build, evaluate, play
from rlseq.train.build import Job
from rlseq.train.episodes import Protocol
from rlseq.train.play import Episodes
from rlseq.train.stop import Watch
from rlseq.train.swept.agent import SweptAgent, SweptState
from rlseq.train.swept.space import KEY, Sweep, Values
from rlseq.types import Agent, PyTree, VecEnv

# What JAX raises where Python needs the number behind a traced value.
_NEEDS_A_NUMBER = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


class Program(NamedTuple):
    """A sweep, built and traced; holds no progress."""

    sweep: Sweep
    jobs: list[Job]  # of each setting, as a run of its own
    joint: Job  # of all of them
    lowered: jax.stages.Lowered

    @property
    def agent(self) -> SweptAgent:
        """The one of all settings."""
        agent: Any = self.joint.agent
        return agent

    def rows(self, setting: int) -> slice:
        """Where a setting's seeds are in a state of the program."""
        seeds = self.sweep.config.seeds
        return slice(setting * seeds, (setting + 1) * seeds)

    def member(self, state: SweptState, setting: int) -> PyTree:
        """The state [S, ...] of one setting, as in a run of its own."""
        return jax.tree.map(lambda leaf: leaf[self.rows(setting)], state.inner)

    def init(self) -> SweptState:
        """Fresh states; a seed begins alike in every setting."""
        keys = build.seed_keys(self.sweep.config)[self._seed_indices(len(self.jobs))]
        state = jax.jit(jax.vmap(self.agent.begin))(self._values(), keys)
        return build.place(self.joint, state)

    def join(
        self, members: list[PyTree], values: dict[str, np.ndarray] | None = None
    ) -> SweptState:
        """The state of all settings from theirs, with other values [H, S] than they began with."""
        inner = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *members)
        own = self._values()
        if values is not None:
            own = {name: jnp.asarray(values[name].reshape(-1)) for name in own}
        return build.place(self.joint, SweptState(own, inner))

    def play(
        self, state: SweptState, settings: list[int], protocol: Protocol, count: int, watch: Watch
    ) -> list[Episodes]:
        """About `count` episodes of each seed of some settings, as each would play them alone."""
        rows = np.concatenate([np.r_[self.rows(setting)] for setting in settings])
        params = jax.jit(jax.vmap(self.agent.policy_params))(state)
        config, slots = self.sweep.config, protocol.num_envs
        played = play.evaluate(
            self.agent,
            jax.tree.map(lambda leaf: leaf[rows], params),
            build.make_env(config.env, slots, evaluation=True),
            evaluate.episode_keys(config)[self._seed_indices(len(settings))],
            -(-count // slots),
            max_steps=protocol.max_steps,
            watch=watch,
        )
        return [
            Episodes(*(array[i * config.seeds : (i + 1) * config.seeds] for array in played))
            for i in range(len(settings))
        ]

    def _values(self) -> dict[str, jax.Array]:
        return _columns(self.sweep.settings, self.sweep.config.seeds)

    def _seed_indices(self, settings: int) -> np.ndarray:
        return np.tile(np.arange(self.sweep.config.seeds), settings)


def build_program(sweep: Sweep) -> Program:
    """Everything but the compilation.

    Raises InputError as `build.build` for each setting, for environments outside JAX, for an agent
    or a hyper-parameter that must be known when a program is made, and under JAX_DISABLE_JIT.
    """
    if build.jit_disabled():
        raise InputError(f"{KEY} compiles one program, which JAX_DISABLE_JIT=1 prevents: unset it")
    jobs = [build.build(sweep.member(values)) for values in sweep.settings]
    if action_log.find(jobs[0].agent.env) is not None:
        raise InputError(
            f"{KEY} cannot hold {sweep.config.env.id}, whose environments live outside JAX: sweep "
            "with `rlseq train -m`"
        )
    joint = _joint(sweep, jobs[0], list(sweep.settings[0]))
    return Program(sweep, jobs, joint, _lowered(sweep, jobs[0], joint))


def _joint(sweep: Sweep, job: Job, names: list[str]) -> Job:
    """The job of all settings: as many seeds as settings x seeds."""
    config = dataclasses.replace(sweep.config, seeds=sweep.config.seeds * len(sweep.settings))
    name, options = build.agent_options(job.config)
    env = build.make_env(config.env, config.env.num_envs, statistics=True)
    make = partial(_construct, name, job, env)
    agent = SweptAgent(job.agent, agents.agent_settings(name, options), make, names)
    joint = Job(config, agent, job.schedule)
    build.check(joint)
    return joint


def _construct(name: str, job: Job, env: VecEnv, settings: Any) -> Agent:
    core, model = build.core_of(job.config), build.world_model_of(job.config)
    return agents.construct(name, env, settings, core, job.schedule.updates, model)


def _lowered(sweep: Sweep, job: Job, joint: Job) -> jax.stages.Lowered:
    try:
        return build.lower_chunk(joint)
    except _NEEDS_A_NUMBER as error:
        names = [name for name in sweep.settings[0] if _is_needed(sweep, job, name)]
        keys = ", ".join(f"agent.{name}" for name in names or sweep.settings[0])
        raise InputError(
            f"{KEY} cannot vary {keys}: agent {job.config.agent['name']!r} decides by its value "
            "what the program does. Sweep it with `rlseq train -m`"
        ) from error


def _is_needed(sweep: Sweep, job: Job, name: str) -> bool:
    """Whether a hyper-parameter's number must be known, whatever the others do."""
    alone = _joint(sweep, job, [name])
    try:
        train = jax.vmap(partial(alone.agent.train, num_updates=1))
        jax.eval_shape(train, build.abstract_state(alone))
    except _NEEDS_A_NUMBER:
        return True
    return False


def _columns(settings: list[Values], seeds: int) -> dict[str, jax.Array]:
    """Values float32 [H x S] of each hyper-parameter."""
    return {
        name: jnp.repeat(jnp.array([one[name] for one in settings], jnp.float32), seeds)
        for name in settings[0]
    }
