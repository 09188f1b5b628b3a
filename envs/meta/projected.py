"""Meta-episodes by random projections (Lu et al. 2303.03982, algorithm 1)."""

import math
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Box, Discrete, Space

from rlseq.envs.base import Env
from rlseq.envs.family import family_of
from rlseq.envs.gymnax_adapter import Adapted
from rlseq.envs.meta.projection import action_map, mapped, rotation
from rlseq.envs.spaces import describe, flat_size, flatten
from rlseq.errors import InputError
from rlseq.fields import Range, Text
from rlseq.types import JaxFamily, PyTree


class ProjectedState(NamedTuple):
    time: jax.Array  # int32 [], steps of the meta-episode
    trial: jax.Array  # int32 [], trials that are over
    trial_time: jax.Array  # int32 [], steps of the running trial
    inner: Any  # the task's state
    start: jax.Array  # uint32, data of the key of the first trial's start
    obs_matrix: jax.Array  # float32 [task's observation, obs_size]
    action_map: jax.Array  # float32 [action_size, task's action] or int32 [action_size]


class Projected(Env):
    """`num_trials` trials of a task whose observations and actions are mixed anew each episode.

    obs float32 [obs_size + 2]: the task's observation, flattened, times a random matrix, then the
    reward of the step before and 1 where it ended a trial (0 at the start). Actions: for a Box
    [action_size] numbers in -1 .. 1, times a random matrix; for Discrete one of action_size
    choices, dealt at random to the task's. Both keep the task solvable: observations lose
    nothing, and every choice of the task is reachable. A trial that ends, either way or after
    `trial_steps`, is followed by the next; the last one terminates, and there alone is a reset,
    so that the memory spans all trials. Rewards are the task's.

    With `num_projections` they come from a set of that many, with `held_out` from a second one
    that has none in common with it; 0 draws new ones always. `same_start` begins each trial of an
    episode in the same state and `project_actions=False` leaves actions alone: both as in the
    paper's code, but not in its text.

    Raises InputError for an unknown task, one whose actions are neither a bounded Box nor
    Discrete, sizes below the task's and held_out without num_projections.
    """

    mean_length = 100  # ours: orthogonal matrices are expensive

    def __init__(
        self,
        task: Annotated[str, Text()],
        num_trials: Annotated[int, Range(1, 1000)] = 16,
        obs_size: Annotated[int | None, Range(1, 4096)] = None,
        action_size: Annotated[int | None, Range(1, 4096)] = None,
        trial_steps: Annotated[int | None, Range(1, 1_000_000)] = None,
        num_projections: Annotated[int, Range(0, 1_000_000_000)] = 0,
        held_out: bool = False,
        same_start: bool = False,
        project_actions: bool = True,
    ):
        self.inner, self.inner_params = _task(task)
        self.trial_steps = self.inner.max_steps if trial_steps is None else trial_steps
        if held_out and not num_projections:
            raise InputError("held_out needs num_projections, the size of the set to be left out")
        self.num_trials = num_trials
        self.num_projections = num_projections
        self.held_out = held_out
        self.same_start = same_start
        self.project_actions = project_actions
        self.max_steps = num_trials * self.trial_steps
        self.reward_range = self.inner.reward_range
        self.seen_space = self.inner.observation_space(self.inner_params)
        self.task_actions = self.inner.action_space(self.inner_params)
        self._set_sizes(task, obs_size, action_size)

    def _set_sizes(self, task: str, obs_size: int | None, action_size: int | None) -> None:
        space, seen = self.task_actions, flat_size(self.seen_space)
        bounded = isinstance(space, Box) and bool(
            jnp.all(jnp.isfinite(jnp.asarray(space.low)) & jnp.isfinite(jnp.asarray(space.high)))
        )
        if not bounded and not isinstance(space, Discrete):
            raise InputError(f"{task} acts in {describe(space)}: only bounded Box and Discrete do")
        self.obs_size = max(seen, 12) if obs_size is None else obs_size
        self.action_size = flat_size(space) if action_size is None else action_size
        if self.obs_size < seen or self.action_size < flat_size(space):
            raise InputError(
                f"{task} needs obs_size of at least {seen} and action_size of at least "
                f"{flat_size(space)}, got {self.obs_size} and {self.action_size}"
            )

    def start(self, key: jax.Array) -> ProjectedState:
        draw_key, start_key = jax.random.split(key)
        if self.num_projections:
            index = jax.random.randint(draw_key, (), 0, self.num_projections, jnp.int32)
            first = self.num_projections if self.held_out else 0
            draw_key = jax.random.fold_in(jax.random.key(0), index + first)
        obs_key, action_key = jax.random.split(draw_key)
        seen = flat_size(self.seen_space)
        # With this factor the numbers seen are as large as the task's.
        matrix = math.sqrt(self.obs_size / seen) * rotation(obs_key, seen, self.obs_size)
        _, inner = self.inner.reset_env(start_key, self.inner_params)
        none = jnp.int32(0)
        data = jax.random.key_data(start_key)
        dealt = action_map(action_key, self.task_actions, self.action_size)
        return ProjectedState(none, none, none, inner, data, matrix, dealt)

    def reset_env(self, key: jax.Array, params: Any) -> tuple[jax.Array, ProjectedState]:
        state = self.start(key)
        start_key = jax.random.wrap_key_data(state.start)
        obs, _ = self.inner.reset_env(start_key, self.inner_params)
        return self._shown(state, obs, jnp.float32(0), jnp.zeros((), bool)), state

    def step_env(
        self, key: jax.Array, state: ProjectedState, action: PyTree, params: Any
    ) -> tuple[jax.Array, ProjectedState, jax.Array, jax.Array, dict[str, Any]]:
        step_key, reset_key = jax.random.split(key)
        taken = action
        if self.project_actions:
            taken = mapped(self.task_actions, state.action_map, action)
        stepped = self.inner.step_env(step_key, state.inner, taken, self.inner_params)
        obs, inner, reward, ended, _ = stepped
        trial_time = state.trial_time + 1
        ended |= self.inner.is_truncated(inner, self.inner_params)
        ended |= trial_time >= self.trial_steps
        if self.same_start:
            reset_key = jax.random.wrap_key_data(state.start)
        fresh = self.inner.reset_env(reset_key, self.inner_params)
        obs, inner = jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, (obs, inner))
        state = state._replace(
            time=state.time + 1,
            trial=state.trial + ended.astype(jnp.int32),
            trial_time=jnp.where(ended, 0, trial_time),
            inner=inner,
        )
        reward = reward.astype(jnp.float32)
        shown = self._shown(state, obs, reward, ended)
        return shown, state, reward, self.is_terminated(state, params), {}

    def is_terminated(self, state: ProjectedState, params: Any) -> jax.Array:
        return state.trial >= self.num_trials

    def action_space(self, params: Any) -> Space:
        if not self.project_actions:
            return self.task_actions
        if isinstance(self.task_actions, Discrete):
            return Discrete(self.action_size)
        return Box(-1.0, 1.0, (self.action_size,), jnp.float32)

    def observation_space(self, params: Any) -> Box:
        return Box(-jnp.inf, jnp.inf, (self.obs_size + 2,), jnp.float32)

    def _shown(
        self, state: ProjectedState, obs: PyTree, reward: jax.Array, ended: jax.Array
    ) -> jax.Array:
        mixed = flatten(self.seen_space, obs) @ state.obs_matrix
        return jnp.concatenate([mixed, jnp.stack([reward, ended.astype(jnp.float32)])])


def _task(task: str) -> tuple[Env, Any]:
    family = family_of(task)
    if not isinstance(family, JaxFamily):
        raise InputError(f"{task} does not run in JAX alone and cannot be projected")
    env, params = family.make(task.partition(":")[2])
    return (env if isinstance(env, Env) else Adapted(env, params)), params
