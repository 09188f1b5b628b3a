"""Acting into a replay, and what of it the replay keeps for a world model."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from rlseq.agents.acting import Act, Actor, act_once
from rlseq.agents.metrics import Episodes, ended_episodes
from rlseq.agents.rollout import ended_for_learner
from rlseq.replay.store import Replay, ReplayState
from rlseq.types import Carry, PyTree, Sequences, TimeStep, VecEnv

# (carry before the step, old time step, action, new time step) -> what the replay keeps, [E, ...]
MakeRow = Callable[[Carry, TimeStep, PyTree, TimeStep], PyTree]


def collect_rows(
    env: VecEnv,
    act: Act,
    actor: Actor,
    replay: Replay,
    state: ReplayState,
    num_steps: int,
    make_row: MakeRow,
    *,
    keep_terminal_frame: bool = False,
) -> tuple[Actor, ReplayState, Episodes]:
    """`num_steps` steps of every environment into the replay; `env` must count statistics.

    With `keep_terminal_frame` the last frame of an episode stands where the next one's first
    belongs, as in the code released with Drama.
    """
    body = partial(_step, env, act, replay, make_row, keep_terminal_frame)
    (actor, state), episodes = lax.scan(body, (actor, state), None, num_steps)
    return actor, state, jax.tree.map(jnp.sum, episodes)


def as_row(carry: Carry, old: TimeStep, action: Array, new: TimeStep) -> Sequences:
    """A transition for a world model; an end for the learner alone is an end here."""
    del carry
    return Sequences(old.obs, action, new.reward, ended_for_learner(new), old.reset)


def _step(
    env: VecEnv,
    act: Act,
    replay: Replay,
    make_row: MakeRow,
    keep_terminal_frame: bool,
    state: tuple[Actor, ReplayState],
    _: None,
) -> tuple[tuple[Actor, ReplayState], Episodes]:
    before, stored = state
    actor, action = act_once(env, act, before)
    old, new = before.timestep, actor.timestep
    stored = replay.add(stored, make_row(before.carry, old, action, new), new.valid)
    episodes = ended_episodes(actor.env_state, new)
    if keep_terminal_frame:
        actor = actor._replace(timestep=_with_terminal_frame(old, new))
    return (actor, stored), episodes


def _with_terminal_frame(old: TimeStep, new: TimeStep) -> TimeStep:
    """The new time step with the last frame of the episode before in place of a first one."""
    last: Any = new.final_obs if new.valid is None else old.obs

    def pick(terminal: Array, first: Array) -> Array:
        return jnp.where(jnp.expand_dims(new.reset, range(1, first.ndim)), terminal, first)

    return new._replace(obs=jax.tree.map(pick, last, new.obs))
