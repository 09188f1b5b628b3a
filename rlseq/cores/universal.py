"""Weight-tied depth with soft halting around any core (Dehghani et al. 1807.03819).

The loop of Universal Transformers with the halting distribution of PonderNet (Banino et al.
2107.05407, section 2.2).
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from rlseq import registry
from rlseq.cores.layer import layer_class
from rlseq.cores.options import Dtype, Features, Layers, MatmulDtype
from rlseq.fields import OneOf
from rlseq.nn.projection import dense
from rlseq.types import Carry


def halting_weights(p: Array) -> Array:
    """p[n] prod_{m<n} (1 - p[m]) for halting probabilities p [depth, ...]; the last takes the rest.

    They sum to one over the depth.
    """
    going = jnp.cumprod(1 - p[:-1], axis=0)
    going = jnp.concatenate([jnp.ones_like(p[:1]), going])
    return going * jnp.concatenate([p[:-1], jnp.ones_like(p[:1])])


def inner_cores() -> list[str]:
    """What may be repeated: every core but this one."""
    return [name for name in registry.names("core") if name != "universal"]


Inner = Annotated[str, OneOf(inner_cores)]


class Universal(nn.Module):
    """s[n] = inner(s[n-1]) from s[0] = x with one set of weights, y = sum_n w[n] s[n].

    w are the `halting_weights` of p[n] = sigma(u s[n] + b). Every depth is computed always, so
    steps and sequences agree; each has a carry of its own, and the carry is their tuple.
    """

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1, "residual": True}

    features: Features
    inner: Inner = "gru"  # a core with its own defaults
    depth: Layers = 3  # ours
    dtype: Dtype = "float32"
    matmul_dtype: MatmulDtype = ""  # of the halting layer and the inner core; "" is `dtype`

    def setup(self) -> None:
        self.layer = self._layer()
        self.halt = dense(1, dtype=self.dtype, matmul_dtype=self.matmul_dtype)

    def init_carry(self, batch: int) -> Carry:
        """The inner core's fresh carry, once a depth."""
        return tuple(self._layer().init_carry(batch) for _ in range(self.depth))

    def __call__(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [T, B, features], reset bool [T, B] -> (carry, y [T, B, features])."""
        return self._through(carry, x, reset, self.layer)

    def step(self, carry: Carry, x: Array, reset: Array) -> tuple[Carry, Array]:
        """x [B, features], reset bool [B] -> (carry, y [B, features])."""
        return self._through(carry, x, reset, self.layer.step)

    def _through(self, carry: Carry, x: Array, reset: Array, run: Any) -> tuple[Carry, Array]:
        if x.shape[-1] != self.features:
            raise ValueError(
                f"universal needs an input of {self.features} features, got {x.shape[-1]}"
            )
        carries, states = [], []
        for one in carry:
            one, x = run(one, x, reset)
            carries.append(one)
            states.append(x)
        stacked = jnp.stack(states)
        weights = halting_weights(nn.sigmoid(self.halt(stacked)))
        return tuple(carries), (weights * stacked).sum(0)

    def _layer(self) -> Any:
        # No parent: also `init_carry` makes one, outside of any parameters.
        layer = layer_class(self.inner)
        options = {"features": self.features, "dtype": self.dtype, "parent": None}
        if "matmul_dtype" in layer.__dataclass_fields__:
            options["matmul_dtype"] = self.matmul_dtype
        return layer(**options)
