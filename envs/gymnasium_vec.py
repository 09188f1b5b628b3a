"""gymnasium's vector environments behind the batched interface of `rlseq.types.VecEnv`."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Dict
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FilterObservation
from gymnax.environments import spaces
from jax.experimental import io_callback

from rlseq.envs import action_log
from rlseq.envs.action_log import ActionLog
from rlseq.envs.batched import Batched
from rlseq.envs.folding import folding
from rlseq.envs.gymnasium_spaces import (
    convert,
    convert_action,
    fitted,
    received,
    sent,
    shapes,
)
from rlseq.envs.host import remembered
from rlseq.envs.spaces import clipped
from rlseq.errors import InputError, check_names
from rlseq.types import EnvSpec, PyTree, TimeStep


class StepResult(NamedTuple):
    """The result of a step or reset of R environments on the host."""

    obs: PyTree  # [R, ...]
    reward: Any  # [R] float32
    terminated: Any  # [R] bool
    truncated: Any  # [R] bool
    final_obs: PyTree  # [R, ...]


class GymnasiumState(NamedTuple):
    """The state of E environments outside the host, which holds them."""

    seeds: jax.Array  # [E] int32, of the reset: through them a vmap knows what belongs together
    log: ActionLog | None  # seeds and actions, which restore them


class GymnasiumVecEnv(Batched):
    """E environments of gymnasium on the host; JAX calls them in order, once a step.

    They restart in the step of their end, as gymnasium's SAME_STEP does. Discrete actions out of
    range are clipped. The environments are the object's own: a state can be stepped once, and a
    saved state does not restore them; its `log` does where they are deterministic for a seed.
    Under vmap all members' environments are one batch on the host.

    Raises InputError for what gymnasium refuses and for spaces without a counterpart here.
    """

    def __init__(self, name: str, num_envs: int, options: dict[str, Any], log_length: int):
        self.num_envs = num_envs
        self.log_length = log_length
        one = _make(name, options)
        self._make = functools.cache(lambda rows: _Host(name, rows, options))
        self.spaces = one.observation_space, one.action_space
        limit = one.spec.max_episode_steps if one.spec else None
        self.spec = EnvSpec(
            id=f"gymnasium:{name}",
            obs_space=convert(one.observation_space),
            action_space=convert_action(one.action_space),
            can_truncate=True,  # environments may cut episodes by themselves
            max_steps=limit,
            settings=f"gymnasium {gymnasium.__version__}",
        )
        one.close()
        acts = self.spec.action_space
        self.action = jax.ShapeDtypeStruct(acts.shape, acts.dtype)  # of one environment
        self._reset, self._step = folding(self._reset_rows), folding(self._step_rows)

    def reset(self, key: jax.Array) -> tuple[GymnasiumState, TimeStep]:
        """Fresh episodes everywhere, by seeds drawn from the key: (state, first time step)."""
        seeds = jax.random.randint(key, (self.num_envs,), 0, 2**31 - 1, jnp.int32)
        result = self._reset(seeds)
        log = None
        if self.log_length:
            log = action_log.start(seeds, self.action, self.log_length, result.obs)
        return GymnasiumState(seeds, log), _shown(result, jnp.ones(self.num_envs, bool))

    def step(
        self, state: GymnasiumState, action: jax.Array, key: jax.Array
    ) -> tuple[GymnasiumState, TimeStep]:
        """One step of every environment; they use their own random numbers, not `key`."""
        action = self._fitting(action)
        result = self._step(state.seeds, action)
        log = None if state.log is None else action_log.record(state.log, action, result.obs)
        return state._replace(log=log), _shown(result, result.terminated | result.truncated)

    def replay(self, seeds: np.ndarray, actions: np.ndarray) -> jax.Array:
        """Reset R environments by seeds [R] and take actions [T, R, ...]: checksums [R]."""

        @jax.jit
        def run(seeds: jax.Array, actions: jax.Array) -> jax.Array:
            result = self._reset_rows(seeds)
            seen = action_log.look(jnp.zeros(len(seeds), jnp.uint32), result.obs)

            def body(seen: jax.Array, action: jax.Array) -> tuple[jax.Array, None]:
                return action_log.look(seen, self._step_rows(seeds, action).obs), None

            return jax.lax.scan(body, seen, actions)[0]

        return run(jnp.asarray(seeds), jnp.asarray(actions))

    def _fitting(self, action: jax.Array) -> jax.Array:
        """The action in the dtype of its space; choices out of range are clipped on the way."""
        action, space = jnp.asarray(action), self.spec.action_space
        if jnp.issubdtype(action.dtype, jnp.floating) > jnp.issubdtype(space.dtype, jnp.floating):
            raise InputError(f"{self.spec.id} takes whole numbers, got actions of {action.dtype}")
        if not isinstance(space, spaces.Box):
            action = clipped(space, action)
        return action.astype(space.dtype)

    def _reset_rows(self, seeds: jax.Array) -> StepResult:
        host = self._make(len(seeds))
        return io_callback(remembered(host.reset), self._dtypes(len(seeds)), seeds, ordered=True)

    def _step_rows(self, seeds: jax.Array, actions: jax.Array) -> StepResult:
        host = self._make(len(seeds))
        return io_callback(remembered(host.step), self._dtypes(len(seeds)), actions, ordered=True)

    def _dtypes(self, rows: int) -> StepResult:
        obs = shapes(self.spaces[0], rows)
        number, flag = (jax.ShapeDtypeStruct((rows,), dtype) for dtype in (np.float32, np.bool_))
        return StepResult(obs, number, flag, flag, obs)


def _shown(result: StepResult, reset: jax.Array) -> TimeStep:
    ends = result.terminated, result.truncated
    return TimeStep(result.obs, result.reward, *ends, reset=reset, final_obs=result.final_obs)


class _Host:
    """R environments of gymnasium in this process."""

    def __init__(self, name: str, rows: int, options: dict[str, Any]):
        makers = [functools.partial(_make, name, options)] * rows
        self.env = SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP)
        self.obs_space = self.env.single_observation_space
        self.action_space = self.env.single_action_space

    def reset(self, seeds: Any) -> StepResult:
        obs, _ = self.env.reset(seed=[int(seed) for seed in np.asarray(seeds)])
        shown = received(self.obs_space, obs)
        no = np.zeros(len(seeds), bool)
        return StepResult(shown, np.zeros(len(seeds), np.float32), no, no, shown)

    def step(self, actions: Any) -> StepResult:
        taken: Any = sent(self.action_space, np.asarray(actions))
        obs, reward, terminated, truncated, info = self.env.step(taken)
        shown = received(self.obs_space, obs)
        final = shown
        if "final_obs" in info:
            final = jax.tree.map(np.copy, shown)
            for row in np.flatnonzero(info["_final_obs"]):
                last = received(self.obs_space, info["final_obs"][row])
                jax.tree.map(functools.partial(_put, row=int(row)), final, last)
        # Never both: what ended for good was not cut.
        cut = truncated & ~terminated
        return StepResult(shown, fitted(reward, np.float32, "a reward"), terminated, cut, final)


def _put(into: np.ndarray, one: np.ndarray, row: int) -> None:
    into[row] = one


def _make(name: str, options: dict[str, Any]) -> gymnasium.Env:
    options = dict(options)
    keys = options.pop("obs_keys", None)
    env = _of_gymnasium(name, options)
    return env if keys is None else _keeping(name, env, keys)


def _keeping(name: str, env: gymnasium.Env, keys: Sequence[str]) -> gymnasium.Env:
    """The environment with these parts of its observation alone. Raises InputError."""
    space = env.observation_space
    if not isinstance(space, Dict):
        raise InputError(f"obs_keys picks parts of a Dict, gymnasium:{name} shows {space}")
    check_names(f"part of the observation of gymnasium:{name}", keys, space.spaces)
    return FilterObservation(env, list(keys))


def _of_gymnasium(name: str, options: dict[str, Any]) -> gymnasium.Env:
    try:
        env = gymnasium.make(name, **options)
        if options:  # which an environment may not check when it is built
            env.reset(seed=0)
            env.step(env.action_space.sample())
        return env
    except Exception as error:
        with_options = f" with {options}" if options else ""
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"gymnasium cannot make {name!r}{with_options}: {message}") from error
