"""Probes of several steps: discounting, time limits, memory, and memory that must be cleared."""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Discrete, Space

from rlseq.envs.probe_base import Probe
from rlseq.fields import Episode, Range
from rlseq.types import PyTree

Cues = Annotated[int, Range(2, 4096)]


class Clock(NamedTuple):
    time: jax.Array  # int32 [], steps taken


class Delayed(Probe):
    """Two steps, shown as 0 and 1; the second pays 1. Fails: discounting or bootstrapping."""

    max_steps = 2
    reward_range = (0.0, 1.0)
    first_obs = np.zeros((1, 1), np.float32)
    optimal_return = memoryless_return = 1.0

    def value(self, gamma: float) -> np.ndarray:
        return np.array([gamma])

    def start(self, key: jax.Array) -> Clock:
        return Clock(jnp.int32(0))

    def advance(self, key: jax.Array, state: Clock, action: PyTree) -> tuple[Clock, jax.Array]:
        return Clock(state.time + 1), (state.time == 1).astype(jnp.float32)

    def observe(self, key: jax.Array, state: Clock, action: PyTree, params: Any) -> jax.Array:
        return jnp.minimum(state.time, 1).astype(jnp.float32)[None]


class Truncated(Probe):
    """Pays 1 at every step and is only ever cut by its time limit, which is not observable.

    So V = 1 / (1 - gamma) everywhere. Fails: a cut is treated as an end (V comes out lower) or
    bootstraps from the wrong observation.
    """

    can_truncate = True
    reward_range = (1.0, 1.0)
    first_obs = np.ones((1, 1), np.float32)

    def __init__(self, max_steps: Episode = 10):
        self.max_steps = max_steps
        self.optimal_return = self.memoryless_return = float(max_steps)

    def value(self, gamma: float) -> np.ndarray:
        return np.array([1 / (1 - gamma)])

    def is_terminated(self, state: Clock, params: Any) -> jax.Array:
        return jnp.zeros((), bool)

    def start(self, key: jax.Array) -> Clock:
        return Clock(jnp.int32(0))

    def advance(self, key: jax.Array, state: Clock, action: PyTree) -> tuple[Clock, jax.Array]:
        return Clock(state.time + 1), jnp.float32(1)

    def observe(self, key: jax.Array, state: Clock, action: PyTree, params: Any) -> jax.Array:
        return jnp.ones(1, jnp.float32)


class RecallState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    cue: jax.Array  # int32 []


class Recall(Probe):
    """A cue on the first observation, blanks, then a go sign: say the cue, +-1.

    The cue and the go sign lie `delay` steps apart; obs float32 [num_cues + 1] is the one-hot
    cue and the go sign. Random answers earn 2 / num_cues - 1. Fails: memory, or its gradient
    through time.
    """

    needs_memory = True

    def __init__(self, delay: Episode = 4, num_cues: Cues = 2):
        self.delay = delay
        self.num_cues = num_cues
        self.max_steps = delay + 1
        self.optimal_return = 1.0
        self.memoryless_return = 2 / num_cues - 1
        self.first_obs = np.eye(num_cues, num_cues + 1, dtype=np.float32)

    def value(self, gamma: float) -> np.ndarray:
        return np.full(self.num_cues, gamma**self.delay)

    def start(self, key: jax.Array) -> RecallState:
        return RecallState(jnp.int32(0), jax.random.randint(key, (), 0, self.num_cues, jnp.int32))

    def advance(
        self, key: jax.Array, state: RecallState, action: PyTree
    ) -> tuple[RecallState, jax.Array]:
        answer = jnp.where(action == state.cue, jnp.float32(1), jnp.float32(-1))
        reward = jnp.where(state.time == self.delay, answer, 0)
        return state._replace(time=state.time + 1), reward

    def observe(self, key: jax.Array, state: RecallState, action: PyTree, params: Any) -> jax.Array:
        cue = jax.nn.one_hot(state.cue, self.num_cues + 1, dtype=jnp.float32)
        go = jax.nn.one_hot(self.num_cues, self.num_cues + 1, dtype=jnp.float32)
        later = jnp.where(state.time >= self.delay, go, jnp.zeros_like(go))
        return jnp.where(state.time == 0, cue, later)

    def action_space(self, params: Any) -> Space:
        return Discrete(self.num_cues)


class LeakState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    first: jax.Array  # int32 [], the cue to repeat
    shown: jax.Array  # int32 [], the cue shown now
    length: jax.Array  # int32 [], when this episode ends; never observable


class Leak(Probe):
    """Repeat the first cue of the episode, +-1 a step, while other cues keep coming.

    Every observation is a uniform one-hot cue and the length is uniform in 1 .. max_steps, so
    only the reset marks the start of an episode: memory that leaks across it holds a cue
    of the last episode and scores like a guess after the first step. Fails: the carry is not
    cleared, or cleared one step off.
    """

    needs_memory = True

    def __init__(self, max_steps: Episode = 6, num_cues: Cues = 2):
        self.max_steps = max_steps
        self.num_cues = num_cues
        self.optimal_return = (1 + max_steps) / 2
        # Answering with the cue in sight is right at the first step and a guess later.
        self.memoryless_return = 1 + (self.optimal_return - 1) * (2 / num_cues - 1)
        self.first_obs = np.eye(num_cues, dtype=np.float32)

    def value(self, gamma: float) -> np.ndarray:
        step = np.arange(self.max_steps)
        alive = 1 - step / self.max_steps  # P(length > step)
        return np.full(self.num_cues, np.sum(gamma**step * alive))

    def start(self, key: jax.Array) -> LeakState:
        cue_key, length_key = jax.random.split(key)
        cue = jax.random.randint(cue_key, (), 0, self.num_cues, jnp.int32)
        length = jax.random.randint(length_key, (), 1, self.max_steps + 1, jnp.int32)
        return LeakState(jnp.int32(0), cue, cue, length)

    def advance(
        self, key: jax.Array, state: LeakState, action: PyTree
    ) -> tuple[LeakState, jax.Array]:
        reward = jnp.where(action == state.first, jnp.float32(1), jnp.float32(-1))
        shown = jax.random.randint(key, (), 0, self.num_cues, jnp.int32)
        return state._replace(time=state.time + 1, shown=shown), reward

    def is_terminated(self, state: LeakState, params: Any) -> jax.Array:
        return state.time >= state.length

    def observe(self, key: jax.Array, state: LeakState, action: PyTree, params: Any) -> jax.Array:
        return jax.nn.one_hot(state.shown, self.num_cues, dtype=jnp.float32)

    def action_space(self, params: Any) -> Space:
        return Discrete(self.num_cues)
