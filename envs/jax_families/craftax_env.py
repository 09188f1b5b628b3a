"""Craftax and Craftax-Classic, open worlds to survive in (Matthews et al. 2402.16801)."""

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import Outcome, PackageEnv, PackageState
from rlseq.envs.jax_families.craftax import NAMES
from rlseq.fields import OneOf, Range


class Craftax(PackageEnv):
    """Craftax without its automatic resets; symbols are float32 [D] in 0 .. 1, pixels uint8.

    An episode terminates with the player's death or the defeat of the boss, and is cut after the
    package's own limit: 100,000 steps, in Classic 10,000. Pixels, float32 in 0 .. 1 there, are
    bytes here. Fresh worlds are expensive: as many are generated as episodes end.
    """

    mean_length = 100  # ours: random play lives about twice as long

    def __init__(
        self,
        name: Annotated[str, OneOf(NAMES)],
        max_steps: Annotated[int | None, Range(1, 1_000_000)] = None,
    ):
        with _loading():
            package = importlib.import_module("craftax.craftax_env")
            self.package: Any = package.make_craftax_env_from_name(name, auto_reset=False)
        settings: Any = self.package.default_params
        self.max_steps = settings.max_timesteps if max_steps is None else max_steps
        # The package does not tell a death from its limit, so the limit is ours alone.
        self.settings = settings.replace(max_timesteps=2**31 - 1)
        self.pixels = "Pixels" in name
        self.title = name

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[jax.Array, Any]:
        obs, inner = self.package.reset_env(key, self.settings)
        return self._shown(obs), inner

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        obs, inner, reward, ended, _ = self.package.step_env(key, inner, action, self.settings)
        return Outcome(self._shown(obs), inner, reward, ended)

    def to_draw(self, state: PackageState) -> jax.Array:
        """What the package shows a person, at a size for the eye."""
        render = _renderer("craftax_classic" if "Classic" in self.title else "craftax")
        with default_rules():
            return jnp.round(render(state.inner)).astype(jnp.uint8)

    def pictures(self, kept: np.ndarray) -> np.ndarray:
        return np.asarray(kept)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(self.package.num_actions)

    def observation_space(self, params: Any) -> Box:
        shape = self.package.observation_space(self.settings).shape
        if self.pixels:
            return Box(0, 255, shape, jnp.uint8)
        return Box(0.0, 1.0, shape, jnp.float32)

    def _shown(self, obs: jax.Array) -> jax.Array:
        return jnp.round(obs * 255).astype(jnp.uint8) if self.pixels else obs


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Around what loads textures: the package prints where they come from, to stderr here, since
    what rlseq prints may be read by programs."""
    with default_rules(), contextlib.redirect_stdout(sys.stderr):
        yield


@functools.cache
def _renderer(game: str) -> Callable[[Any], jax.Array]:
    """A state of the game -> float32 [H, W, 3] in 0 .. 255; its textures are constants."""
    with _loading(), jax.ensure_compile_time_eval():
        size = importlib.import_module(f"craftax.{game}.constants").BLOCK_PIXEL_SIZE_IMG
        return importlib.import_module(f"craftax.{game}.renderer").make_craftax_pixel_renderer(size)
