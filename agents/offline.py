"""Recorded episodes on the device, and random windows of them to learn from."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from jax import Array

from rlseq.agents.observations import Observations
from rlseq.data.load import load_recording
from rlseq.data.recording import Recording, returns_to_go
from rlseq.envs.spaces import clipped, describe, flatten, map_parts
from rlseq.errors import InputError
from rlseq.types import PyTree


class OfflineData(NamedTuple):
    """N steps of whole episodes, one after the other."""

    obs: Array  # [N, D] float32, or images as they are
    action: PyTree  # [N, ...] in the dtypes of the action space
    previous: Array  # [N, A] float32, the action before, flattened; 0 where an episode begins
    to_go: Array  # [N] float32, rewards from here to the end of the episode
    reset: Array  # [N] bool, obs begins an episode

    @property
    def steps(self) -> int:
        """N."""
        return self.reset.shape[0]


class Window(NamedTuple):
    """B sequences of T steps, all [T, B, ...]; each begins with a reset."""

    obs: Array
    action: PyTree
    previous: Array
    to_go: Array
    reset: Array


def load_data(path: str, observations: Observations, action_space: spaces.Space) -> OfflineData:
    """A recording as an agent with these observations and actions reads it.

    Raises InputError for a recording that cannot be read and for values outside the spaces.
    """
    recording = load_recording(path)
    obs = _fitted(observations.space, recording.obs, "observations", path)
    action = _fitted(action_space, recording.action, "actions", path)
    return as_offline_data(recording._replace(obs=obs, action=action), observations, action_space)


def as_offline_data(
    recording: Recording, observations: Observations, action_space: spaces.Space
) -> OfflineData:
    """A recording whose observations and actions lie in their spaces, as OfflineData."""
    reset = recording.reset
    taken = flatten(action_space, jax.tree.map(jnp.asarray, recording.action))
    before = jnp.concatenate([jnp.zeros_like(taken[:1]), taken[:-1]])
    return OfflineData(
        obs=observations.flatten(jax.tree.map(jnp.asarray, recording.obs)),
        action=jax.tree.map(jnp.asarray, recording.action),
        previous=jnp.where(reset[:, None], 0, before),
        to_go=jnp.asarray(returns_to_go(recording.reward, reset)),
        reset=jnp.asarray(reset),
    )


def sample_windows(data: OfflineData, length: int, batch: int, key: Array) -> Window:
    """`batch` windows of `length` steps, each start as likely; they may reach into the next
    episode, which begins with a reset of its own."""
    start = jax.random.randint(key, (batch,), 0, data.steps - length + 1, jnp.int32)
    index = jnp.arange(length, dtype=jnp.int32)[:, None] + start[None]
    obs, action, previous, to_go, reset = jax.tree.map(lambda x: x[index], data)
    return Window(obs, action, previous, to_go, reset.at[0].set(True))


def _fitted(space: spaces.Space, given: PyTree, what: str, path: str) -> PyTree:
    """The recorded elements in a space's dtypes. Raises InputError where they lie outside it."""

    def fitted(part: Any, values: Any) -> np.ndarray:
        values, dtype = np.asarray(values), np.dtype(part.dtype)
        cast = values.astype(dtype)
        same = np.array_equal(cast, values) or (values.dtype.kind == dtype.kind == "f")
        if values.shape[1:] != tuple(part.shape) or not same or not _inside(part, values):
            raise InputError(
                f"{path!r} holds {what} {values.dtype} {list(values.shape[1:])}, from "
                f"{values.min():g} to {values.max():g}; the environment's are {describe(space)}"
            )
        return cast

    try:
        return map_parts(fitted, space, given)
    except (KeyError, IndexError, TypeError) as error:
        wanted = describe(space)
        raise InputError(f"{path!r} holds {what} of another structure than {wanted}") from error


def _inside(part: Any, values: np.ndarray) -> bool:
    """Whether choices are among those of a part; a Box is not checked against its bounds."""
    return isinstance(part, spaces.Box) or np.array_equal(
        clipped(part, jnp.asarray(values)), values
    )
