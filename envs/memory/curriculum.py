"""N-parity and N-delayed-match-to-sample for growing N (Khajehabdollahi et al. 2309.12927).

The longest N asked grows by one when the answers of all copies together are right often enough.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Discrete, Space

from rlseq.envs.base import Env
from rlseq.envs.batched import Wrapper
from rlseq.envs.memory.bit_stream import Answers
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.fields import OneOf, Range
from rlseq.types import PyTree, TimeStep, VecEnv

CURRICULA = ("single", "sliding", "multi")
TASKS = ("parity", "delayed_match")


class CurriculumEnvState(NamedTuple):
    time: jax.Array  # int32 [], steps taken
    level: jax.Array  # int32 [], the longest N asked in this episode
    bits: jax.Array  # int8 [L + 1]; bit `time` is shown
    answers: jax.Array  # int8 [max_n - 1, L + 1], for N = 2 .. max_n at each bit


class CurriculumEnv(Env):
    """A stream of random bits with a question for each active N at a time; see `CURRICULA`.

    "single" asks for the longest N alone, action int32 []; "multi" for all from 2 to it and
    "sliding" for the last `window` of them, action int32 [max_n - 1], the answers for
    N = 2 .. max_n, of which the active ones count. After max_n - 1 steps come num_answers steps
    that pay the mean of +-1 / num_answers over the active N. obs int32 [] the current bit.
    """

    optimal_return = 1.0
    memoryless_return = 0.0

    def __init__(
        self,
        task: Annotated[str, OneOf(TASKS)] = "parity",
        curriculum: Annotated[str, OneOf(CURRICULA)] = "single",
        max_n: Annotated[int, Range(2, 1024)] = 16,
        num_answers: Answers = 32,
        window: Annotated[int, Range(1, 1024)] = 10,
        threshold: Annotated[float, Range(0.5, 1)] = 0.98,
    ):
        self.task = task
        self.curriculum = curriculum
        self.max_n = max_n
        self.num_answers = num_answers
        self.window = window
        self.threshold = threshold
        self.max_steps = max_n - 1 + num_answers
        self.reward_range = (-1 / num_answers, 1 / num_answers)

    def across_episodes(self, venv: Any) -> VecEnv:
        if venv.env is not self:
            raise InputError("a curriculum takes neither sticky_actions nor frame_skip")
        return Curriculum(venv, self)

    def start(self, key: jax.Array) -> CurriculumEnvState:
        bits = jax.random.bernoulli(key, jnp.float32(0.5), (self.max_steps + 1,)).astype(jnp.int8)
        return CurriculumEnvState(jnp.int32(0), jnp.int32(2), bits, self.right_answers(bits))

    def right_answers(self, bits: jax.Array) -> jax.Array:
        """int8 [L + 1] -> int8 [max_n - 1, L + 1]; meaningless where a window is not full."""
        n = np.arange(2, self.max_n + 1)[:, None]
        last = np.arange(len(bits))[None]
        if self.task == "delayed_match":
            return (bits[None] == bits[np.maximum(last - n + 1, 0)]).astype(jnp.int8)
        ones = jnp.pad(jnp.cumsum(bits, dtype=jnp.int32), (1, 0))
        return ((ones[last + 1] - ones[np.maximum(last + 1 - n, 0)]) % 2).astype(jnp.int8)

    def active(self, level: jax.Array) -> jax.Array:
        """bool [max_n - 1]: which N = 2 .. max_n are asked at a level."""
        n = jnp.arange(2, self.max_n + 1, dtype=jnp.int32)
        first = {"single": level, "sliding": level - self.window + 1, "multi": 2}[self.curriculum]
        return (n >= first) & (n <= level)

    def advance(
        self, key: jax.Array, state: CurriculumEnvState, action: jax.Array
    ) -> tuple[CurriculumEnvState, jax.Array]:
        right = state.answers[:, state.time].astype(jnp.int32)
        active = self.active(state.level)
        scores = jnp.where(active, jnp.where(action == right, jnp.float32(1), jnp.float32(-1)), 0)
        mean = scores.sum() / active.sum(dtype=jnp.float32)
        asked = state.time >= self.max_n - 1
        reward = jnp.where(asked, mean / self.num_answers, 0)
        return state._replace(time=state.time + 1), reward

    def observe(
        self, key: jax.Array, state: CurriculumEnvState, action: PyTree, params: Any
    ) -> jax.Array:
        return state.bits[state.time].astype(jnp.int32)

    def action_space(self, params: Any) -> Space:
        return Discrete(2) if self.curriculum == "single" else MultiDiscrete([2] * (self.max_n - 1))

    def observation_space(self, params: Any) -> Discrete:
        return Discrete(2)


class CurriculumState(NamedTuple):
    """What lives longer than an episode; the same numbers for every copy."""

    inner: CurriculumEnvState  # [E, ...]
    level: jax.Array  # int32 [E], the longest N asked
    earned: jax.Array  # float32 [E], return of the running episode


class Curriculum(Wrapper):
    """Raises the level of all copies after episodes with a share of right answers of `threshold`.

    All copies end in the same step, so the share is that of E x num_answers answers. Fresh
    episodes are of the new level; `max_n` is the last one.
    """

    def __init__(self, inner: VecEnv, env: CurriculumEnv):
        super().__init__(inner)
        self.env = env

    def inside(self, state: CurriculumState) -> CurriculumEnvState:
        return state.inner

    def reset(self, key: jax.Array) -> tuple[CurriculumState, TimeStep]:
        inner, ts = self.inner.reset(key)
        return CurriculumState(inner, inner.level, jnp.zeros_like(ts.reward)), ts

    def step(
        self, state: CurriculumState, action: PyTree, key: jax.Array
    ) -> tuple[CurriculumState, TimeStep]:
        inner, ts = self.inner.step(state.inner, action, key)
        earned = state.earned + ts.reward
        share = (1 + earned.mean()) / 2
        # Sums of rewards are exact to about 1e-6 only.
        passed = ts.reset & (share >= self.env.threshold - 1e-5)
        level = jnp.minimum(state.level + passed.astype(jnp.int32), self.env.max_n)
        inner = inner._replace(level=level)
        return CurriculumState(inner, level, jnp.where(ts.reset, 0, earned)), ts


def curriculum_level(state: Any) -> jax.Array:
    """int32 []: the longest N that is asked, from the state of a curriculum, wrapped or not.

    Raises InputError for the state of another environment.
    """
    parts = jax.tree.leaves(state, is_leaf=_is_curriculum)
    found = [part for part in parts if _is_curriculum(part)]
    if not found:
        raise InputError("this is not the state of a curriculum")
    return found[0].level[0]


def _is_curriculum(part: Any) -> bool:
    return isinstance(part, CurriculumState)
