"""Evaluate trained policies: play episodes of a checkpoint and add them to `episodes.jsonl`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.agents.types import AgentWithDataScores
from rlseq.config import Config
from rlseq.errors import InputError
from rlseq.schema import LAST_SEED
from rlseq.train import build, checkpoint, episodes, files, host_env, logging, models, runs
from rlseq.train.episodes import GREEDY, SAMPLED, Protocol
from rlseq.train.play import Episodes, Sink, evaluate, longest_episode
from rlseq.train.stop import Stop, Watch
from rlseq.train.summary import summary
from rlseq.types import DataScores, Params


def evaluate_run(
    path: str | Path,
    *,
    count: int = 128,
    greedy: bool = False,
    seed_index: int | None = None,
    step: str | None = None,
    max_steps: int | None = None,
    eval_seed: int | None = None,
    out: Path | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> str:
    """Play a run's checkpoint, add the episodes to its `episodes.jsonl`; the summary.

    A read-only run gets a summary too, and a warning in the log.

    Args:
        path: a run folder or a model folder.
        count: episodes of each seed; as many in every environment slot, so perhaps a few more.
        greedy: the likeliest action instead of a sample.
        seed_index: one of the run's seeds; all without it.
        step: of the checkpoint, or "best"; the newest without it.
        max_steps: as in `protocol_of`.
        eval_seed: seed of the episodes; without it one that is new in this folder.
        out: a new file for the episodes, instead of the run's.
        say: is called with a line of progress from time to time.

    Raises InputError as `load_policy`, for an eval_seed that no key takes and an `out` that exists,
    Interrupted after SIGINT or SIGTERM, with the folder as it was, and CannotWrite for `out`.
    """
    check_options(out, eval_seed)
    run = models.open_trained(path)
    job, params, at = load_params(run, checkpoint_step(run, step))
    indices = seed_indices(job, seed_index)
    protocol = protocol_of(job, at, count, greedy=greedy, max_steps=max_steps)
    before = logging.read(run.folder / logging.EPISODES)
    eval_seed = episodes.next_eval_seed(before) if eval_seed is None else eval_seed
    say(_opening(protocol, eval_seed))
    with Stop() as stop:
        watch = Watch(stop, say, f"nothing was added to {run.folder}")
        played = play_job(job, params, protocol, indices, count, eval_seed=eval_seed, watch=watch)
    seeds = [job.config.seed + index for index in indices]
    reference = job.agent.env.spec.reference
    number = episodes.next_number(before)
    rows = episodes.rows_of(number, protocol, eval_seed, seeds, played, reference)
    score = summary(played, seeds, reference, data_scores(job))
    if out is not None or episodes.is_new(before, rows):
        logging.keep(rows, run.folder, out, score)
    else:
        say(f"{run.folder / logging.EPISODES} has these episodes already, so none is added")
    return score


def check_options(out: Path | None, eval_seed: int | None) -> None:
    """Raise InputError for a file that exists and a seed that no key takes."""
    if out is not None:
        files.check_new(out)
    if eval_seed is not None and not 0 <= eval_seed <= LAST_SEED:
        raise InputError(f"eval_seed must lie in 0 .. {LAST_SEED}, got {eval_seed}")


def seed_indices(job: build.Job, seed_index: int | None) -> list[int]:
    """One of the run's seeds, or all of them. Raises InputError for one that it has not."""
    if seed_index is None:
        return list(range(job.config.seeds))
    check_seed(job, seed_index)
    return [seed_index]


def load_params(run: runs.Run, step: int | None = None) -> tuple[build.Job, Params, int]:
    """(job, parameters of every seed [S, ...], step) of a checkpoint, or of a model, which has one
    seed and one step. Raises InputError."""
    if models.is_model(run.folder):
        return models.load(run, step)
    one_device = dataclasses.replace(run.config.run, mesh=None)
    job = build.build(dataclasses.replace(run.config, run=one_device))
    like = host_env.stored(build.abstract_state(job))
    step, state = checkpoint.restore(run.folder / "checkpoints", like, step)
    return job, jax.vmap(job.agent.policy_params)(state), step


def check_seed(job: build.Job, seed: int) -> None:
    """Raise InputError unless the run has a seed of this index."""
    if not 0 <= seed < job.config.seeds:
        raise InputError(f"the run has the seed indices 0 to {job.config.seeds - 1}, got {seed}")


def protocol_of(
    job: build.Job, step: int, count: int, *, greedy: bool = False, max_steps: int | None = None
) -> Protocol:
    """The protocol of about `count` episodes of the checkpoint of `step`.

    An episode is cut after `max_steps`, by default `longest_episode(env)`.
    """
    limit = longest_episode(job.agent.env) if max_steps is None else max_steps
    slots = min(job.config.env.num_envs, count)
    return Protocol(step, GREEDY if greedy else SAMPLED, slots, limit)


def play_job(
    job: build.Job,
    params: Params,
    protocol: Protocol,
    indices: list[int],
    count: int,
    *,
    eval_seed: int = 0,
    watch: Callable[[str], None] = lambda progress: None,
    sink: Sink | None = None,
) -> Episodes:
    """About `count` episodes for each seed index, as many in every slot; params are [S, ...].

    `sink` is given every step.
    """
    slots = protocol.num_envs
    env = build.make_env(job.config.env, slots, evaluation=True)
    chosen = jax.tree.map(lambda leaf: leaf[np.array(indices)], params)
    keys = episode_keys(job.config, eval_seed)
    return evaluate(
        job.agent,
        chosen,
        env,
        keys[np.array(indices)],
        -(-count // slots),
        greedy=protocol.mode == GREEDY,
        max_steps=protocol.max_steps,
        watch=watch,
        sink=sink,
    )


def episode_keys(config: Config, eval_seed: int = 0) -> jax.Array:
    """One key a seed of a run, [S], for the episodes of an evaluation."""
    # Folded in so that the episodes differ from the first ones of training.
    keys = jax.vmap(jax.random.fold_in, (0, None))(build.seed_keys(config), 0x5EED)
    if eval_seed:
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, jnp.uint32(eval_seed))
    return keys


def data_scores(job: build.Job) -> DataScores | None:
    """The reference scores of the data that the agent learned from, where known."""
    agent = job.agent
    return agent.data_scores() if isinstance(agent, AgentWithDataScores) else None


def checkpoint_step(run: runs.Run, text: str | None) -> int | None:
    """A step from the command line: a number, `best`, or None for the newest."""
    if text == "best":
        return checkpoint.best(run.folder / "checkpoints")
    if text is not None and not text.isdigit():
        raise InputError(f"a checkpoint is a step or 'best', got {text!r}")
    return None if text is None else int(text)


def _opening(protocol: Protocol, eval_seed: int) -> str:
    return (
        f"checkpoint of step {protocol.step:,}, actions {protocol.mode}, {protocol.num_envs} "
        f"environments, evaluation seed {eval_seed}"
    )
