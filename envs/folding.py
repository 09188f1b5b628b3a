"""One call for all members of a vmap, for functions that cannot be vmapped themselves."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def folding(function: Any) -> Any:
    """`function` of arrays [R, ...] whose vmap over M members is one call with M * R rows."""
    folded = custom_vmap(function)

    @folded.def_vmap
    def rule(members: int, batched: list[bool], *args: jax.Array) -> tuple[Any, Any]:
        full = [
            x if mapped else jnp.broadcast_to(x, (members, *x.shape))
            for x, mapped in zip(args, batched, strict=True)
        ]
        out = folding(function)(*(x.reshape(-1, *x.shape[2:]) for x in full))
        split = jax.tree.map(lambda x: x.reshape(members, -1, *x.shape[1:]), out)
        return split, jax.tree.map(lambda _: True, out)

    return folded
