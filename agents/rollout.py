"""Collect trajectories of T steps from E environments with a recurrent policy, inside jit.

Environments that say `valid` end an episode in two steps: the last observation is shown as it is,
and the action taken on it is ignored. Nothing is learned from that second step. Nor from a step
that a time limit cut: its successor need not be a proper observation (the last frame of an Atari
game is not), so what went before it bootstraps from the observation before the cut.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.agents.acting import Actor, step_once
from rlseq.agents.metrics import Episodes, ended_episodes
from rlseq.rl.branches import where_any
from rlseq.rl.devices import split_sequences
from rlseq.rl.returns import gae
from rlseq.types import Carry, PyTree, TimeStep, VecEnv


class ActionDistribution(Protocol):
    """What a policy gives: those of `rlseq.nn.distributions`, or `EpsilonGreedy`."""

    def sample(self, key: Array) -> PyTree: ...

    def mode(self) -> PyTree: ...

    def log_prob(self, action: PyTree) -> Array: ...


# (carry, obs [E, ...], reset [E]) -> (carry, distribution [E], value [E])
Policy = Callable[[Carry, PyTree, Array], tuple[Carry, ActionDistribution, Array]]


class Trajectory(NamedTuple):
    """T steps of E environments, all [T, E, ...]."""

    obs: PyTree
    reset: Array  # bool, obs begins an episode
    action: PyTree
    log_prob: Array
    value: Array
    reward: Array
    next_value: Array  # value of the true successor, also where an episode was cut
    terminated: Array  # bool, no value follows: an end for good, or for the learner alone
    done: Array  # bool, terminated or truncated
    mask: Array | None  # bool, False: not to be learned from; None: every step is


def collect(
    env: VecEnv, policy: Policy, actor: Actor, num_steps: int
) -> tuple[Actor, Trajectory, Episodes]:
    """`num_steps` steps of every environment; `env` must count statistics."""
    body = partial(_step, env, policy)
    actor, (trajectory, cut_value, episodes) = lax.scan(body, actor, None, num_steps)
    _, _, last_value = policy(actor.carry, actor.timestep.obs, actor.timestep.reset)
    following = jnp.concatenate([trajectory.value[1:], last_value[None]])
    truncated = trajectory.done & ~trajectory.terminated
    next_value = jnp.where(truncated, cut_value, following)
    episodes = jax.tree.map(jnp.sum, episodes)
    return actor, trajectory._replace(next_value=next_value), episodes


def _step(env: VecEnv, policy: Policy, actor: Actor, _: None) -> tuple[Actor, tuple]:
    def choose(carry: Carry, obs: PyTree, reset: Array, key: Array) -> tuple[Carry, PyTree, tuple]:
        carry, distribution, value = policy(carry, obs, reset)
        action = distribution.sample(key)
        return carry, action, (distribution.log_prob(action), value)

    old = actor.timestep
    actor, action, (log_prob, value) = step_once(env, choose, actor)
    new = actor.timestep
    terminated = ended_for_learner(new)
    step = Trajectory(
        obs=old.obs,
        reset=old.reset,
        action=action,
        log_prob=log_prob,
        value=value,
        reward=new.reward,
        next_value=value,  # filled in by `collect`, which sees the whole rollout
        terminated=terminated,
        done=terminated | new.truncated,
        mask=learned_mask(new),
    )
    cut_value = _value_of_cut(env, policy, actor.carry, new)
    return actor, (step, cut_value, ended_episodes(actor.env_state, new))


def ended_for_learner(new: TimeStep) -> Array:
    """bool [E]: nothing follows, as the episode ended or as the learner shall think so."""
    lost = new.learn_terminal
    return new.terminated if lost is None else new.terminated | lost


def learned_mask(new: TimeStep) -> Array | None:
    """bool [E], False: nothing is learned from the step to `new`; None: from every step."""
    return None if new.valid is None else new.valid & ~new.truncated


def _value_of_cut(env: VecEnv, policy: Policy, carry: Carry, new: TimeStep) -> Array:
    """V(final_obs) [E] with the carry of the episode that was cut; 0 where none was."""
    nothing = jnp.zeros_like(new.reward)
    if not env.spec.can_truncate or new.valid is not None:
        return nothing

    def look() -> Array:
        value = policy(carry, new.final_obs, jnp.zeros_like(new.reset))[2]
        return jnp.where(new.truncated, value, 0)

    return where_any(new.truncated, look, nothing)


def advantages(t: Trajectory, *, gamma: float, lam: float) -> Array:
    """Generalised advantage estimates [T, E] of a rollout; plus its values, its lambda-returns."""
    return gae(t.reward, t.value, t.next_value, t.terminated, t.done, t.mask, gamma=gamma, lam=lam)


def select_sequences(batch: Any, envs: Array) -> Any:
    """Whole sequences of some environments, int32 [number of them].

    `batch` is a NamedTuple with a `carry`, leaves [E, ...]; all its other leaves are [T, E, ...].
    """
    carry = jax.tree.map(lambda x: x[envs], batch.carry)
    rest = jax.tree.map(lambda x: x[:, envs], batch._replace(carry=()))
    return split_sequences(rest._replace(carry=carry))
