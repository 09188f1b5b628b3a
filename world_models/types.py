"""Types of world models: the carry, what they observe and imagine, and their protocol."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from rlseq.types import Carry, Metrics, Params, PyTree, Sequences


class WorldCarry(NamedTuple):
    """The memory of a world model between two steps."""

    core: Carry
    hidden: jax.Array  # [B, H] the output of the core after the last action; 0 in a fresh episode


class Observed(NamedTuple):
    """A sequence as a world model sees it; features of time t are (latent[t], hidden[t])."""

    latent: jax.Array  # [T, B, L] drawn from the posterior of obs[t]
    hidden: jax.Array  # [T, B, H] the memory when obs[t] arrived; 0 where it begins an episode
    next_hidden: jax.Array  # [T, B, H] the memory after action[t]: reward[t] is predicted from it
    prior: jax.Array  # [T, B, K, C] log-probabilities of latent[t] from hidden[t] alone
    posterior: jax.Array  # [T, B, K, C] its log-probabilities given obs[t] alone


class Perceived(NamedTuple):
    """What can be known before acting at one step; features are (latent or guess, hidden)."""

    latent: jax.Array  # [B, L] drawn from the posterior of the current observation
    guess: jax.Array  # [B, L] drawn from the prior; equals latent where an episode begins
    hidden: jax.Array  # [B, H]


class Imagined(NamedTuple):
    """What follows an action in imagination; the next features are (latent, hidden)."""

    latent: jax.Array  # [B, L] of the next time step, drawn from the prior
    hidden: jax.Array  # [B, H] the memory after the action
    reward: jax.Array  # [B] float32
    termination_logit: jax.Array  # [B] logit of "the action ends the episode for good"

    @property
    def terminated(self) -> jax.Array:
        """bool [B]: the end is likelier than not."""
        return self.termination_logit > 0


class WorldModel(Protocol):
    """Pure functions around one sequence core; the object holds configuration, never progress.

    Every method is traceable inside jit. L latent_size, H hidden_size, K x C categoricals.
    """

    latent_size: int
    hidden_size: int
    num_actions: int
    two_hot: str  # the form of its rewards, "symexp" or "symlog", and of the agent's critic

    def init(self, key: jax.Array) -> Params:
        """Fresh parameters."""
        ...

    def optimiser(self) -> Any:
        """The optax transformation of the configured optimiser."""
        ...

    def init_carry(self, batch: int) -> WorldCarry:
        """The memory of `batch` fresh episodes; needs no parameters."""
        ...

    def loss(
        self, params: Params, batch: Sequences, key: jax.Array
    ) -> tuple[jax.Array, tuple[Metrics, Observed]]:
        """The loss of a batch from a fresh memory: (scalar, (its parts, what was observed))."""
        ...

    def encode(self, params: Params, obs: PyTree, key: jax.Array) -> jax.Array:
        """Observations [..., *obs] -> latents [..., L] drawn from their posteriors."""
        ...

    def decode(self, params: Params, latent: jax.Array) -> jax.Array:
        """Latents [..., L] -> observations, float32 in the units of the observation space."""
        ...

    def observe(
        self,
        params: Params,
        carry: WorldCarry,
        obs: PyTree,
        action: jax.Array,
        reset: jax.Array,
        key: jax.Array,
    ) -> tuple[WorldCarry, Observed]:
        """Whole sequences obs [T, B, ...], action and reset [T, B], parallel over time."""
        ...

    def remember(
        self,
        params: Params,
        carry: WorldCarry,
        latent: jax.Array,
        action: jax.Array,
        reset: jax.Array,
        every: int = 1,
    ) -> WorldCarry:
        """The carries before steps 0, every, 2 every, ... of a sequence, [T / every, B, ...].

        Imagination may begin at any of them, with latent[t] and reset[t], which `hidden`
        fits already. `every` divides T; nothing is encoded or dropped out, and no gradient flows.
        """
        ...

    def perceive(
        self, params: Params, carry: WorldCarry, obs: PyTree, reset: jax.Array, key: jax.Array
    ) -> Perceived:
        """What to act on: obs [B, ...] arrives, reset bool [B]. The carry does not move."""
        ...

    def advance(
        self,
        params: Params,
        carry: WorldCarry,
        latent: jax.Array,
        action: jax.Array,
        reset: jax.Array,
    ) -> WorldCarry:
        """The memory after latent [B, L] and action int32 [B]; one step of the core, O(1).

        reset bool [B]: the latent is the first of an episode, what came before is forgotten.
        """
        ...

    def imagine_step(
        self,
        params: Params,
        carry: WorldCarry,
        latent: jax.Array,
        action: jax.Array,
        reset: jax.Array,
        key: jax.Array,
    ) -> tuple[WorldCarry, Imagined]:
        """`advance`, then reward, end and the next latent as the model foresees them."""
        ...


class WorldModelClass(Protocol):
    """What the registry holds of a world model: a class with its settings."""

    Config: type  # a frozen dataclass; every field has a default
    presets: dict[str, dict[str, Any]]  # name -> fields of Config; names of `world_model=`

    def __call__(
        self, obs_space: Any, num_actions: int, config: Any, core: dict[str, Any]
    ) -> WorldModel:
        """A world model of an environment around a core, {"name": "mamba2", ...}."""
        ...


@runtime_checkable
class AgentWithModel(Protocol):
    """An agent that imagines; `policy_params(state).model` are the parameters of its model."""

    model: WorldModel
