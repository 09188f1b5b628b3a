"""MuJoCo Playground's control suite, with positions or velocities hidden on demand."""

import importlib
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from rlseq.envs.jax_families.adapter import Outcome
from rlseq.envs.jax_families.body import Body, Observed, layout, loading
from rlseq.envs.jax_families.mujoco_images import Pose
from rlseq.envs.jax_families.playground import NAMES
from rlseq.fields import Episode, OneOf

# Read off `_get_obs` of each, by the beginning of its names; forces are those of touch.
LAYOUTS = {
    "Acrobot": layout(6, range(4, 6)),
    "BallInCup": layout(8, range(4, 8)),
    "Cartpole": layout(5, range(3, 5)),
    "Cheetah": layout(17, range(8, 17)),
    "FingerSpin": layout(9, range(4, 7), forces=range(7, 9)),
    "FingerTurn": layout(12, range(4, 7), forces=range(7, 9)),
    "Fish": layout(24, range(11, 24)),
    "Hopper": layout(15, range(6, 13), forces=range(13, 15)),
    "Humanoid": layout(67, range(37, 67)),
    "Pendulum": layout(3, range(2, 3)),
    "PointMass": layout(4, range(2, 4)),
    "Reacher": layout(6, range(4, 6)),
    "Swimmer": layout(25, range(7, 25)),
    "Walker": layout(24, range(15, 24)),
}


class Playground(Body):
    """A task of the DeepMind Control Suite on MJX, which is seen as `observed` says.

    Rewards lie in 0 .. 1. No episode ends before it is cut after `max_steps` steps, the suite's own
    1000, unless the physics fails: where a number is no longer finite the package says it is done.
    That terminates, with zeros for what is not a number.

    Raises InputError for an unknown name or part.
    """

    reward_range = (0.0, 1.0)

    def __init__(
        self,
        name: Annotated[str, OneOf(NAMES)],
        observed: Observed = "all",
        max_steps: Episode = 1000,
    ):
        with loading():
            suite = importlib.import_module("mujoco_playground").dm_control_suite
            # MJX in JAX; its twin in Warp, the package's default, is made for GPUs.
            self.package: Any = suite.load(name, config_overrides={"impl": "jax"})
        found = next(key for key in LAYOUTS if name.startswith(key))
        self._see(name, self.package.mj_model, LAYOUTS[found], observed, max_steps)

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        inner = self.stepped(inner, action)
        inner = inner.replace(obs=_finite(inner.obs))
        return Outcome(inner.obs[self.shown], inner, _finite(inner.reward), inner.done > 0)

    def pose(self, inner: Any) -> Pose:
        return Pose(inner.data.qpos, inner.data.mocap_pos)


def _finite(x: jax.Array) -> jax.Array:
    return jnp.where(jnp.isfinite(x), x, 0.0)
