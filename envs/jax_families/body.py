"""Bodies of MuJoCo's kind, with positions or velocities hidden on demand."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families.adapter import PackageEnv, PackageState
from rlseq.envs.jax_families.mujoco_images import Pose, check_opengl, drawn
from rlseq.fields import OneOf

Observed = Annotated[str, OneOf(("all", "positions", "velocities"))]


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Around what imports and makes a package's body.

    MJX prints what it misses, to stderr here: what rlseq prints may be read by programs.
    """
    with default_rules(), contextlib.redirect_stdout(sys.stderr):
        yield


class Layout(NamedTuple):
    """Where things stand in an observation of `size` entries; the rest are positions."""

    size: int
    velocities: tuple[int, ...]
    forces: tuple[int, ...] = ()

    def shown(self, observed: str) -> np.ndarray:
        """The entries that are seen, in order."""
        hidden = {
            "all": (),
            "positions": self.velocities + self.forces,
            "velocities": set(range(self.size)) - set(self.velocities),
        }[observed]
        return np.setdiff1d(np.arange(self.size), list(hidden))


def layout(size: int, *velocities: range, forces: range = range(0)) -> Layout:
    """A Layout by the ranges of its velocities and of its forces."""
    return Layout(size, tuple(i for part in velocities for i in part), tuple(forces))


class Body(PackageEnv):
    """A body whose package keeps a state with `obs` [D]; obs float32 [D], actions Box [A] in -1..1.

    `observed="positions"` leaves out what is a velocity or a force, "velocities" what is a position
    or a force, as in the memory tasks of Ni et al. (2110.05038); `observe="state"` shows all.

    A subclass makes its `package`, calls `_see` and defines `step_with` and `pose`.
    """

    mean_length = 100  # ours: hoppers of brax fall sooner, others never
    package: Any

    def _see(self, name: str, model: Any, layout: Layout, observed: str, max_steps: int) -> None:
        self.title, self.model = name, model  # the model is a mujoco.MjModel
        self.max_steps = max_steps
        self.size = layout.size
        self.shown = layout.shown(observed)

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[jax.Array, Any]:
        inner = self.package.reset(key)
        return inner.obs[self.shown], inner

    def stepped(self, inner: Any, action: jax.Array) -> Any:
        """The package's state after one step."""
        # A copy: packages write their metrics into the dict of the state that they are given.
        return self.package.step(jax.tree.map(lambda x: x, inner), action)

    def pose(self, inner: Any) -> Pose:
        """How the body stands in a state of the package."""
        raise NotImplementedError

    def to_draw(self, state: PackageState) -> Pose:
        return self.pose(state.inner)

    def pictures(self, kept: Pose) -> np.ndarray:
        """The body and its targets, by MuJoCo's renderer."""
        return drawn(self.model, kept)

    def check_pictures(self) -> None:
        check_opengl(self.model)

    def reveal(self, state: PackageState) -> jax.Array:
        return state.inner.obs

    def state_space(self, params: Any) -> Box:
        return Box(-jnp.inf, jnp.inf, (self.size,), jnp.float32)

    def action_space(self, params: Any) -> Box:
        return Box(-1.0, 1.0, (self.package.action_size,), jnp.float32)

    def observation_space(self, params: Any) -> Box:
        return Box(-jnp.inf, jnp.inf, (len(self.shown),), jnp.float32)
