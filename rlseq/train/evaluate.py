"""Playing a trained policy: fixed numbers of episodes, and policies for other people's code."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rlseq.errors import InputError
from rlseq.train import build, checkpoint, logging, outside, runs
from rlseq.types import Agent, Carry, Params, PyTree, Reference, TimeStep, VecEnv

_CHUNK = 64  # environment steps between two looks of the host


class Episodes(NamedTuple):
    """Results of every seed, environment slot and episode, NumPy [S, E, K]."""

    returns: np.ndarray  # float32
    lengths: np.ndarray  # int32


class _Play(NamedTuple):
    env_state: Any
    timestep: TimeStep
    carry: Carry
    key: Array
    score: Array  # [E] return of the running episode
    length: Array  # [E]
    count: Array  # [E] episodes ended
    returns: Array  # [E, K]
    lengths: Array  # [E, K]


def evaluate(
    agent: Agent,
    params: Params,
    env: VecEnv,
    keys: Array,
    episodes: int,
    *,
    greedy: bool = False,
) -> Episodes:
    """The first `episodes` episodes of every environment slot, from fresh environments.

    Never the first to finish over all slots: that would favour short episodes.

    Args:
        agent: gives `act` and `init_carry`.
        params: of every seed, leaves [S, ...].
        env: E fresh environments.
        keys: one typed key a seed, [S].
        episodes: K, per slot.
        greedy: the likeliest action instead of a sample.
    """
    if episodes < 1:
        raise InputError(f"episodes must be at least 1, got {episodes}")
    play = jax.jit(jax.vmap(partial(_start, agent, env, episodes)))(keys)
    advance = jax.jit(jax.vmap(partial(_advance, agent, env, greedy)), donate_argnums=1)
    while (jax.device_get(play.count) < episodes).any():
        play = advance(params, play)
    return Episodes(*jax.device_get((play.returns, play.lengths)))


class Policy:
    """A trained policy of one seed: normalisers and preprocessing are inside, calls are jitted."""

    def __init__(self, agent: Agent, params: Params):
        self.agent = agent
        self.params = params
        self._act = jax.jit(agent.act, static_argnames="greedy")

    def init_carry(self, batch: int = 1) -> Carry:
        """The memory of `batch` fresh episodes."""
        return self.agent.init_carry(batch)

    def __call__(
        self, carry: Carry, obs: PyTree, reset: Array, key: Array | None = None
    ) -> tuple[Carry, PyTree]:
        """(carry, actions [B]) for obs [B, ...] and reset bool [B]; greedy without a key."""
        greedy = key is None
        key = jax.random.key(0) if key is None else key
        return self._act(self.params, carry, obs, jnp.asarray(reset, bool), key, greedy=greedy)


def load_policy(run: str | Path, *, seed: int = 0, checkpoint: int | None = None) -> Policy:
    """The policy of a run folder.

    Args:
        run: the folder.
        seed: which of the run's seeds, counted from 0.
        checkpoint: its step; the newest without it.

    Raises InputError for a folder that is no run and for a seed or checkpoint it does not have.
    """
    job, params, _ = load_params(runs.open_run(run), checkpoint)
    check_seed(job, seed)
    return Policy(job.agent, jax.tree.map(lambda leaf: leaf[seed], params))


def evaluate_run(
    path: str | Path,
    *,
    episodes: int = 128,
    greedy: bool = False,
    seed_index: int | None = None,
    step: str | None = None,
) -> str:
    """Play a run's checkpoint, add the episodes to its `episodes.jsonl`; the summary line.

    Raises InputError as `load_policy`.
    """
    run = runs.open_run(path)
    job, params, at = load_params(run, checkpoint_step(run, step))
    if seed_index is not None:
        check_seed(job, seed_index)
    seeds = list(range(job.config.seeds)) if seed_index is None else [seed_index]
    played = play_job(job, params, seeds, episodes, greedy=greedy)
    rows = episode_rows(job, seeds, at, played, greedy=greedy)
    logging.append(run.folder / logging.EPISODES, rows)
    return summary(played, job.agent.env.spec.reference)


def export_run(path: str | Path, out: Path, *, step: str | None = None) -> tuple[Path, Path]:
    """Write a run's weights, axis 0 the seeds: (.npz, .json). Raises InputError."""
    if out.suffix != ".npz":
        raise InputError(f"the weights go to a file that ends in .npz, got {str(out)!r}")
    run = runs.open_run(path)
    _, params, at = load_params(run, checkpoint_step(run, step))
    about = {"step": at, "first_axis": "seed", "config": dataclasses.asdict(run.config)}
    checkpoint.export(out, params, about)
    return out, out.with_suffix(".json")


def load_params(run: runs.Run, step: int | None = None) -> tuple[build.Job, Params, int]:
    """(job, parameters of every seed [S, ...], step) of a checkpoint. Raises InputError."""
    job = build.build(run.config)
    like = outside.stored(build.abstract_state(job))
    step, state = checkpoint.restore(run.folder / "checkpoints", like, step)
    return job, jax.vmap(job.agent.policy_params)(state), step


def check_seed(job: build.Job, seed: int) -> None:
    """Raise InputError unless the run has a seed of this index."""
    if not 0 <= seed < job.config.seeds:
        raise InputError(f"the run has the seed indices 0 to {job.config.seeds - 1}, got {seed}")


def play_job(
    job: build.Job, params: Params, seeds: list[int], episodes: int, *, greedy: bool = False
) -> Episodes:
    """About `episodes` episodes for each seed index, as many in every slot; params are [S, ...]."""
    slots = min(job.config.env.num_envs, episodes)
    env = build.make_env(job.config.env, slots, evaluation=True)
    chosen = jax.tree.map(lambda leaf: leaf[np.array(seeds)], params)
    # Folded in so that evaluation sees other episodes than training began with.
    keys = jax.vmap(jax.random.fold_in, (0, None))(build.seed_keys(job.config), 0x5EED)
    return evaluate(
        job.agent, chosen, env, keys[np.array(seeds)], -(-episodes // slots), greedy=greedy
    )


def episode_rows(
    job: build.Job, seeds: list[int], step: int, played: Episodes, *, greedy: bool = False
) -> list[dict]:
    """One row an episode, as `episodes.jsonl` holds them.

    `human_normalised` is there where the environment knows a human's score.
    """
    reference = job.agent.env.spec.reference
    return [
        {
            "step": step,
            "seed": job.config.seed + seeds[s],
            "slot": slot,
            "episode": k,
            "return": float(value),
            "length": int(played.lengths[s, slot, k]),
            "greedy": greedy,
            **({"human_normalised": float(reference.normalised(value))} if reference else {}),
        }
        for (s, slot, k), value in np.ndenumerate(played.returns)
    ]


def summary(played: Episodes, reference: Reference | None = None) -> str:
    """`mean return X ± Y over N episodes`, where Y is the standard error of the mean.

    With the means of random play and of a human, the human-normalised score is on a line before.
    """
    flat = played.returns.ravel().astype(np.float64)
    error = flat.std(ddof=1) / np.sqrt(flat.size) if flat.size > 1 else 0.0
    line = f"mean return {flat.mean():.4g} ± {error:.2g} over {flat.size} episodes"
    if reference is None:
        return line
    score, (random, human) = reference.normalised(flat.mean()), reference
    return f"human-normalised {score:.3g} (random play {random:g}, human {human:g})\n{line}"


def checkpoint_step(run: runs.Run, text: str | None) -> int | None:
    """A step from the command line: a number, `best`, or None for the newest."""
    if text == "best":
        return checkpoint.best(run.folder / "checkpoints")
    if text is not None and not text.isdigit():
        raise InputError(f"a checkpoint is a step or 'best', got {text!r}")
    return None if text is None else int(text)


def _start(agent: Agent, env: VecEnv, episodes: int, key: Array) -> _Play:
    key, env_key = jax.random.split(key)
    env_state, timestep = env.reset(env_key)
    slots = env.num_envs
    return _Play(
        env_state=env_state,
        timestep=timestep,
        carry=agent.init_carry(slots),
        key=key,
        score=jnp.zeros(slots, jnp.float32),
        length=jnp.zeros(slots, jnp.int32),
        count=jnp.zeros(slots, jnp.int32),
        returns=jnp.zeros((slots, episodes), jnp.float32),
        lengths=jnp.zeros((slots, episodes), jnp.int32),
    )


def _advance(agent: Agent, env: VecEnv, greedy: bool, params: Params, play: _Play) -> _Play:
    body = partial(_step, agent, env, greedy, params)
    return jax.lax.scan(body, play, length=_CHUNK)[0]


def _step(
    agent: Agent, env: VecEnv, greedy: bool, params: Params, play: _Play, _: None
) -> tuple[_Play, None]:
    key, act_key, env_key = jax.random.split(play.key, 3)
    old = play.timestep
    carry, action = agent.act(params, play.carry, old.obs, old.reset, act_key, greedy=greedy)
    env_state, new = env.step(play.env_state, action, env_key)
    # A step that was ignored is none: it has no reward that counts, and takes no time.
    counted = jnp.ones(env.num_envs, bool) if new.valid is None else new.valid
    score = play.score + jnp.where(counted, new.reward, 0)
    length = play.length + counted.astype(jnp.int32)
    ended = new.terminated | new.truncated
    # Episodes beyond the K-th match no column: they are played and forgotten.
    column = jnp.arange(play.returns.shape[1])[None] == play.count[:, None]
    hit = ended[:, None] & column
    return _Play(
        env_state=env_state,
        timestep=new,
        carry=carry,
        key=key,
        score=jnp.where(ended, 0, score),
        length=jnp.where(ended, 0, length),
        count=play.count + ended.astype(jnp.int32),
        returns=jnp.where(hit, score[:, None], play.returns),
        lengths=jnp.where(hit, length[:, None], play.lengths),
    ), None
