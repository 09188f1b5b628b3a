"""Imagined rollouts: where they begin, and how a policy acts inside a world model."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.nn.distributions import Categorical
from rlseq.types import Params, Sequences
from rlseq.world_models.types import Observed, WorldCarry, WorldModel

Policy = Callable[[Array], Categorical]  # features [N, F] -> actions [N]


class Start(NamedTuple):
    """States of N rollouts before their first action; `carry.hidden` fits `reset` already."""

    carry: WorldCarry
    latent: Array  # [N, L]
    reset: Array  # [N] bool, the latent is the first of an episode
    alive: Array  # [N] bool, False: the episode has ended before


class ImaginedRollout(NamedTuple):
    """H imagined steps of N rollouts, without gradients."""

    features: Array  # [H + 1, N, F] before each action, and after the last
    action: Array  # [H, N] int32
    log_prob: Array  # [H, N] of the action as it was taken
    reward: Array  # [H, N]
    alive: Array  # [H, N] float32, 0 where the action ended the episode
    mask: Array  # [H, N] float32, 0 where the episode had ended before


def features(latent: Array, hidden: Array) -> Array:
    """What actor and critic read: [..., L + H]."""
    return jnp.concatenate([latent, hidden], axis=-1)


def start_from_contexts(
    model: WorldModel, params: Params, rows: Sequences, key: Array, *, after: bool
) -> Start:
    """States at the end of contexts [C, N].

    Before the last step's action, on the latent of its frame; or `after` it, on a guess of the
    next latent, which is how Drama begins.
    """
    first_key, last_key, next_key = jax.random.split(key, 3)
    carry = model.init_carry(rows.reward.shape[1])
    if rows.reward.shape[0] > 1:
        before = jax.tree.map(lambda x: x[:-1], rows)
        carry, _ = model.observe(params, carry, before.obs, before.action, before.reset, first_key)
    last = jax.tree.map(lambda x: x[-1], rows)
    reset = last.reset if rows.reward.shape[0] > 1 else jnp.ones_like(last.reset)
    seen = model.perceive(params, carry, last.obs, reset, last_key)
    if not after:
        carry = carry._replace(hidden=seen.hidden)
        return Start(carry, seen.latent, reset, jnp.ones_like(reset))
    carry, following = model.imagine_step(params, carry, seen.latent, last.action, reset, next_key)
    return Start(carry, following.latent, jnp.zeros_like(reset), ~last.terminated)


def start_from_batch(
    model: WorldModel, params: Params, rows: Sequences, seen: Observed, every: int
) -> Start:
    """States before every `every`-th step of what the model was just trained on, [T, B].

    Carries and hidden are of one pass without dropout; `seen` gives the latents alone, as its
    hidden is of the training pass, a tenth of it dropped out and from older parameters.
    """
    carry = model.init_carry(rows.reward.shape[1])
    latent = lax.stop_gradient(seen.latent)
    carry = model.remember(params, carry, latent, rows.action, rows.reset, every)
    parts = carry, latent[::every], rows.reset[::every]
    carry, latent, reset = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), parts)
    return Start(carry, latent, reset, jnp.ones_like(reset))


def imagine(
    model: WorldModel, params: Params, policy: Policy, start: Start, horizon: int, key: Array
) -> ImaginedRollout:
    """Act for `horizon` steps; the core goes one step at a time, whatever the context was."""
    body = partial(_step, model, params, policy)
    first = start.carry, start.latent, start.reset
    (carry, latent, _), (seen, action, log_prob, reward, ended) = lax.scan(
        body, first, jax.random.split(key, horizon)
    )
    last = features(latent, carry.hidden)
    alive = (~ended).astype(jnp.float32)
    running = jnp.concatenate([start.alive.astype(jnp.float32)[None], alive[:-1]])
    seen, mask = jnp.concatenate([seen, last[None]]), jnp.cumprod(running, axis=0)
    rollout = ImaginedRollout(seen, action, log_prob, reward, alive, mask)
    return lax.stop_gradient(rollout)


def _step(
    model: WorldModel,
    params: Params,
    policy: Policy,
    state: tuple[WorldCarry, Array, Array],
    key: Array,
) -> tuple[tuple[WorldCarry, Array, Array], tuple]:
    act_key, model_key = jax.random.split(key)
    carry, latent, reset = state
    seen = features(latent, carry.hidden)
    distribution = policy(seen)
    action = distribution.sample(act_key)
    carry, new = model.imagine_step(params, carry, latent, action, reset, model_key)
    step = (seen, action, distribution.log_prob(action), new.reward, new.terminated)
    return (carry, new.latent, jnp.zeros_like(reset)), step
