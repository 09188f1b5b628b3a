"""Brax's bodies, with positions or velocities hidden on demand."""

import importlib
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from rlseq.envs.jax_families.adapter import Outcome
from rlseq.envs.jax_families.body import Body, Observed, layout, loading
from rlseq.envs.jax_families.brax import NAMES
from rlseq.envs.jax_families.mujoco_images import Pose
from rlseq.fields import Episode, OneOf

# Read off `_get_obs` of each; 11 links of a humanoid have 10 numbers of inertia and 6 of velocity.
_HUMANOID = layout(244, range(22, 45), range(155, 221), forces=range(221, 244))
LAYOUTS = {
    "ant": layout(27, range(13, 27)),
    "halfcheetah": layout(17, range(8, 17)),
    "hopper": layout(11, range(5, 11)),
    "humanoid": _HUMANOID,
    "humanoidstandup": _HUMANOID,
    "inverted_pendulum": layout(4, range(2, 4)),
    "inverted_double_pendulum": layout(8, range(5, 8)),
    "pusher": layout(23, range(7, 14)),
    "reacher": layout(11, range(6, 8)),
    "walker2d": layout(17, range(8, 17)),
}


class Brax(Body):
    """A body of brax, which is seen as `observed` says.

    An episode terminates where brax says it is done, and is cut after `max_steps` steps, brax's own
    1000.

    Raises InputError for an unknown name, backend or part.
    """

    def __init__(
        self,
        name: Annotated[str, OneOf(NAMES)],
        observed: Observed = "all",
        backend: Annotated[
            str, OneOf(("generalized", "spring", "positional", "mjx"))
        ] = "generalized",
        max_steps: Episode = 1000,
    ):
        with loading():
            self.package: Any = importlib.import_module("brax.envs").get_environment(
                name, backend=backend
            )
        self._see(name, self.package.sys.mj_model, LAYOUTS[name], observed, max_steps)

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        inner = self.stepped(inner, action)
        return Outcome(inner.obs[self.shown], inner, inner.reward, inner.done > 0)

    def pose(self, inner: Any) -> Pose:
        return Pose(inner.pipeline_state.q, jnp.zeros((self.model.nmocap, 3), jnp.float32))
