"""POPGym Arcade's games: what is hidden in them, and how they end."""

import copy
import importlib
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from gymnax.environments.environment import Environment
from gymnax.environments.spaces import Box, Discrete

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import Outcome, PackageEnv, PackageState
from rlseq.envs.jax_families.arcade import NAMES
from rlseq.errors import InputError
from rlseq.fields import OneOf, Range

LATE = ("AutoEncode", "MineSweeper")  # they may end one step after their limit


class Arcade(PackageEnv):
    """A game of POPGym Arcade as its partly observed twin; obs uint8 [128, 128, 3].

    `observe="state"` shows the fully observed twin of the same episodes, without noise. An episode
    terminates where the package says so for another reason than time, and is cut after `max_steps`
    steps, at most and by default the package's own number.

    Raises InputError for an unknown name, and for more steps than the package has.
    """

    mean_length = 100  # ours

    def __init__(
        self,
        name: Annotated[str, OneOf(NAMES)],
        max_steps: Annotated[int | None, Range(1, 1_000_000)] = None,
    ):
        with default_rules():
            make = importlib.import_module("popgym_arcade").make
            self.package, settings = make(name, partial_obs=True)
        self.title = name
        self.max_steps = _limit(name, self.package, max_steps)
        # Where the limit is not in its params but in the package, `_over` tells it from an end.
        if hasattr(settings, "max_steps_in_episode"):
            settings = settings.replace(max_steps_in_episode=2**31 - 1)
        self.settings: Any = settings
        self.counts_time = type(self.package).is_terminal is not Environment.is_terminal
        if self.counts_time:  # its `discount` is that of an older gymnax
            self.package.is_terminated = self.package.is_terminal
        self.whole: Any = copy.copy(self.package)
        self.whole.partial_obs, self.whole.n_sigma = False, 0.0

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[jax.Array, Any]:
        return self.package.reset_env(key, self.settings)

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        obs, inner, reward, done, info = self.package.step_env(key, inner, action, self.settings)
        over = self._over(inner, done, info)
        return Outcome(obs, inner, jnp.asarray(reward), over, done & ~over)

    def _over(self, inner: Any, done: jax.Array, info: dict[str, Any]) -> jax.Array:
        """bool []: done for another reason than time."""
        if self.counts_time:
            return self.package.is_terminal(inner.replace(time=0), self.settings)
        return done & info["terminated"]

    def reveal(self, state: PackageState) -> jax.Array:
        with default_rules():
            if "CartPole" in self.title:
                key = jax.random.key_data(jax.random.key(0))  # of noise that is 0
                return self.whole.render(state.inner, self.settings, key=key)
            return self.whole.render(state.inner)

    def state_space(self, params: Any) -> Box:
        return self.observation_space(params)

    def action_space(self, params: Any) -> Discrete:
        return Discrete(int(self.package.action_space(self.settings).n))

    def observation_space(self, params: Any) -> Box:
        return Box(0, 255, (128, 128, 3), jnp.uint8)


def _limit(name: str, package: Any, wanted: int | None) -> int:
    own = getattr(package, "max_steps_in_episode", None) or package.max_episode_length
    own += name.startswith(LATE)
    if wanted is not None and wanted > own:
        raise InputError(f"arcade:{name} has at most {own} steps, got max_steps={wanted}")
    return own if wanted is None else wanted
