"""Atari steps per second: our jitted rollout beside loops in Python over the same games.

All candidates play one game with the `atari100k` preset, in one process and in turn, so that
other load slows them alike. A ratio is the median over rounds of a candidate's rate over that of
ALE's own loop in the same round; with a policy, of that loop with the policy.
"""

import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from rlseq.analysis.bench.atari_peer import make_peer
from rlseq.analysis.bench.atari_policy import init_policy, sample
from rlseq.envs import make_env
from rlseq.envs.atari import GAMES, snake_case
from rlseq.envs.atari.emulator import open_games
from rlseq.envs.atari.presets import ATARI100K
from rlseq.errors import unknown_name
from rlseq.train.files import write_atomic
from rlseq.train.runs import environment_info

SIZES, QUICK = (1, 8, 32), (1, 2)
STEPS = 2500  # of all games together, in one round of one candidate
ROUNDS = 9
ALE, POLICY_LOOP = "ALE's loop", "ALE's loop, policy"
# A candidate takes a number of steps and returns when they are done.
Rival = Callable[[int], None]


def run(
    folder: Path,
    ids: Sequence[str] = (),
    *,
    quick: bool = False,
    show: Callable[[str], object] = print,
) -> list[dict[str, Any]]:
    """Measure and add a run to atari.json in `folder`, which is created if it is missing.

    Args:
        folder: where the file lies.
        ids: games as "atari:Pong"; Breakout without any.
        quick: few games and short rounds, to check that everything runs.
        show: is called with a line for each row.

    Returns the rows: a game, a number of environments and a candidate each, with steps per second
    (of all environments, median and best round) and the ratio. Raises InputError for ids that are
    no Atari games.
    """
    games = [_game(name) for name in ids or ("atari:Breakout",)]
    about = dict(line.split(": ", 1) for line in environment_info().splitlines())
    rows = []
    for game in games:
        for size in QUICK if quick else SIZES:
            for row in _measured(game, size, quick):
                rows.append(row)
                rate = f"{row['steps/s']:,.0f} steps/s, ratio {row['ratio']:.3f}"
                show(f"{game}, {size} envs, {row['rival']}: {rate}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "atari.json"
    held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    held.append({"about": about, "quick": quick, "rows": rows})
    write_atomic(path, json.dumps(held, indent=1) + "\n")
    return rows


def _game(env_id: str) -> str:
    """The usual name of a game. Raises InputError."""
    known = {f"atari:{name}": game for game in GAMES for name in (game, snake_case(game))}
    if env_id not in known:
        raise unknown_name("atari environment", env_id, known)
    return known[env_id]


def _measured(game: str, size: int, quick: bool) -> list[dict[str, Any]]:
    rounds, steps = (2, 10) if quick else (ROUNDS, max(40, STEPS // size))
    with ExitStack() as stack:
        rivals = dict(_rivals(game, size, stack))
        for rival in rivals.values():
            rival(steps)  # compiles, and leaves the identical starts behind
        rates: dict[str, list[float]] = {name: [] for name in rivals}
        for turn in range(rounds):
            names = list(rivals)
            for name in names if turn % 2 == 0 else names[::-1]:
                began = time.perf_counter()
                rivals[name](steps)
                rates[name].append(size * steps / (time.perf_counter() - began))
    return [_row(game, size, name, rates) for name in rivals]


def _row(game: str, size: int, name: str, rates: dict[str, list[float]]) -> dict[str, Any]:
    against = rates[POLICY_LOOP if name.endswith("policy") else ALE]
    ratio = statistics.median(a / b for a, b in zip(rates[name], against, strict=True))
    median, best = statistics.median(rates[name]), max(rates[name])
    return {
        "game": game,
        "envs": size,
        "rival": name,
        "steps/s": median,
        "best": best,
        "ratio": ratio,
        "best ratio": best / max(against),
    }


def _rivals(game: str, size: int, stack: ExitStack) -> Iterator[tuple[str, Rival]]:
    yield ALE, _loop(open_games(snake_case(game), size, ATARI100K, 0), size)
    yield "rlseq, jitted", _jitted(game, size, policy=False)
    makers = [functools.partial(make_peer, game, ATARI100K.size, ATARI100K.noop_max)] * size
    for vector in (SyncVectorEnv(makers), AsyncVectorEnv(makers, context="spawn")):
        stack.callback(vector.close)
        yield f"gymnasium {type(vector).__name__}", _loop(vector, size)
    yield POLICY_LOOP, _policy_loop(open_games(snake_case(game), size, ATARI100K, 0), size)
    yield "rlseq, jitted, policy", _jitted(game, size, policy=True)


def _loop(env: Any, size: int) -> Rival:
    """Random actions, drawn beforehand."""
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, env.single_action_space.n, (STEPS, size))

    def play(steps: int) -> None:
        for t in range(steps):
            env.step(drawn[t])

    return play


def _policy_loop(env: Any, size: int) -> Rival:
    count = int(env.single_action_space.n)
    params = init_policy(jax.random.key(0), count)
    act = jax.jit(sample)
    keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(1), STEPS)))
    seen, _ = env.reset(seed=0)

    def play(steps: int) -> None:
        nonlocal seen
        for t in range(steps):
            action = act(params, seen[:, 0], jax.random.wrap_key_data(keys[t]))
            seen = env.step(np.asarray(action))[0]

    return play


def _jitted(game: str, size: int, *, policy: bool) -> Rival:
    env: Any = make_env(f"atari:{game}", size)
    params = init_policy(jax.random.key(0), env.num_actions)

    def body(carried: tuple, key: jax.Array) -> tuple:
        state, ts = carried
        if policy:
            action = sample(params, ts.obs, key)
        else:
            action = jax.random.randint(key, (size,), 0, env.num_actions)
        return env.step(state, action, key), ts.reward

    def roll(carried: tuple, key: jax.Array, steps: int) -> tuple:
        carried, rewards = jax.lax.scan(body, carried, jax.random.split(key, steps))
        return carried, rewards.sum()

    rollout = jax.jit(roll, static_argnums=2)
    carried = jax.jit(env.reset)(jax.random.key(0))

    def play(steps: int) -> None:
        nonlocal carried
        carried, _ = jax.block_until_ready(rollout(carried, jax.random.key(2), steps))

    return play
