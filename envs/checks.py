"""The checks of `debug=True`: actions and observations inside their spaces, also inside jit."""

from typing import Any

import jax
import jax.numpy as jnp
from gymnax.environments import spaces
from jax.experimental import checkify

from rlseq.envs.batched import Wrapper
from rlseq.envs.spaces import MultiBinary, MultiDiscrete, describe, map_parts
from rlseq.errors import InputError
from rlseq.types import PyTree, TimeStep, VecEnv


class Checked(Wrapper):
    """A batched environment that checks actions, and observations that are choices.

    An action outside its space does something undefined, an observation outside a Discrete becomes
    zeros when it is flattened. The checks of `step` are `jax.experimental.checkify`'s: they raise
    where it is called eagerly; inside jit functionalise what calls it, as in
    `error, out = checkify.checkify(jax.jit(f))(...)`, and `error.throw()`. `reset` has none: how an
    episode begins is seen where one follows another. Raises InputError for an action of another
    shape.
    """

    def __init__(self, inner: VecEnv):
        super().__init__(inner)
        self.checks = True

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        wanted = self.num_envs, *self.spec.action_space.shape
        action = jnp.asarray(action)
        if action.shape != wanted:
            raise InputError(f"actions of {self.spec.id} are {wanted}, got {action.shape}")
        self._check("an action", self.spec.action_space, action)
        state, ts = self.inner.step(state, action, key)
        self._check_observations(ts.obs)
        self._check_observations(ts.final_obs)
        return state, ts

    def _check_observations(self, obs: PyTree) -> None:
        def check(part: spaces.Space, x: jax.Array) -> None:
            if isinstance(part, spaces.Discrete | MultiDiscrete | MultiBinary):
                self._check("an observation", part, x)

        map_parts(check, self.spec.obs_space, obs)

    def _check(self, what: str, space: spaces.Space, x: jax.Array) -> None:
        text = f"{what} of {self.spec.id} lies outside {describe(space)}: "
        checkify.check(jnp.all(jax.vmap(space.contains)(x)), text + "got {x}", x=x)
