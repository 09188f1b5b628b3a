"""Jumanji's environments, their observations as a dict of fields."""

import importlib
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.envs.jax_families import jumanji_images
from rlseq.envs.jax_families.adapter import Outcome, PackageEnv, PackageState
from rlseq.envs.jax_families.jumanji import NAMES
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.fields import INT32, OneOf, Range
from rlseq.types import PyTree

MOST_CHOICES = 128  # ours: what is one of so many, as a city, is seen as a choice
NO_LIMIT = 10_000  # ours, where the package has no limit of time


class Jumanji(PackageEnv):
    """An environment of Jumanji; obs a dict of its fields, truth values as int8 of 0 and 1.

    `action_mask` is a field like any other, and a count of steps is a number, not a choice. Actions
    of several parts are in one row. An episode terminates where the package's discount is 0 at its
    end, and is cut where it is not, and after `max_steps` steps; by default the package's own
    limit.
    """

    mean_length = 20  # ours: several end with the first wrong move

    def __init__(
        self,
        name: Annotated[str, OneOf(NAMES)],
        max_steps: Annotated[int | None, Range(1, 1_000_000)] = None,
    ):
        with default_rules():
            self.package: Any = importlib.import_module("jumanji").make(name)
            self.fields = self.package.observation_spec
            self.actions = self.package.action_spec
        own = getattr(self.package, "time_limit", NO_LIMIT)
        self.title = name
        self.max_steps = int(own) if max_steps is None else max_steps

    @property
    def name(self) -> str:
        return self.title

    def reset_with(self, key: jax.Array) -> tuple[PyTree, Any]:
        inner, timestep = self.package.reset(key)
        return shown(self.fields, timestep.observation), inner

    def step_with(self, key: jax.Array, inner: Any, action: jax.Array) -> Outcome:
        action = jnp.reshape(action, self.actions.shape).astype(self.actions.dtype)
        inner, timestep = self.package.step(inner, action)
        last, over = jnp.asarray(timestep.last()), jnp.all(timestep.discount == 0)
        obs = shown(self.fields, timestep.observation)
        return Outcome(obs, inner, timestep.reward, last & over, last & ~over)

    def to_draw(self, state: PackageState) -> Any:
        return state.inner

    def pictures(self, kept: Any) -> np.ndarray:
        """The package's own, without their windows."""
        return jumanji_images.drawn(self.package, kept)

    def check_pictures(self) -> None:
        if self.title in jumanji_images.BLANK:
            raise InputError(f"the package's viewer of {self.title} shows an empty sheet")

    def action_space(self, params: Any) -> spaces.Space:
        with default_rules():
            return space_of(self.actions, most=INT32)

    def observation_space(self, params: Any) -> spaces.Space:
        with default_rules():
            return space_of(self.fields)


def space_of(spec: Any, most: int = MOST_CHOICES) -> spaces.Space:
    """Our space for one of Jumanji's specs, of several fields a Dict; one of more than `most`
    values is a Box."""
    if parts := _parts(spec):
        return spaces.Dict({key: space_of(part) for key, part in parts.items()})
    if hasattr(spec, "num_values"):
        counts = [int(n) for n in np.ravel(spec.num_values)]
        if max(counts) <= most:
            return MultiDiscrete(counts) if spec.shape else spaces.Discrete(counts[0])
    dtype = jnp.dtype(spec.dtype)
    if jnp.issubdtype(dtype, jnp.bool_):
        return spaces.Box(0, 1, spec.shape, jnp.int8)
    low, high = (getattr(spec, side, None) for side in ("minimum", "maximum"))
    if low is None or high is None:
        whole = jnp.issubdtype(dtype, jnp.integer)
        low, high = (jnp.iinfo(dtype).min, jnp.iinfo(dtype).max) if whole else (-np.inf, np.inf)
    low, high = (jnp.broadcast_to(jnp.asarray(b, dtype), spec.shape) for b in (low, high))
    return spaces.Box(low, high, spec.shape, dtype)


def shown(spec: Any, value: Any) -> PyTree:
    """An observation in the form and the dtypes of `space_of`."""
    if parts := _parts(spec):
        return {key: shown(part, getattr(value, key)) for key, part in parts.items()}
    space: Any = space_of(spec)
    return jnp.reshape(value, space.shape).astype(space.dtype)


def _parts(spec: Any) -> dict[str, Any]:
    return dict(getattr(spec, "_specs", {}))
