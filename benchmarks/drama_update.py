"""Time world models: `python benchmarks/drama_update.py update|imagine [--core lstm]`.

`update`: loss, gradients and optimiser of a preset on one batch; beside it `drama_torch.py`.
`imagine`: one imagined step with the carried state, against running the core over a context window
again for every step, and the bytes of what is carried. Each prints one JSON line a case.
"""

import argparse
import json
import resource
import statistics
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import spaces

from rlseq.types import Sequences
from rlseq.world_models import make_world_model

FRAME = spaces.Box(0, 255, (64, 64, 3), jnp.uint8)
ACTIONS = 18
CONTEXTS = (8, 64, 512)


def random_batch(length: int, batch: int) -> Sequences:
    """Noise: what is computed does not depend on it."""
    keys = jax.random.split(jax.random.key(0), 3)
    shape, never = (length, batch), jnp.zeros((length, batch), bool)
    obs = jax.random.randint(keys[0], (*shape, 64, 64, 3), 0, 256).astype(jnp.uint8)
    action = jax.random.randint(keys[1], shape, 0, ACTIONS)
    return Sequences(obs, action, jax.random.normal(keys[2], shape), never, never)


def timed(function: Any, *args: Any, repeats: int) -> list[float]:
    """Seconds of each call after one that is thrown away."""
    jax.block_until_ready(function(*args))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        seconds.append(time.perf_counter() - start)
    return seconds


def time_update(preset: str, core: str, length: int, batch: int, repeats: int) -> dict:
    """Seconds of an update and of its compilation."""
    model = make_world_model("drama", FRAME, ACTIONS, core={"name": core}, preset=preset)
    optimiser = model.optimiser()

    @jax.jit
    def update(params, moments, data, key):
        gradient = jax.value_and_grad(model.loss, has_aux=True)
        (loss, _), grads = gradient(params, data, key)
        change, moments = optimiser.update(grads, moments, params)
        return optax.apply_updates(params, change), moments, loss

    params = jax.jit(model.init)(jax.random.key(0))
    args = (params, optimiser.init(params), random_batch(length, batch), jax.random.key(1))
    start = time.perf_counter()
    compiled = update.lower(*args).compile()
    compile_s = time.perf_counter() - start
    seconds = timed(compiled, *args, repeats=repeats)
    return {
        "side": f"rlseq {preset} core={core}",
        "shape": (length, batch),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "update_s": round(statistics.median(seconds), 3),
        "all_s": [round(s, 3) for s in seconds],
        "compile_s": round(compile_s, 1),
        "temporary_mb": round(compiled.memory_analysis().temp_size_in_bytes / 2**20),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def time_imagination(preset: str, core: str, batch: int, repeats: int) -> list[dict]:
    """A step with the state, and the same step by the whole context again, by context length."""
    model = make_world_model("drama", FRAME, ACTIONS, core={"name": core}, preset=preset)
    params = jax.jit(model.init)(jax.random.key(0))
    size = model.latent_size
    rows = []
    for context in CONTEXTS:
        carry = model.init_carry(batch)
        latents = jnp.zeros((context + 1, batch, size)).at[..., ::32].set(1)
        actions, reset = jnp.zeros((context + 1, batch), jnp.int32), jnp.zeros(batch, bool)
        key = jax.random.key(1)
        keep = jax.jit(model.remember, static_argnums=5)
        resets = jnp.zeros((context, batch), bool)
        kept = keep(params, carry, latents[:-1], actions[:-1], resets, context)
        carry = jax.tree.map(lambda leaf: leaf[0], kept)
        step = partial(jax.jit(model.imagine_step), params)
        stepped = timed(step, carry, latents[0], actions[0], reset, key, repeats=repeats)

        @jax.jit
        def again(params, latents, actions, resets, key):
            fresh = model.init_carry(batch)
            args = (latents[:-1], actions[:-1], resets)
            end, hidden = model.network.apply(params, fresh.core, *args, method="through")
            state = fresh._replace(core=end, hidden=hidden[-1])
            return model.imagine_step(params, state, latents[-1], actions[-1], resets[-1], key)

        whole = timed(again, params, latents, actions, resets, key, repeats=repeats)
        rows.append(
            {
                "side": f"rlseq {preset} core={core}",
                "batch": batch,
                "context": context,
                "step_ms": round(1e3 * statistics.median(stepped), 2),
                "window_ms": round(1e3 * statistics.median(whole), 2),
                "carried_bytes_per_row": sum(x.nbytes for x in jax.tree.leaves(carry)) // batch,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["update", "imagine"])
    parser.add_argument("--preset", default="drama_xs")
    parser.add_argument("--core", nargs="+", default=["lstm", "mamba2"])
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for core in args.core:
        if args.what == "update":
            shape = (args.length, args.batch)
            print(json.dumps(time_update(args.preset, core, *shape, args.repeats)), flush=True)
        else:
            for row in time_imagination(args.preset, core, args.batch, args.repeats):
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
