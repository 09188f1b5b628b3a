"""Which sequences of a ring to learn from; a sampler keeps what it must know of each row.

Dynamic frequency-based sampling (Drama, Wang et al. 2410.08893): v counts how often a row began a
sequence of the world model, b how often one of imagination, on the scale of v. The model samples
by softmax(-v / temperature). The policy samples by softmax((v - b - max(0, v - b)) / temperature),
which is min(0, v - b): what the model knows at least as well as the policy is sampled evenly.

Counts grow with the samples, so the temperature does too: at any rate of a sample a step or more,
the newest tenth of all experience gets the share of samples that it gets in Drama, 0.28.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.errors import unknown_name
from rlseq.replay.ring import write_at
from rlseq.rl.selection import largest
from rlseq.types import PyTree

TEMPERATURE = 10.0  # Drama's code, of both, at its rate
DRAMA_RATE = 16.0  # sequences that Drama's model samples for one step of the environment
_WHOLE = 0.16  # ours: counts are whole numbers, which weighs the more the fewer there are
_COLDEST = 0.1  # what was sampled once hardly is again before all the rest
SAMPLING = ("dfs", "uniform")
_NEVER = -1e30  # below every score with its noise, and no infinity

Purpose = Literal["model", "policy"]


class Sampler(Protocol):
    """Configuration; what it knows of the rows is its state, leaves [E, L, ...]."""

    def init(self, num_envs: int, length: int) -> PyTree:
        """Of an empty ring."""
        ...

    def overwrite(self, state: PyTree, index: Array) -> PyTree:
        """New rows stand at `index` int32 [E]; where it is L, none does."""
        ...

    def sample(
        self, state: PyTree, purpose: Purpose, allowed: Array, count: int, key: Array
    ) -> tuple[PyTree, Array]:
        """(state, flat indices int32 [count]) of distinct starts, where `allowed` bool [E, L]."""
        ...


class SampleCounts(NamedTuple):
    """How often each row began a sequence, int32 [E, L]."""

    model: Array  # for the world model
    policy: Array  # for imagination


@dataclass(frozen=True)
class UniformSampler:
    """Every allowed start is as likely; samples are counted all the same."""

    def init(self, num_envs: int, length: int) -> SampleCounts:
        """No samples."""
        counts = jnp.zeros((num_envs, length), jnp.int32)
        return SampleCounts(counts, counts)

    def overwrite(self, state: SampleCounts, index: Array) -> SampleCounts:
        """A new row has begun nothing."""
        return SampleCounts(*(write_at(counts, index, 0) for counts in state))

    def sample(
        self, state: SampleCounts, purpose: Purpose, allowed: Array, count: int, key: Array
    ) -> tuple[SampleCounts, Array]:
        """See `Sampler`."""
        scores = self.scores(state, purpose).reshape(-1)
        starts = sample_without_replacement(key, scores, allowed.reshape(-1), count)
        old: Array = getattr(state, purpose)
        counts = old.reshape(-1).at[starts].add(1).reshape(old.shape)
        return state._replace(**{purpose: counts}), starts

    def scores(self, state: SampleCounts, purpose: Purpose) -> Array:
        """Logits [E, L]."""
        del purpose
        return jnp.zeros(state.model.shape, jnp.float32)


@dataclass(frozen=True)
class FrequencySampler(UniformSampler):
    """Dynamic frequency-based sampling.

    `ratio` is the policy's samples for one of the model's, of which there are `rate` a step of the
    environment.
    """

    ratio: float
    rate: float

    def scores(self, state: SampleCounts, purpose: Purpose) -> Array:
        """Logits [E, L]."""
        if purpose == "model":
            return model_scores(state.model, temperature(self.rate))
        return policy_scores(state.model, state.policy, self.ratio, temperature(self.rate))


def make_sampler(name: str, *, ratio: float, rate: float) -> UniformSampler:
    """The sampler "dfs" or "uniform". Raises InputError for another name."""
    if name not in SAMPLING:
        raise unknown_name("sampling", name, SAMPLING)
    return FrequencySampler(ratio, rate) if name == "dfs" else UniformSampler()


def temperature(rate: float) -> float:
    """Of both, where the model samples `rate` sequences for one step of the environment.

    10 at Drama's 16. Nearly proportional, and 0.16 less than that with few samples: fitted on the
    newest tenth's share at the end of a run, which is 0.28 at 1 to 64 samples a step. Below one
    the share falls, to 0.19 at a half: most has not been sampled at all then.
    """
    return max((TEMPERATURE + _WHOLE) * rate / DRAMA_RATE - _WHOLE, _COLDEST)


def model_scores(model: Array, temperature: float) -> Array:
    """Logits of the model's samples for counts int32 [...]."""
    return -model.astype(jnp.float32) / temperature


def policy_scores(model: Array, policy: Array, ratio: float, temperature: float) -> Array:
    """Logits of the policy's samples for counts int32 [...]."""
    ahead = model.astype(jnp.float32) - policy.astype(jnp.float32) / ratio
    return jnp.minimum(0, ahead) / temperature


def sample_without_replacement(key: Array, scores: Array, allowed: Array, count: int) -> Array:
    """int32 [count] distinct indices of scores [N], by softmax over the allowed, one by one.

    Gumbel noise makes the largest scores such a sample, with no softmax that could underflow.
    Where fewer than `count` are allowed, the likeliest one fills up.
    """
    noisy = jnp.where(allowed, scores + jax.random.gumbel(key, scores.shape, scores.dtype), _NEVER)
    indices = largest(noisy, count)
    return jnp.where(allowed[indices], indices, jnp.argmax(noisy).astype(jnp.int32))
