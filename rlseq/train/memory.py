"""What states take, and what devices have."""

import math
import os

import jax

from rlseq.errors import InputError
from rlseq.train import leaves
from rlseq.types import PyTree


def state_bytes(state: PyTree) -> int:
    """How much a state, real or abstract, takes."""
    bare = jax.eval_shape(lambda tree: jax.tree.map(_without_type, tree), state)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(bare))


def _without_type(leaf: jax.Array) -> jax.Array:
    return jax.random.key_data(leaf) if leaves.is_key(leaf) else leaf


def compiled_bytes(compiled: jax.stages.Compiled) -> int | None:
    """Arguments and temporaries of a program; None where XLA does not say."""
    used = compiled.memory_analysis()
    return None if used is None else used.temp_size_in_bytes + used.argument_size_in_bytes


def device_memory() -> int:
    """Bytes of the first device; of the machine where it is a CPU."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if limit is None else limit


def check(state: PyTree) -> None:
    """Raise InputError for a state that no device here could hold; nothing is allocated."""
    limit = device_memory()
    on_cpus = jax.default_backend() == "cpu"
    total = limit * (jax.process_count() if on_cpus else jax.device_count())
    if (size := state_bytes(state)) > total:
        parts = state._asdict()
        name, most = max(((k, state_bytes(v)) for k, v in parts.items()), key=lambda x: x[1])
        raise InputError(
            f"the state of all seeds takes {size / 1e9:,.1f} GB, of which {name} "
            f"{most / 1e9:,.1f}, and the memory here is {total / 1e9:,.1f} GB"
        )
