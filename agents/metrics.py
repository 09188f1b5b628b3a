"""What training reports: sums over episodes, means of losses, whether all are finite."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.envs.wrappers import episode_stats
from rlseq.rl.losses import masked_mean
from rlseq.types import Metrics, TimeStep


class Episodes(NamedTuple):
    """Of the episodes that ended: [E] of one step, then sums, scalars (or [U], one an update)."""

    count: Array
    total_return: Array
    total_length: Array
    steps: Array  # of running episodes too: the actions that were not ignored


def ended_episodes(env_state: Any, new: TimeStep) -> Episodes:
    """Of the episodes that end in this step, [E]; the env must count statistics.

    Nothing is summed here: over several devices every sum in a rollout is one exchange a step.
    """
    stats = episode_stats(env_state)
    done = new.terminated | new.truncated
    lengths = stats.ended_length.astype(jnp.float32)
    return Episodes(
        count=done.astype(jnp.float32),
        total_return=jnp.where(done, stats.ended_return, 0),
        total_length=jnp.where(done, lengths, 0),
        steps=(jnp.ones_like(done) if new.valid is None else new.valid).astype(jnp.float32),
    )


def no_episodes() -> Episodes:
    """Of an update in which no environment was stepped."""
    nothing = jnp.float32(0)
    return Episodes(nothing, nothing, nothing, nothing)


def training_metrics(episodes: Episodes, losses: Metrics, mask: Array | None = None) -> Metrics:
    """The metrics that `rlseq.types.Agent.train` promises, from those of U updates, leaves [U].

    Losses are means over the updates, or over those of `mask` bool [U]; "finite" is of all.
    """
    count, total_return, total_length, steps = jax.tree.map(jnp.sum, episodes)
    finite = jnp.all(jnp.stack([jnp.isfinite(x).all() for x in losses.values()]))
    return {
        "return": total_return / jnp.maximum(count, 1),
        "length": total_length / jnp.maximum(count, 1),
        "episodes": count,
        "valid_steps": steps,
        **{name: masked_mean(x, mask) for name, x in losses.items()},
        "finite": finite.astype(jnp.float32),
    }
