"""Brax's bodies, with positions or velocities hidden on demand."""

import contextlib
import importlib
import sys
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import Outcome, PackageEnv, PackageState
from rlseq.envs.jax_families.brax import NAMES
from rlseq.fields import Episode, OneOf


class Layout(NamedTuple):
    """Where things stand in an observation of `size` entries; the rest are positions."""

    size: int
    velocities: tuple[int, ...]
    forces: tuple[int, ...] = ()


def _layout(size: int, *velocities: range, forces: range = range(0)) -> Layout:
    return Layout(size, tuple(i for part in velocities for i in part), tuple(forces))


# Read off `_get_obs` of each; 11 links of a humanoid have 10 numbers of inertia and 6 of velocity.
_HUMANOID = _layout(244, range(22, 45), range(155, 221), forces=range(221, 244))
LAYOUTS = {
    "ant": _layout(27, range(13, 27)),
    "halfcheetah": _layout(17, range(8, 17)),
    "hopper": _layout(11, range(5, 11)),
    "humanoid": _HUMANOID,
    "humanoidstandup": _HUMANOID,
    "inverted_pendulum": _layout(4, range(2, 4)),
    "inverted_double_pendulum": _layout(8, range(5, 8)),
    "pusher": _layout(23, range(7, 14)),
    "reacher": _layout(11, range(6, 8)),
    "walker2d": _layout(17, range(8, 17)),
}


class Brax(PackageEnv):
    """A body of brax; obs float32 [D], actions Box [A] in -1 .. 1.

    `observed="positions"` leaves out what is a velocity or a force, "velocities" what is a position
    or a force, as in the memory tasks of Ni et al. (2110.05038); `observe="state"` shows all. An
    episode terminates where brax says it is done, and is cut after `max_steps` steps, brax's own
    1000.

    Raises InputError for an unknown name, backend or part.
    """

    mean_length = 100  # ours: hoppers fall sooner, others never

    def __init__(
        self,
        name: Annotated[str, OneOf(NAMES)],
        observed: Annotated[str, OneOf(("all", "positions", "velocities"))] = "all",
        backend: Annotated[
            str, OneOf(("generalized", "spring", "positional", "mjx"))
        ] = "generalized",
        max_steps: Episode = 1000,
    ):
        # MJX prints what it misses; what rlseq prints may be read by programs.
        with default_rules(), contextlib.redirect_stdout(sys.stderr):
            self.package: Any = importlib.import_module("brax.envs").get_environment(
                name, backend=backend
            )
        self.title = name
        self.max_steps = max_steps
        layout = LAYOUTS[name]
        hidden = {
            "all": (),
            "positions": layout.velocities + layout.forces,
            "velocities": set(range(layout.size)) - set(layout.velocities),
        }[observed]
        self.size = layout.size
        self.shown = np.setdiff1d(np.arange(layout.size), list(hidden))

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[jax.Array, Any]:
        inner = self.package.reset(key)
        return inner.obs[self.shown], inner

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        # A copy: brax writes its metrics into the dict of the state that it is given.
        inner = self.package.step(jax.tree.map(lambda x: x, inner), action)
        return Outcome(inner.obs[self.shown], inner, inner.reward, inner.done > 0)

    def reveal(self, state: PackageState) -> jax.Array:
        return state.inner.obs

    def state_space(self, params: Any) -> Box:
        return Box(-jnp.inf, jnp.inf, (self.size,), jnp.float32)

    def action_space(self, params: Any) -> Box:
        return Box(-1.0, 1.0, (self.package.action_size,), jnp.float32)

    def observation_space(self, params: Any) -> Box:
        return Box(-jnp.inf, jnp.inf, (len(self.shown),), jnp.float32)
