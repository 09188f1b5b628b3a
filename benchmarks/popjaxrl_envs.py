"""Time popjaxrl's environments beside ours: `python popjaxrl_envs.py CHECKOUT OUT [NAME ...]`.

CHECKOUT is a clone of luchris429/popjaxrl, whose old imports `popjaxrl_peer` puts back. Both run
`--envs` copies under random actions in one jitted loop that carries whole time steps, one right
after the other, as `rlseq bench envs` does. OUT gets a JSON line an id; what it holds is not run
again. Autoencode, CountRecall, MineSweeper and RepeatPrevious are other tasks there than in popgym
(observations missing, fewer actions, other ends): their rows compare speed alone.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
from jax import lax
from popjaxrl_peer import put_back_old_names

import rlseq
from rlseq.analysis.bench.envs import _raw
from rlseq.envs.popgym import DIFFICULTIES, FAMILY

FAMILIES = (
    "Autoencode", "Battleship", "StatelessCartPole", "NoisyStatelessCartPole", "Concentration",
    "CountRecall", "HigherLower", "Minesweeper", "MultiArmedBandit", "StatelessPendulum",
    "NoisyStatelessPendulum", "RepeatFirst", "RepeatPrevious",
)  # fmt: skip
AT_LEAST = 0.3  # seconds of a measured run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout")
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", help="popjaxrl's; all without any")
    parser.add_argument("--envs", type=int, default=4096)
    options = parser.parse_args()
    put_back_old_names()
    sys.path.insert(0, options.checkout)
    make = importlib.import_module("envs").make
    held = options.out.read_text() if options.out.exists() else ""
    done = {json.loads(line)["popjaxrl name"] for line in held.splitlines()}
    for name in options.names or [f + d for f in FAMILIES for d in DIFFICULTIES]:
        if name in done:
            continue
        ours = f"popgym:{FAMILY.aliases.get(name, name)}"
        row: dict[str, Any] = {"environment": ours, "popjaxrl name": name, "envs": options.envs}
        row["popjaxrl"] = rate(*make(name), options.envs)
        row["rlseq"] = _raw(rlseq.make_env(ours, options.envs), AT_LEAST)
        row["times popjaxrl"] = row["rlseq"] / row["popjaxrl"]
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def rate(env: Any, params: Any, copies: int) -> float:
    """Steps per second of all copies together: the median of three runs of at least AT_LEAST."""
    reset = jax.jit(jax.vmap(env.reset, in_axes=(0, None)))
    obs, state = reset(jax.random.split(jax.random.key(0), copies), params)
    run = jax.jit(partial(advance, env, params, copies))
    start, steps = first(env, params, obs, state), 64
    jax.block_until_ready(run(start, jax.random.key(1), steps))
    began = time.perf_counter()
    jax.block_until_ready(run(start, jax.random.key(1), steps))
    once = time.perf_counter() - began
    steps *= max(1, round(AT_LEAST / once))
    times = []
    for _ in range(3):
        began = time.perf_counter()
        jax.block_until_ready(run(start, jax.random.key(1), steps))
        times.append(time.perf_counter() - began)
    return copies * steps / statistics.median(times)


def first(env: Any, params: Any, obs: Any, state: Any) -> Any:
    """(obs, state, reward, done) in the dtypes that a step gives them."""
    copies = jax.tree.leaves(obs)[0].shape[0]
    keys = jax.random.split(jax.random.key(2), copies)
    actions = jax.vmap(env.action_space(params).sample)(keys)
    step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))
    return step(keys, state, actions, params)[:4]


def advance(env: Any, params: Any, copies: int, start: Any, key: jax.Array, steps: int) -> Any:
    """`steps` random steps of all copies."""
    sample = jax.vmap(env.action_space(params).sample)

    def body(index: jax.Array, carried: Any) -> Any:
        act_key, env_key = jax.random.split(jax.random.fold_in(key, index))
        actions = sample(jax.random.split(act_key, copies))
        keys = jax.random.split(env_key, copies)
        step = jax.vmap(env.step, in_axes=(0, 0, 0, None))
        return step(keys, carried[1], actions, params)[:4]

    return lax.fori_loop(0, steps, body, start)


if __name__ == "__main__":
    main()
