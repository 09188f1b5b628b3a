"""The host loop: chunks of training on the device; logs, checkpoints and signals between them."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rlseq.errors import InputError
from rlseq.train import (
    build,
    checkpoint,
    chunk_log,
    episodes,
    evaluate,
    host_env,
    logging,
    parts,
    runs,
    warm_start,
)
from rlseq.train.build import Job
from rlseq.train.console import Reporter
from rlseq.train.episodes import Protocol
from rlseq.train.extras import check_loggers, make_extras
from rlseq.train.files import CannotWrite
from rlseq.train.play import Episodes
from rlseq.train.records import last_logged
from rlseq.train.runs import Run
from rlseq.train.stop import Interrupted, Stop, Watch
from rlseq.train.summary import summary
from rlseq.train.warm_start import WarmStart
from rlseq.types import PyTree


class NonFinite(RuntimeError):
    """The loss is NaN or infinite; the last good checkpoint is kept."""


def train(config: Any) -> Run:
    """Train a new run to its end.

    Raises:
        InputError: anything wrong in the configuration, before a folder is created.
        Interrupted: a signal came, and the state is saved.
        NonFinite: the loss is not finite any more.
        HostEnvError: an environment outside JAX failed or cannot be restored.
        CannotWrite: no space or no permission; the run can be resumed from what was saved.
    """
    check_loggers(config.run.loggers)
    job = build.build(config)
    build.recorded_data(job)  # a fault in it shows before anything is written
    warm = warm_start.load(job)
    if warm is not None:
        reporter = Reporter(0, quiet=config.run.quiet)
        for line in warm.lines():
            reporter.say(line)
    run = runs.create(config, job.agent.env.spec.settings)
    drive(job, run.folder, warm=warm)
    return run


def resume(run: Run, total_steps: int | None = None) -> Run:
    """Continue a run from its newest readable checkpoint; errors as in `train`."""
    done = checkpoint.steps(run.folder / "checkpoints")
    if total_steps is not None and done and total_steps < done[-1]:
        raise InputError(f"total_steps = {total_steps}, but {done[-1]} are done already")
    check_loggers(run.config.run.loggers)
    longer = {} if total_steps is None else {"total_steps": total_steps}
    job = build.build(dataclasses.replace(run.config, **longer))
    build.recorded_data(job)  # a fault in it shows before anything is written
    with runs.locked(run.folder):
        if total_steps is not None:
            run = runs.extend(run, total_steps)
        _train_on(job, run.folder, Stop())
    return run


def drive(
    job: Job, folder: Path, stop: Stop | None = None, *, warm: WarmStart | None = None
) -> PyTree:
    """Train what is left of a job in its run folder; the final state [S, ...].

    `warm` is what a fresh state begins with, read from `init_from` without it.
    """
    with runs.locked(folder):
        return _train_on(job, folder, stop or Stop(), warm)


class Session(NamedTuple):
    """What stays the same while a run trains."""

    job: Job
    folder: Path
    actions: host_env.Actions
    logs: logging.Logs
    reporter: Reporter
    stop: Stop


def _train_on(job: Job, folder: Path, stop: Stop, warm: WarmStart | None = None) -> PyTree:
    with _naming_what_is_saved(job, folder), stop:
        # Asked before rows are cut back to the checkpoint.
        logged = last_logged(folder) if job.config.run.loggers else 0
        actions = host_env.Actions(folder, job.agent.env if job.agent.steps_environment else None)
        state, step = _begin(job, folder, actions, warm)
        settings = job.config.run
        left = -(-max(job.schedule.steps - step, 0) // job.schedule.chunk_steps)
        total = step + left * job.schedule.chunk_steps  # chunks are whole: a resumed run may pass
        reporter = Reporter(total, seeds=job.config.seeds, quiet=settings.quiet)
        extras = make_extras(settings.loggers, folder, step, dataclasses.asdict(job.config))
        logs = logging.Logs(folder, extras, logged)
        session = Session(job, folder, actions, logs, reporter, stop)
        try:
            reporter.say(f"run {folder}" + (f", from step {step:,}" if step else ""))
            state, step = _chunks(session, state, step)
            reporter.close()
            _finish(session, state, step)
        finally:
            reporter.close()
            session.logs.close()
        return state


@contextlib.contextmanager
def _naming_what_is_saved(job: Job, folder: Path) -> Iterator[None]:
    """Add to a CannotWrite what is saved of the run."""
    try:
        yield
    except CannotWrite as error:
        kept = checkpoint.steps(folder / "checkpoints")
        whole = f"is whole up to step {kept[-1]:,}" if kept else "has no checkpoint yet"
        command = f"rlseq resume {runs.in_command(folder, job.config)}"
        message = f"{error}; the run {whole} and continues with: {command}"
        raise CannotWrite(message, error.errno) from error


def _begin(
    job: Job, folder: Path, actions: host_env.Actions, warm: WarmStart | None
) -> tuple[PyTree, int]:
    """The state to go on from: the newest checkpoint, or a fresh one."""
    checkpoints = folder / "checkpoints"
    if not checkpoint.steps(checkpoints):
        logging.truncate_after(folder, 0)
        with _host_errors(job, " in its first reset", folder):
            state = jax.block_until_ready(build.init(job))
        actions.begin(state)
        warm = warm_start.load(job) if warm is None else warm
        if warm is not None:  # saved at once, so that nothing needs the source again
            state = warm_start.begin(job, state, warm, folder)
            checkpoint.save(checkpoints, 0, host_env.without_actions(state))
        return state, 0
    like = build.abstract_state(job)
    step, state = checkpoint.restore(checkpoints, host_env.stored(like))
    logging.truncate_after(folder, step)
    if step < job.schedule.steps:
        with _host_errors(job, " as it was brought back", folder):
            actions.replay(state)
    return build.place(job, host_env.with_actions(state, like)), step


def _chunks(session: Session, state: PyTree, step: int) -> tuple[PyTree, int]:
    """Train to the end of the schedule or a signal, and save: (state, step)."""
    job, folder, reporter, stop = session.job, session.folder, session.reporter, session.stop
    schedule, settings = job.schedule, job.config.run
    if step >= schedule.steps:
        return state, step
    began = time.perf_counter()
    train_chunk = build.compile_chunk(job)
    reporter.say(f"compiled in {time.perf_counter() - began:.1f} s")
    by_part = parts.measure(job, state) if settings.time_parts else None
    seconds, chunk = chunk_log.seconds_so_far(folder), step // schedule.chunk_steps
    score = float("nan")
    while step < schedule.steps and not stop.requested:
        began = time.perf_counter()
        state, metrics = _chunk(session, train_chunk, state, step)
        took = time.perf_counter() - began
        step, chunk, seconds = step + schedule.chunk_steps, chunk + 1, seconds + took
        rate = job.config.seeds * schedule.chunk_steps / took
        rows = chunk_log.rows(job, step, seconds, rate, metrics)
        if by_part is not None:
            rows = [row | by_part.of_chunk(schedule.chunk, took) for row in rows]
        session.logs.metrics(rows)
        check_finite(job, folder, step, metrics)
        score = chunk_log.mean_score(metrics, score)
        reporter.progress(step, rate, score)
        if chunk % settings.checkpoint_every == 0 and step < schedule.steps:
            save(session, step, state, score)
    seconds_saving = save(session, step, state, score)
    reporter.close()
    if stop.requested and step < schedule.steps:
        raise Interrupted(
            f"interrupted at step {step:,}, saved in {seconds_saving:.2f} s; "
            f"continue with: rlseq resume {runs.in_command(folder, job.config)}"
        )
    return state, step


def _chunk(
    session: Session, train_chunk: Any, state: PyTree, step: int
) -> tuple[PyTree, dict[str, np.ndarray]]:
    """The state and metrics after one more chunk; actions are in their file."""
    folder = session.folder
    try:
        with _host_errors(session.job, f" after step {step:,}", folder):
            state, metrics = train_chunk(state)
            metrics = chunk_log.unknown_as_nan(jax.device_get(metrics))
    except KeyboardInterrupt:  # the environment's own, or a second Ctrl-C
        raise Interrupted(
            f"interrupted after step {step:,}, amid a chunk; {_kept(folder)}; "
            f"continue with: rlseq resume {runs.in_command(folder, session.job.config)}"
        ) from None
    session.actions.append(state)
    return state, metrics


def save(session: Session, step: int, state: PyTree, score: float) -> float:
    """Write a checkpoint; the seconds it took."""
    keep = session.job.config.run.keep
    stored = host_env.without_actions(state)
    return checkpoint.save(session.folder / "checkpoints", step, stored, keep=keep, score=score)


def _finish(session: Session, state: PyTree, step: int) -> None:
    """Evaluate once, then print the folder and the next commands."""
    folder, reporter = session.folder, session.reporter
    if not evaluated(session.job, folder, step):
        _evaluate(session, state, step)
    reporter.say(f"done: {step:,} steps, in {folder}")
    run = runs.in_command(folder, session.job.config)
    reporter.say(f"  learning curve   rlseq plot {run}")
    reporter.say(f"  play it          rlseq eval {run}")
    reporter.say(f"  train it longer  rlseq resume {run} --total-steps {2 * step}")


def evaluated(job: Job, folder: Path, step: int) -> bool:
    """Whether every seed has its evaluation after training; later ones do not count."""
    rows = logging.read(folder / logging.EPISODES)
    seeds = range(job.config.seed, job.config.seed + job.config.seeds)
    found = [episodes.own_evaluation(rows, step, seed) for seed in seeds]
    return min(found) >= job.config.run.eval_episodes


def _evaluate(session: Session, state: PyTree, step: int) -> None:
    job, folder, reporter = session.job, session.folder, session.reporter
    count, indices = job.config.run.eval_episodes, list(range(job.config.seeds))
    params = jax.jit(jax.vmap(job.agent.policy_params))(state)
    protocol = evaluate.protocol_of(job, step, count)
    watch = Watch(
        session.stop,
        lambda progress: reporter.say(f"evaluation: {progress}"),
        f"the run is trained and saved to the end, step {step:,}; "
        f"evaluate it with: rlseq resume {runs.in_command(folder, job.config)}",
    )
    watch("training")  # a signal may have come in its last chunk
    played = evaluate.play_job(job, params, protocol, indices, count, watch=watch)
    reporter.say(record_evaluation(session, protocol, played))


def record_evaluation(session: Session, protocol: Protocol, played: Episodes) -> str:
    """Add the episodes of every seed after training to a run; their summary."""
    job = session.job
    seeds = [job.config.seed + index for index in range(job.config.seeds)]
    number = episodes.next_number(logging.read(session.folder / logging.EPISODES))
    reference = job.agent.env.spec.reference
    score = summary(played, seeds, reference, evaluate.data_scores(job))
    with logging.score_in_errors(score):
        session.logs.episodes(episodes.rows_of(number, protocol, 0, seeds, played, reference))
    return score


def check_finite(job: Job, folder: Path, step: int, metrics: dict[str, np.ndarray]) -> None:
    """Raise NonFinite, naming seeds and losses."""
    fine, wrong = np.asarray(metrics["finite"]) > 0, []
    for name, values in metrics.items():
        if name.startswith("loss") and not np.isfinite(values).all():
            fine = fine & np.isfinite(values)
            wrong.append(name)
    if fine.all():
        return
    seeds = ", ".join(str(job.config.seed + int(i)) for i in np.flatnonzero(~fine))
    named = f", {', '.join(wrong)}" if wrong else ""
    raise NonFinite(
        f"the loss is not finite at step {step:,} (seed {seeds}){named}: stopped; {_kept(folder)}. "
        "A smaller agent.lr or agent.max_grad_norm usually helps"
    )


def _kept(folder: Path) -> str:
    kept = checkpoint.steps(folder / "checkpoints")
    last = f"the checkpoint of step {kept[-1]:,} is kept" if kept else "there is no checkpoint yet"
    return f"{last} in {folder}"


def _host_errors(job: Job, when: str, folder: Path) -> contextlib.AbstractContextManager[None]:
    return host_env.host_errors(job.agent.env, when, lambda: _kept(folder))
