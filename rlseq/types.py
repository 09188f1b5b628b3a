"""Data and protocols that every package shares; imports nothing of ours.

Letters, the same everywhere: T time, B batch, E envs, D features, N state, A actions; time first.
`reset[t]` is True when `x[t]` is the first input of an episode: the carry is cleared before
`x[t]` is read.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

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


class Ring(NamedTuple):
    """Rows that are only ever added, the oldest overwritten, of E environments side by side.

    Row number n of an environment lies at n % L. Checkpoints write the rows of a ring that have
    come since the one before, never all of them; leading axes (seeds) may stand before E in every
    leaf.
    """

    rows: PyTree  # [E, L, ...]
    written: jax.Array  # [E] int32, rows of each environment so far


class Reference(NamedTuple):
    """Mean returns on which a score is placed."""

    random: float  # of uniformly random actions
    human: float

    def normalised(self, score: float) -> float:
        """The human-normalised score: 0 is random play, 1 the human."""
        return (score - self.random) / (self.human - self.random)


class DataScores(NamedTuple):
    """Mean returns that a data set names for the scale of D4RL (Fu et al. 2004.07219)."""

    low: float  # of a random policy
    high: float  # of an expert

    def normalised(self, score: float) -> float:
        """0 is the random policy, 100 the expert."""
        return 100 * (score - self.low) / (self.high - self.low)


class EnvSpec(NamedTuple):
    """What an agent needs to know before the first step."""

    id: str
    obs_space: Any  # a gymnax space, or rlseq.envs.spaces.MultiDiscrete
    action_space: Any
    can_truncate: bool  # False: the agent need not compute V(final_obs)
    max_steps: int | None  # the longest episode, in environment steps
    reference: Reference | None = None  # where known
    settings: str = ""  # how it is played, for the records of results
    reward_range: tuple[float, float] = (-math.inf, math.inf)  # of a step, where known


@runtime_checkable
class Family(Protocol):
    """The environments of one prefix: what JaxFamily and BatchedFamily share."""

    def ids(self) -> list[str]:
        """The names after the prefix that lists show; others may work too."""
        ...

    def options(self, name: str) -> dict[str, Any]:
        """Option -> declared type (`rlseq.fields`). Raises InputError for an unknown name."""
        ...

    def about(self, name: str) -> str:
        """One line about a name, for lists. Builds nothing."""
        ...


@runtime_checkable
class JaxFamily(Family, Protocol):
    """A family of JAX environments; `make_env` copies one by vmap."""

    def make(self, name: str, **options: Any) -> tuple[Any, Any]:
        """(gymnax environment, its params). Raises InputError for an unknown name or option, and
        for impossible values."""
        ...


@runtime_checkable
class BatchedFamily(Family, Protocol):
    """A family that builds E environments at once."""

    def make_batch(
        self,
        name: str,
        num_envs: int,
        *,
        action_log: int = 0,
        evaluation: bool = False,
        **options: Any,
    ) -> "VecEnv":
        """E = num_envs environments, which `rlseq.envs.batched.Batched` compiles once outside jit.

        `action_log` and `evaluation` are those of `make_env`; a family ignores what does not
        concern it. Raises InputError for an unknown name or option, and for impossible values.
        """
        ...


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


@runtime_checkable
class Agent(Protocol):
    """Functions on an explicit state; the object itself holds configuration, not progress.

    `rlseq.laws.agents` holds what every registered agent keeps: training in pieces equals
    training at once bit for bit, seeds by vmap equal single ones, greedy actions are determined,
    and a carry before a reset changes nothing after it.

    An agent that steps no environment, as one that learns from recorded data, is the same with
    `steps_environment = False`: `env` gives it its spaces (it is evaluated on another one),
    `steps_per_update` counts recorded steps, its state holds no environment, so that `batched` is
    False throughout, and its metrics count no episodes.
    """

    env: VecEnv
    steps_environment: bool
    steps_per_update: int  # environment steps, all environments together

    def init(self, key: jax.Array) -> Any:
        """The state of a fresh agent: params, optimiser, env state, carry, key, counters.

        A pytree of arrays, at its top a NamedTuple whose fields are what a plan lists, among them
        `updates`, int32 []: how many of `train` it has had.
        """
        ...

    def train(self, state: Any, num_updates: int) -> tuple[Any, Metrics]:
        """`num_updates` (static) updates in one jitted scan: (state, metrics).

        Metrics are float32 scalars, the same names at every call. Of the episodes that ended
        within: "episodes", how many; "return" and "length", their means, 0 without any (the host
        logs these as unknown). "valid_steps", the actions that were not ignored; "finite", 1 where
        all losses were, else 0; and the losses, means over the updates, as "loss/<part>".
        """
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
        """One action in `env.spec.action_space` for each of B observations of the user's own space.

        A sample; `greedy`, the likeliest action, whatever the key, but for a world model's
        perception, which may be a sample. Where reset bool [B], the carry is not read.
        """
        ...


class AgentClass(Protocol):
    """What the registry holds of an agent: a class with its settings, constructed in one way."""

    Config: type  # a frozen dataclass; every field has a default
    needs_world_model: bool  # True: it takes a world model; False: `world_model` is None

    @staticmethod
    def update_steps(config: Any, num_envs: int) -> int:
        """Environment steps of one update, `Agent.steps_per_update`, known before an agent is."""
        ...

    def __call__(
        self,
        env: VecEnv,
        config: Any,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ) -> Agent:
        """An agent on an environment.

        Args:
            env: without statistics of episodes.
            config: an instance of `Config`.
            core: {"name": "s5", ...}, the rest as in `rlseq.make_core`.
            num_updates: of the whole run, which schedules span.
            world_model: {"name": "drama", ...}, the rest as in `make_world_model`.

        Raises InputError for whatever does not fit, before anything compiles.
        """
        ...


class Sequences(NamedTuple):
    """Recorded experience, time first; what a world model learns from.

    action[t] was taken at obs[t]; reward[t] and terminated[t] are what that action brought.
    """

    obs: PyTree  # [T, B, ...] in the dtypes of the observation space
    action: jax.Array  # [T, B] int32
    reward: jax.Array  # [T, B] float32
    terminated: jax.Array  # [T, B] bool, it ended the episode for good
    reset: jax.Array  # [T, B] bool, obs begins an episode
