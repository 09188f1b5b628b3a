"""Data and protocols that every room shares; imports nothing of ours.

Letters, the same everywhere: T time, B batch, E envs, D features, N state, A actions; time first.
`reset[t]` is True when `x[t]` is the first input of an episode: the carry is cleared before
`x[t]` is read.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax

Carry = Any  # a pytree of arrays with fixed shapes and dtypes, batch axis first
Params = Any  # a pytree of arrays
PyTree = Any
Metrics = dict[str, jax.Array]  # scalars, already reduced on the device


class TimeStep(NamedTuple):
    """What an environment shows an agent; E environments side by side."""

    obs: PyTree  # [E, ...] what the agent sees now
    reward: jax.Array  # [E] float32, of the transition that led here
    terminated: jax.Array  # [E] bool, that transition ended its episode for good
    truncated: jax.Array  # [E] bool, it was cut by a time limit
    reset: jax.Array  # [E] bool, obs is the first of an episode: goes straight to the core
    final_obs: PyTree  # [E, ...] the true successor where an episode ended, else obs
    # Two optional fields, None where an environment has no use for them.
    # [E] bool, False: the action was ignored, because an episode that had ended in the step
    # before started anew (`reset` is True). No transition: not learned from, not counted.
    valid: jax.Array | None = None
    # [E] bool, an end for the learner alone: the future has no value, but the episode goes on.
    learn_terminal: jax.Array | None = None


class EnvSpec(NamedTuple):
    """What an agent needs to know before the first step."""

    id: str
    obs_space: Any  # a gymnax space, or rlseq.envs.spaces.MultiDiscrete
    action_space: Any
    can_truncate: bool  # False: the agent need not compute V(final_obs)
    max_steps: int | None  # the longest episode, in environment steps


class VecEnv(Protocol):
    """E environments behind one interface, every method traceable inside jit."""

    num_envs: int
    spec: EnvSpec

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        """Fresh episodes everywhere: (state, first time step)."""
        ...

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        """One step of every environment; ended ones start anew (`reset` is True there).

        They do so in the step of their end, or, if `valid` says so, in the one after it.
        """
        ...


class Core(Protocol):
    """A sequence core: a flax.linen module with a whole-sequence form and a one-step form."""

    features: int

    def init_carry(self, batch: int) -> Carry:
        """The carry of `batch` fresh episodes; needs no parameters."""
        ...

    def __call__(self, carry: Carry, x: jax.Array, reset: jax.Array) -> tuple[Carry, jax.Array]:
        """x [T, B, D], reset bool [T, B] -> (carry, y [T, B, features])."""
        ...

    def step(self, carry: Carry, x: jax.Array, reset: jax.Array) -> tuple[Carry, jax.Array]:
        """x [B, D], reset bool [B] -> (carry, y [B, features])."""
        ...


class CoreFns(NamedTuple):
    """A core as four plain functions, for code that knows no flax."""

    init: Callable[[jax.Array], Params]  # key -> params
    init_carry: Callable[[int], Carry]  # batch -> carry
    scan: Callable[[Params, Carry, jax.Array, jax.Array], tuple[Carry, jax.Array]]
    step: Callable[[Params, Carry, jax.Array, jax.Array], tuple[Carry, jax.Array]]


class Agent(Protocol):
    """Functions on an explicit state; the object itself holds configuration, not progress."""

    env: VecEnv
    steps_per_update: int  # environment steps, all environments together

    def init(self, key: jax.Array) -> Any:
        """The state of a fresh agent: params, optimiser, env state, carry, key, counters."""
        ...

    def train(self, state: Any, num_updates: int) -> tuple[Any, Metrics]:
        """`num_updates` (static) updates in one jitted scan; metrics are reduced scalars."""
        ...

    def init_carry(self, batch: int) -> Carry:
        """The memory of `batch` fresh episodes."""
        ...

    def policy_params(self, state: Any) -> Params:
        """What `act` needs of a state."""
        ...

    def batched(self, state: Any) -> Any:
        """A state's structure of bools: True where a leaf's first axis is the environments."""
        ...

    def act(
        self,
        params: Params,
        carry: Carry,
        obs: PyTree,
        reset: jax.Array,
        key: jax.Array,
        *,
        greedy: bool = False,
    ) -> tuple[Carry, PyTree]:
        """One action for each of B observations."""
        ...
