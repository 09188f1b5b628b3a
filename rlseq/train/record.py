"""What a trained policy does, recorded to learn from."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlseq.data.npz import save_npz
from rlseq.data.recording import Recording, returns_to_go
from rlseq.envs.spaces import describe
from rlseq.train import build, evaluate, files, models
from rlseq.train.play import Steps
from rlseq.train.stop import Stop, Watch


def record_run(
    path: str | Path,
    out: Path,
    *,
    count: int = 128,
    greedy: bool = False,
    seed_index: int | None = None,
    step: str | None = None,
    max_steps: int | None = None,
    eval_seed: int = 1,
    say: Callable[[str], object] = lambda line: None,
) -> str:
    """Play a run's checkpoint and write the episodes to a new file; a line that describes it.

    Args:
        path: a run folder or a model folder.
        out: a new `.npz` file, in the format of `rlseq.data.npz`.
        count, greedy, seed_index, step, max_steps, eval_seed: as in `evaluate.evaluate_run`.
        say: is called with a line of progress from time to time.

    Raises InputError as `evaluate_run`, Interrupted after SIGINT or SIGTERM, and CannotWrite; no
    file is left then.
    """
    evaluate.check_options(out, eval_seed)
    run = models.open_trained(path)
    job, params, at = evaluate.load_params(run, evaluate.checkpoint_step(run, step))
    indices = evaluate.seed_indices(job, seed_index)
    protocol = evaluate.protocol_of(job, at, count, greedy=greedy, max_steps=max_steps)
    chunks: list[Steps] = []
    with Stop() as stop:
        watch = Watch(stop, say, f"{out} is not written")
        evaluate.play_job(
            job, params, protocol, indices, count,
            eval_seed=eval_seed, watch=watch, sink=chunks.append,
        )  # fmt: skip
    about = _about(job) | {"episodes": protocol._asdict() | {"eval_seed": eval_seed}}
    recording = joined(chunks, -(-count // protocol.num_envs), about)
    with files.replacing(out) as file:
        save_npz(recording, file)
    first = recording.reset
    returns = returns_to_go(recording.reward, first)[first]
    return (
        f"{out}: {first.sum():,} episodes, {recording.steps:,} steps, mean return "
        f"{returns.mean():.4g}, best {returns.max():.4g}"
    )


def joined(chunks: list[Steps], episodes: int, about: dict[str, Any]) -> Recording:
    """The first `episodes` episodes of every slot, one after the other."""
    steps = jax.tree.map(lambda *parts: _by_slot(np.concatenate(parts)), *chunks)
    kept = (steps.episode >= 0) & (steps.episode < episodes)
    steps = jax.tree.map(lambda x: x[kept], steps)
    return Recording(
        steps.obs, steps.action, steps.reward, steps.terminated, steps.truncated, about
    )


def _by_slot(x: np.ndarray) -> np.ndarray:
    """[T, S, E, ...] as [S x E x T, ...]."""
    return np.moveaxis(x, 0, 2).reshape(-1, *x.shape[3:])


def _about(job: build.Job) -> dict[str, Any]:
    spec, config = job.agent.env.spec, job.config
    return {
        "env": dataclasses.asdict(config.env),
        "obs_space": describe(build.make_env(config.env, 1).spec.obs_space),
        "action_space": describe(spec.action_space),
        "agent": config.agent["name"],
        "core": config.core["name"],
        "seed": config.seed,
        "seeds": config.seeds,
    }
