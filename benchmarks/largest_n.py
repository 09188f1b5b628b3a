"""The largest N of N-parity and N-delayed-match that each core learns: `largest_n.py OUT`.

A supervised probe (Khajehabdollahi et al. 2309.12927) with the single curriculum of
`memory:ParityCurriculum`: random bits in, at each of them the answer about the last N out, N = 2
at first. Where 20 updates in a row, each on fresh bits, give 98 % of the answers right on average,
N is solved and becomes N + 1. The budget is a number of updates, the same for every core; a core
has 64 features and two layers, as `experiment=popgym_ppo` sets layers, and its own defaults
otherwise. Each core is one process; what OUT holds is not run again. OUT/CORE.jsonl keeps N and
the share of right answers of every 20 updates, OUT/README.md the table of all.
"""

import argparse
import json
import multiprocessing
import time
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import rlseq
from rlseq.cores import core_options
from rlseq.envs.memory.curriculum import TASKS, CurriculumEnv

FEATURES, LAYERS, BATCH, LR, TOGETHER = 64, 2, 64, 1e-3, 20
MAX_N, ANSWERS, THRESHOLD = 64, 32, 0.98


class Probe(nn.Module):
    """Bits int32 [T, B] -> logits of the answers [T, B]."""

    core: str

    @nn.compact
    def __call__(self, bits: jax.Array) -> jax.Array:
        layers = {"layers": LAYERS} if "layers" in core_options(self.core) else {}
        core = rlseq.make_core(self.core, features=FEATURES, **layers)
        x = nn.Dense(FEATURES)(jax.nn.one_hot(bits, 2))
        reset = jnp.zeros(bits.shape, bool).at[0].set(True)
        _, y = core(core.init_carry(bits.shape[1]), x, reset)
        return nn.Dense(1)(nn.relu(nn.Dense(FEATURES)(y)))[..., 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("cores", nargs="*", help="all that are registered, if none is given")
    parser.add_argument("--updates", type=int, default=1000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    fresh = multiprocessing.get_context("spawn")
    for core in args.cores or rlseq.core_names():
        if not (args.out / f"{core}.jsonl").exists():
            process = fresh.Process(target=probe, args=(core, args.updates, args.out))
            process.start()
            process.join()
        table(args.out)


def probe(core: str, updates: int, out: Path) -> None:
    """Both tasks; one line a task."""
    rows = [learn(core, task, updates) for task in TASKS]
    lines = [json.dumps(row) for row in rows]
    (out / f"{core}.jsonl").write_text("\n".join(lines) + "\n")
    print(*({key: row[key] for key in row if key != "curve"} for row in rows), flush=True)


def learn(core: str, task: str, updates: int) -> dict[str, Any]:
    """A row: the largest N solved, what it took, and the curve of [N, share right]."""
    env, model, optimiser = CurriculumEnv(task, max_n=MAX_N), Probe(core), optax.adam(LR)
    key = jax.random.key(0)
    params = jax.jit(model.init)(key, jnp.zeros((2, BATCH), jnp.int32))
    state = params, optimiser.init(params)
    advance = jax.jit(partial(train, env, model, optimiser)).lower(state, key, 2).compile()
    start, level, curve = time.perf_counter(), 2, []
    for index in range(updates // TOGETHER):
        state, right = advance(state, jax.random.fold_in(key, index), level)
        curve.append([level, round(float(right), 4)])
        level += curve[-1][1] >= THRESHOLD
        if level > MAX_N:
            break
    return {
        "core": core,
        "task": task,
        **reached(curve),
        "updates": TOGETHER * len(curve),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "seconds": round(time.perf_counter() - start, 1),
        "curve": curve,
    }


def reached(curve: list[list[float]]) -> dict[str, Any]:
    """The last N solved in a curve of [N, share right], 1 where none is, and what it took."""
    solved = [i for i, (_, right) in enumerate(curve) if right >= THRESHOLD]
    largest = curve[solved[-1]][0] if solved else 1
    return {"largest N": largest, "updates to it": TOGETHER * (solved[-1] + 1) if solved else 0}


def train(
    env: CurriculumEnv,
    model: Probe,
    optimiser: optax.GradientTransformation,
    state: Any,
    key: jax.Array,
    n: jax.Array,
) -> tuple[Any, jax.Array]:
    """`TOGETHER` updates at one N: the new state and the share of right answers."""

    def loss(params: Any, bits: jax.Array, answers: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = model.apply(params, bits)[env.max_n - 1 :]
        right = jnp.mean((logits > 0) == (answers == 1), dtype=jnp.float32)
        losses = optax.sigmoid_binary_cross_entropy(logits, answers.astype(jnp.float32))
        return losses.mean(), right

    def update(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        params, opt = state
        bits, answers = stream(env, key, n)
        gradient, right = jax.grad(loss, has_aux=True)(params, bits, answers)
        step, opt = optimiser.update(gradient, opt)
        return (optax.apply_updates(params, step), opt), right

    state, right = jax.lax.scan(update, state, jax.random.split(key, TOGETHER))
    return state, right.mean()


def stream(env: CurriculumEnv, key: jax.Array, n: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Bits int32 [T, B] and the answers about the last n of them from step max_n - 1 on."""
    shape = (BATCH, env.max_n - 1 + ANSWERS)
    bits = jax.random.bernoulli(key, 0.5, shape).astype(jnp.int32)
    answers = jax.vmap(env.right_answers)(bits)[:, n - 2]
    return bits.T, answers.T[env.max_n - 1 :]


def table(out: Path) -> None:
    """README.md from all rows, each cut to the number of updates that all of them had."""
    found = [json.loads(line) for path in sorted(out.glob("*.jsonl")) for line in path.open()]
    budget = min((row["updates"] for row in found if row["largest N"] < MAX_N), default=0)
    columns = "core", "task", "largest N", "updates to it", "parameters"
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in found:
        row |= reached(row["curve"][: budget // TOGETHER])
        lines.append("| " + " | ".join(str(row[column]) for column in columns) + " |")
    missing = sorted(set(rlseq.core_names()) - {row["core"] for row in found})
    lines += ["", f"Not run yet: {', '.join(missing)}."] if missing else []
    (out / "README.md").write_text(HEAD.format(budget=budget) + "\n".join(lines) + "\n" + NOTE)


HEAD = """# The largest N that each core learns

`python benchmarks/largest_n.py results/parity --updates {budget}`: N-parity and N-delayed-match,
a supervised probe with the single curriculum (Khajehabdollahi et al. 2309.12927). N = 2 at first;
where 20 updates on fresh bits give 98 % of the answers right, it is solved and N grows by one.
The budget of every core is {budget} updates, of 64 sequences of 95 bits each, by Adam with a
learning rate of 1e-3: small, so N is what a core learns quickly, not what it can learn.
A core has 64 features, two layers and its own defaults otherwise; seed 0.

"""
NOTE = """
N = 1 stands for "not even 2", 64 is the largest there is. The raw curves, N and the share of right
answers of every 20 updates, are in CORE.jsonl; where a core ran for longer than the budget, the
table leaves out the rest. Seconds there were taken beside other processes, some with pauses.
"""


if __name__ == "__main__":
    main()
