"""Time memorax's cells, forward and backward: `python memorax_peer.py CHECKOUT [CELL ...]`.

CHECKOUT is a clone of memory-rl/memorax. Run it in an environment of its own with jax, flax, gymnax
and flashbax: only the sequence models are imported, which need no more of memorax's dependencies
and run under Python 3.11 too. Sizes are those of `rlseq bench cores`: T = 1024, B = 16, 128
features in and out, one layer, gradients by parameters and input. Where a cell has more sizes than
these, they are its own defaults, or written below; `mamba` is of the form of Mamba-2. Prints one
JSON line a cell: milliseconds (median), temporary megabytes, compile seconds.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
import types
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp

LENGTH, BATCH, WIDTH, RESET_RATE = 1024, 16, 128, 0.02


def sequence_models(checkout: Path) -> types.ModuleType:
    """memorax's sequence models, without running the packages above them."""
    for name in ("memorax", "memorax.networks"):
        package = types.ModuleType(name)
        package.__path__ = [str(checkout.joinpath(*name.split(".")))]
        sys.modules[name] = package
    return importlib.import_module("memorax.networks.sequence_models")


def cells(models: types.ModuleType) -> dict:
    """Name -> a function that makes the model."""
    scan, loop = models.Memoroid, models.RNN
    return {
        "ffm": lambda: scan(models.FFMCell(WIDTH, memory_size=32, context_size=4)),
        "gru": lambda: loop(nn.GRUCell(WIDTH)),
        "linear_attention": lambda: scan(
            models.LinearAttentionCell(WIDTH, head_dim=32, num_heads=4)
        ),
        "lru": lambda: scan(models.LRUCell(WIDTH, hidden_dim=WIDTH)),
        "lstm": lambda: loop(nn.OptimizedLSTMCell(WIDTH)),
        "mamba": lambda: scan(models.MambaCell(WIDTH)),
        "mingru": lambda: scan(models.MinGRUCell(WIDTH)),
        "mlstm": lambda: scan(models.mLSTMCell(WIDTH, hidden_dim=WIDTH)),
        "rtu": lambda: loop(models.RTUCell(WIDTH, hidden_dim=WIDTH)),
        "s5": lambda: scan(models.S5Cell(WIDTH, state_size=WIDTH)),
        "self_attention": lambda: models.SelfAttention(WIDTH, num_heads=4, context_length=LENGTH),
        "slstm": lambda: loop(models.sLSTMCell(WIDTH, hidden_dim=WIDTH)),
    }


def measure(model: nn.Module, length: int, repeats: int) -> dict:
    """Milliseconds, temporary megabytes and compile seconds of one gradient; batch-major here."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (BATCH, length, WIDTH))
    done = jax.random.bernoulli(keys[1], RESET_RATE, (BATCH, length))
    carry = model.initialize_carry(keys[2], (BATCH, WIDTH))
    params = jax.jit(model.init)(keys[2], x[:, :2], done[:, :2], carry)

    def loss(params, x):
        return jnp.square(model.apply(params, x, done, carry)[1]).mean()

    start = time.perf_counter()
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(params, x).compile()
    compiling = time.perf_counter() - start
    times = []
    for _ in range(repeats + 1):  # the first is not counted
        start = time.perf_counter()
        jax.block_until_ready(compiled(params, x))
        times.append(time.perf_counter() - start)
    return {
        "ms": 1e3 * statistics.median(times[1:]),
        "temporary MB": compiled.memory_analysis().temp_size_in_bytes / 1e6,
        "compile s": compiling,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("cells", nargs="*", metavar="CELL", help="default: all")
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    known = cells(sequence_models(options.checkout))
    if unknown := set(options.cells) - set(known):
        parser.error(f"no cell {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in options.cells or known:
        row = {
            "cell": name,
            "T": options.length,
            "B": BATCH,
            "width": WIDTH,
            "jax": jax.__version__,
        }
        try:
            row |= measure(known[name](), options.length, options.repeats)
        except Exception as error:  # one cell that fails must not hide the others
            row["error"] = f"{type(error).__name__}: {error}"[:300]
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
