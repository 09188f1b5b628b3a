"""An agent whose real-valued hyper-parameters are a part of its state, so that `vmap` runs over
them as over seeds."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.agents.types import AgentWithData, AgentWithReward
from rlseq.errors import InputError
from rlseq.types import Agent, Carry, Metrics, PyTree


class SweptState(NamedTuple):
    """A state of the agent inside, and the values that it is trained with."""

    values: dict[str, Array]  # hyper-parameter -> float32 []
    inner: Any


class SweptParams(NamedTuple):
    """What acting needs."""

    values: dict[str, Array]
    inner: PyTree


class SweptAgent:
    """`rlseq.types.Agent` around one whose settings are known only when it is called.

    Args:
        agent: with the settings that are not swept; gives environment, sizes and memory.
        settings: its frozen dataclass of hyper-parameters.
        make: settings -> agent, which must not branch on the swept values.
        names: of the swept hyper-parameters.

    Raises InputError for agents that learn from recorded data or whose memory holds rewards.
    """

    steps_environment = True

    def __init__(self, agent: Agent, settings: Any, make: Callable[[Any], Agent], names: list[str]):
        if isinstance(agent, AgentWithData | AgentWithReward):
            raise InputError(f"agent {type(agent).__name__} cannot be swept inside one program")
        self.plain, self.settings, self.make = agent, settings, make
        self.env, self.steps_per_update = agent.env, agent.steps_per_update
        self.defaults = {name: float(getattr(settings, name)) for name in names}

    def begin(self, values: dict[str, Array], key: Array) -> SweptState:
        """A fresh state that is trained with these values."""
        return SweptState(values, self._with(values).init(key))

    def init(self, key: Array) -> SweptState:
        """A fresh state with the values of the settings."""
        return self.begin({k: jnp.float32(v) for k, v in self.defaults.items()}, key)

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state: SweptState, num_updates: int) -> tuple[SweptState, Metrics]:
        """As the agent inside."""
        inner, metrics = self._with(state.values).train(state.inner, num_updates)
        return state._replace(inner=inner), metrics

    def init_carry(self, batch: int) -> Carry:
        """As the agent inside."""
        return self.plain.init_carry(batch)

    def policy_params(self, state: SweptState) -> SweptParams:
        """Parameters, and values that acting may depend on."""
        return SweptParams(state.values, self.plain.policy_params(state.inner))

    def batched(self, state: SweptState) -> SweptState:
        """As the agent inside; values belong to no environment."""
        none = jax.tree.map(lambda _: False, state.values)
        return SweptState(none, self.plain.batched(state.inner))

    def act(
        self,
        params: SweptParams,
        carry: Carry,
        obs: PyTree,
        reset: Array,
        key: Array,
        *,
        greedy: bool = False,
    ) -> tuple[Carry, PyTree]:
        """As the agent inside."""
        agent = self._with(params.values)
        return agent.act(params.inner, carry, obs, reset, key, greedy=greedy)

    def _with(self, values: dict[str, Array]) -> Agent:
        """The agent with values that are traced: its settings were checked as plain numbers."""
        settings = copy.copy(self.settings)
        for name, value in values.items():
            object.__setattr__(settings, name, value)
        return self.make(settings)
