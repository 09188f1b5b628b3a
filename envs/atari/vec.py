"""Atari games behind the batched interface of `rlseq.types.VecEnv`."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from jax.custom_batching import custom_vmap

from rlseq.envs.atari.emulator import SKIP, Emulator, Frames, make_emulator
from rlseq.envs.atari.presets import Preset
from rlseq.types import EnvSpec, TimeStep


class AtariState(NamedTuple):
    """What is known of E games outside the emulator, which holds the games themselves."""

    token: jax.Array  # [E, 8] uint8: orders the calls
    lives: jax.Array  # [E] int32
    ended: jax.Array  # [E] bool, the next step restarts and ignores its action


class AtariVecEnv:
    """E games of one kind in one emulator; observations are uint8 [E, H, W, channels].

    A game that ended starts anew in the next step, whose action is ignored: `valid` is False and
    `reset` True there. `learn_terminal` marks lost lives when the preset says so. Actions out of
    range are clipped, because the emulator would wait for ever on one. The emulator is one for
    the object: a state can be stepped once and is not to be kept. Under vmap the rows of all
    members play in one emulator of their own.
    """

    def __init__(
        self, game: str, num_envs: int, preset: Preset, backend: str, threads: int, env_id: str
    ):
        self.num_envs = num_envs
        self.preset = preset
        self._make = functools.cache(
            lambda rows: make_emulator(game, rows, preset, backend, threads)
        )
        channels = preset.stack * (1 if preset.grey else 3)
        shape = (preset.size, preset.size, channels)
        self.num_actions = self._make(num_envs).num_actions
        self.spec = EnvSpec(
            id=env_id,
            obs_space=spaces.Box(0, 255, shape, jnp.uint8),
            action_space=spaces.Discrete(self.num_actions),
            can_truncate=True,
            max_steps=-(-preset.max_frames // SKIP),
        )
        self._reset, self._step = _folding(self._reset_rows), _folding(self._step_rows)

    def reset(self, key: jax.Array) -> tuple[AtariState, TimeStep]:
        """Fresh games everywhere, by seeds drawn from the key: (state, first time step)."""
        seeds = jax.random.randint(key, (self.num_envs,), 0, 2**31 - 1, jnp.int32)
        token, frames = self._reset(seeds)
        no = jnp.zeros(self.num_envs, bool)
        shown = self._shown(frames, no, no)
        return AtariState(token, frames.lives, no), shown._replace(reset=~no, valid=~no)

    def step(
        self, state: AtariState, action: jax.Array, key: jax.Array
    ) -> tuple[AtariState, TimeStep]:
        """One step of every game; action int [E]; the games have dice of their own, not `key`."""
        action = jnp.clip(action.astype(jnp.int32), 0, self.num_actions - 1)
        token, frames = self._step(state.token, action)
        shown = self._shown(frames, state.ended, (frames.lives < state.lives) & ~state.ended)
        return AtariState(token, frames.lives, shown.terminated | shown.truncated), shown

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
        """[E, stack, H, W(, 3)] -> [E, H, W, channels], the oldest frame first."""
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


def _folding(function: Any) -> Any:
    """`function` of arrays [R, ...] whose vmap over M members is one call with M * R rows."""
    folded = custom_vmap(function)

    @folded.def_vmap
    def rule(members: int, batched: list[bool], *args: jax.Array) -> tuple[Any, Any]:
        full = [
            x if mapped else jnp.broadcast_to(x, (members, *x.shape))
            for x, mapped in zip(args, batched, strict=True)
        ]
        out = _folding(function)(*(x.reshape(-1, *x.shape[2:]) for x in full))
        split = jax.tree.map(lambda x: x.reshape(members, -1, *x.shape[1:]), out)
        return split, jax.tree.map(lambda _: True, out)

    return folded
