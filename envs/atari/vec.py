"""Atari games behind the batched interface of `rlseq.types.VecEnv`."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.envs import action_log
from rlseq.envs.action_log import ActionLog
from rlseq.envs.atari.emulator import (
    SKIP,
    Emulator,
    Frames,
    check_memory,
    count_actions,
    make_emulator,
    open_games,
)
from rlseq.envs.atari.pixels import shrink
from rlseq.envs.atari.presets import Preset
from rlseq.envs.batched import Batched
from rlseq.envs.folding import folding
from rlseq.envs.spaces import clipped
from rlseq.types import EnvSpec, TimeStep

_ACTION = jax.ShapeDtypeStruct((), jnp.uint8)  # as the log keeps it: there are 18 at most


class AtariState(NamedTuple):
    """The state of E games outside the emulator, which holds the games themselves."""

    token: jax.Array  # [E, 8] uint8: orders the calls
    lives: jax.Array  # [E] int32
    ended: jax.Array  # [E] bool, the next step restarts and ignores its action
    log: ActionLog | None  # seeds and actions, which restore the games


class AtariVecEnv(Batched):
    """E copies of one game in one emulator; observations are uint8 [E, H, W, channels].

    A game that ended starts anew in the next step, whose action is ignored: `valid` is False and
    `reset` True there. `learn_terminal` marks lost lives when the preset says so. Actions out of
    range are clipped, because the emulator would wait for ever. The emulator is one for
    the object: a state can be stepped once and is not to be kept; its `log` brings the games
    back (`rlseq.envs.action_log`). Under vmap the rows of all members play in one emulator of
    their own.
    """

    def __init__(
        self,
        game: str,
        num_envs: int,
        preset: Preset,
        backend: str,
        threads: int,
        spec: EnvSpec,
        log_length: int = 0,
    ):
        check_memory(game, num_envs, preset)
        self.game = game
        self.num_envs = num_envs
        self.preset = preset
        self.log_length = log_length
        # Created when a program with so many rows is traced.
        self._make = functools.cache(
            lambda rows: make_emulator(game, rows, preset, backend, threads)
        )
        channels = preset.stack * (1 if preset.grey else 3)
        self.num_actions = count_actions(game, preset)
        self.spec = spec._replace(
            obs_space=spaces.Box(0, 255, (preset.size, preset.size, channels), jnp.uint8),
            action_space=spaces.Discrete(self.num_actions),
            can_truncate=True,
            max_steps=-(-preset.max_frames // SKIP),
        )
        self._reset, self._step = folding(self._reset_rows), folding(self._step_rows)

    def reset(self, key: jax.Array) -> tuple[AtariState, TimeStep]:
        """Fresh games everywhere, by seeds drawn from the key: (state, first time step)."""
        seeds = jax.random.randint(key, (self.num_envs,), 0, 2**31 - 1, jnp.int32)
        token, frames = self._reset(seeds)
        no = jnp.zeros(self.num_envs, bool)
        shown = self._shown(frames, no, no)
        log = None
        if self.log_length:
            log = action_log.start(seeds, _ACTION, self.log_length, shown.obs)
        return AtariState(token, frames.lives, no, log), shown._replace(reset=~no, valid=~no)

    def step(
        self, state: AtariState, action: jax.Array, key: jax.Array
    ) -> tuple[AtariState, TimeStep]:
        """One step of every game; action int [E]; their random numbers are ALE's, not `key`'s."""
        action = clipped(self.spec.action_space, jnp.asarray(action))
        token, frames = self._step(state.token, action)
        shown = self._shown(frames, state.ended, (frames.lives < state.lives) & ~state.ended)
        log = state.log and action_log.record(state.log, action, shown.obs)
        return AtariState(token, frames.lives, shown.terminated | shown.truncated, log), shown

    def replay(self, seeds: np.ndarray, actions: np.ndarray) -> jax.Array:
        """Reset R games by seeds [R] and take actions uint8 [T, R]: checksums of all frames [R]."""
        emulator: Emulator = self._make(len(seeds))

        def body(carried: tuple[jax.Array, jax.Array], action: jax.Array) -> Any:
            token, frames = emulator.step(carried[0], action.astype(jnp.int32))
            return (token, action_log.look(carried[1], self._pixels(frames.obs))), None

        @jax.jit
        def run(seeds: jax.Array, actions: jax.Array) -> jax.Array:
            token, frames = emulator.reset(seeds)
            seen = jnp.zeros(len(seeds), jnp.uint32)
            start = token, action_log.look(seen, self._pixels(frames.obs))
            return jax.lax.scan(body, start, actions)[0][1]

        return run(jnp.asarray(seeds), jnp.asarray(actions))

    @property
    def frames_per_second(self) -> int:
        """Of `film`, at the speed of the console."""
        return 60 // SKIP

    def film(self, seeds: np.ndarray, actions: np.ndarray) -> Iterator[np.ndarray]:
        """Native images uint8 [210, 160, 3] of one game: seeds [1], actions [T, 1].

        The game is played again, in an emulator that shows it in colour and unshrunk.
        """
        preset = self.preset._replace(grey=False, stack=1, resize="area")
        env = open_games(self.game, 1, preset, 1)
        yield env.reset(seed=np.asarray(seeds))[0][0, 0]
        for action in np.clip(actions, 0, self.num_actions - 1):
            yield env.step(action.astype(np.int32))[0][0, 0]

    def _shown(self, frames: Frames, restarted: jax.Array, life_lost: jax.Array) -> TimeStep:
        going = ~restarted
        terminated = frames.terminated & going
        obs = self._pixels(frames.obs)
        return TimeStep(
            obs=obs,
            reward=jnp.where(going, frames.reward, 0).astype(jnp.float32),
            terminated=terminated,
            truncated=frames.truncated & going & ~terminated,
            reset=restarted,
            final_obs=obs,
            valid=going,
            learn_terminal=life_lost if self.preset.life_loss else None,
        )

    def _pixels(self, obs: jax.Array) -> jax.Array:
        """[R, stack, H, W(, 3)] -> [R, size, size, channels], the oldest frame first."""
        if self.preset.resize != "emulator":
            obs = shrink(obs, self.preset.size, self.preset.resize)
        if self.preset.grey:
            obs = obs[..., None]
        return jnp.moveaxis(obs, 1, -2).reshape(obs.shape[0], *self.spec.obs_space.shape)

    def _reset_rows(self, seeds: jax.Array) -> tuple[jax.Array, Frames]:
        emulator: Emulator = self._make(len(seeds))
        token, frames = emulator.reset(seeds)
        return jnp.broadcast_to(token, (len(seeds), 8)), frames

    def _step_rows(self, tokens: jax.Array, actions: jax.Array) -> tuple[jax.Array, Frames]:
        emulator: Emulator = self._make(len(actions))
        # All rows hold one token; reading them all makes the call wait for them all.
        token, frames = emulator.step(tokens.max(axis=0), actions)
        return jnp.broadcast_to(token, tokens.shape), frames
