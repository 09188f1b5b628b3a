"""What an agent may have beside `rlseq.types.Agent`."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from rlseq.types import Carry, DataScores, Metrics, PyTree


class AgentPart(NamedTuple):
    """A part of an update, to be timed on its own."""

    function: Callable[[Any, jax.Array], Any]  # (state, key) -> anything
    times: int  # in one update


@runtime_checkable
class AgentWithParts(Protocol):
    """An agent that can say where its time goes."""

    def parts(self) -> dict[str, AgentPart]:
        """ "acting", "learning" (an update in all), and "model", that of the world model if any."""
        ...


@runtime_checkable
class AgentWithData(Protocol):
    """An agent that learns from recorded data; `train` is `train_on` its own."""

    @property
    def data(self) -> PyTree:
        """Arrays on the device, read when they are first asked for.

        Raises InputError for a file that is not there, is damaged or does not fit.
        """
        ...

    def train_on(self, data: PyTree, state: Any, num_updates: int) -> tuple[Any, Metrics]:
        """`Agent.train` with the data as an argument, so that they are no constants in jit."""
        ...


@runtime_checkable
class AgentWithDataScores(Protocol):
    """An agent whose data may say on which scale its scores are placed."""

    def data_scores(self) -> DataScores | None:
        """None where they do not, or are no longer there."""
        ...


@runtime_checkable
class AgentWithReward(Protocol):
    """An agent whose memory also depends on what its actions earn."""

    def rewarded(self, carry: Carry, reward: jax.Array) -> Carry:
        """The memory after the last action of `act` earned reward float32 [B]."""
        ...


@runtime_checkable
class AgentWithParameters(Protocol):
    """An agent that learns more than what acting needs, or that keeps copies of it.

    A warm start (`init_from`) puts another run's parameters into a fresh state. Of other agents it
    takes what `policy_params` selects.
    """

    def parameters(self, state: Any) -> PyTree:
        """The leaves of a state that another run may begin with: selected, never computed, so that
        a state of any leaves will do."""
        ...

    def with_copies(self, state: Any) -> Any:
        """A fresh state whose parameters were replaced, with the copies that it keeps of them
        (target networks) made anew. Traceable."""
        ...
