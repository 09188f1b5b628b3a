"""One network that learns at every step: a memory, a head, and the traces of both."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.agents.networks import as_float32
from rlseq.nn.encoders import SparseStack
from rlseq.online import Estimator, Trace
from rlseq.online.types import Pullback, cleared
from rlseq.rl.obgd import accumulate, bounded_rate, step
from rlseq.types import Carry, Params, PyTree


class Head(nn.Module):
    """Features [..., D] -> what `out` makes of them in float32, behind sparse layers of `dtype`."""

    widths: tuple[int, ...]
    sparsity: float
    out: nn.Module
    dtype: str = "float32"

    @nn.compact
    def __call__(self, y: Array) -> Any:
        # The core may have another dtype than either.
        body = SparseStack(self.widths, self.sparsity, self.dtype)
        return self.out(as_float32(body(as_float32(y))))


class Memory(NamedTuple):
    """What a network carries from step to step, leaves [E, ...]."""

    trace: Trace  # the core's carry and what its parameters did to it
    eligibility: Params  # z


class Seen(NamedTuple):
    """One step of a network before it is known what came of it."""

    trace: Trace
    features: Array  # [E, D]
    pullback: Pullback


class Side:
    """The actor, or the critic: parameters are {"memory": ..., "head": ...}."""

    def __init__(self, estimator: Estimator, head: nn.Module, kappa: float, config: Any):
        self.estimator, self.head = estimator, head
        self.kappa, self.config = kappa, config

    def init(self, key: Array, obs: Array, reset: Array) -> Params:
        """Fresh parameters."""
        memory_key, head_key = jax.random.split(key)
        module = self.estimator.module
        carry = module.init_carry(reset.shape[0])
        (_, y), memory = module.init_with_output(memory_key, carry, obs, reset, method="step")
        return {"memory": memory, "head": self.head.init(head_key, y)}

    def init_memory(self, params: Params, batch: int) -> Memory:
        """Of fresh episodes."""
        z = jax.tree.map(lambda p: jnp.zeros((batch, *p.shape), p.dtype), params)
        return Memory(self.estimator.init(params["memory"], batch), z)

    def look(self, params: Params, carry: Carry, obs: Array, reset: Array) -> tuple[Carry, Any]:
        """One step without traces: (carry, what the head says)."""
        module = self.estimator.module
        carry, y = module.apply(params["memory"], carry, obs, reset, method="step")
        return carry, self.head.apply(params["head"], y)

    def see(
        self, params: Params, memory: Memory, obs: Array, reset: Array, key: Array
    ) -> tuple[Seen, Any]:
        """One step with traces: (what `learn` needs of it, what the head says)."""
        seen = Seen(*self.estimator.step(params["memory"], memory.trace, obs, reset, key))
        return seen, self.head.apply(params["head"], seen.features)

    def learn(
        self,
        params: Params,
        z: Params,
        seen: Seen,
        objective: Callable[..., Array],
        inputs: PyTree,
        delta: Array,
        ended: Array,
    ) -> tuple[Params, Memory, Array]:
        """One step of ObGD along the traces: (params, memory, step sizes [E]).

        Args:
            params: before it.
            z: the eligibility trace of the steps before.
            seen: this step.
            objective: (what the head says [1], *inputs) -> [1], whose gradient enters the trace.
            inputs: more of it, leaves [E, ...].
            delta: float32 [E], the TD error; 0 where nothing is learned.
            ended: bool [E], where the eligibility begins anew after it.
        """

        def of_row(head: Params, y: Array, inputs: PyTree) -> Array:
            inputs = jax.tree.map(lambda leaf: leaf[None], inputs)
            return objective(self.head.apply(head, y[None]), *inputs)[0]

        rows = jax.vmap(jax.grad(of_row, argnums=(0, 1)), in_axes=(None, 0, 0))
        d_head, d_features = rows(params["head"], seen.features, inputs)
        d_memory, _ = seen.pullback(d_features, rows=True)
        c = self.config
        z = accumulate(z, {"memory": d_memory, "head": d_head}, c.gamma * c.lam)
        rate = bounded_rate(z, delta, lr=c.lr, kappa=self.kappa)
        return step(params, z, rate * delta), Memory(seen.trace, cleared(z, ended)), rate
