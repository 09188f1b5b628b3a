"""The host loop: chunks of training on the device; logs, checkpoints and signals between them."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlseq.train import (
    build,
    checkpoint,
    chunk_log,
    distributed,
    host_env,
    logging,
    parts,
    runs,
    warm_start,
)
from rlseq.train.begin import begin
from rlseq.train.build import Job
from rlseq.train.console import Reporter
from rlseq.train.distributed import Processes
from rlseq.train.extras import check_loggers, make_extras
from rlseq.train.files import CannotWrite
from rlseq.train.finish import finish
from rlseq.train.records import last_logged
from rlseq.train.runs import Run
from rlseq.train.session import Session, going_on, host_errors, kept, save
from rlseq.train.stop import Interrupted, NonFinite, Stop
from rlseq.train.warm_start import WarmStart
from rlseq.types import PyTree


def train(config: Any, processes: Processes | None = None) -> Run:
    """Train a new run to its end, in this process or in those of `distributed.joined`.

    Raises:
        InputError: anything wrong in the configuration, before a folder is created.
        Interrupted: a signal came, and the state is saved.
        NonFinite: the loss is not finite any more.
        HostEnvError: an environment outside JAX failed or cannot be restored.
        CannotWrite: no space or no permission; the run can be resumed from what was saved.
    """
    config, processes = distributed.shared(config, processes)
    check_loggers(config.run.loggers)
    job = build.build(config)
    build.recorded_data(job)  # a fault in it shows before anything is written
    warm = warm_start.load(job)
    if warm is not None:
        reporter = Reporter(0, quiet=config.run.quiet or not processes.leads)
        for line in warm.lines():
            reporter.say(line)
    settings = job.agent.env.spec.settings
    folder = processes.from_leader(lambda: str(runs.create(config, settings).folder))
    drive(job, Path(folder), warm=warm, processes=processes)
    return Run(Path(folder), config)


def resume(
    run: Run,
    total_steps: int | None = None,
    *,
    mesh: str | None = None,
    processes: Processes | None = None,
) -> Run:
    """Continue a run from its newest readable checkpoint.

    Args:
        run: its folder must be seen by every process.
        total_steps: a new end.
        mesh: in the place of the run's, from now on; "null" for none.
        processes: those of `distributed.joined`, or this one.

    Raises as `train`.
    """
    runs.check_end(run.folder, total_steps)
    check_loggers(run.config.run.loggers)
    changed = runs.changed(run.config, total_steps, mesh)
    changed, processes = distributed.shared(changed, processes)
    job = build.build(changed)
    build.recorded_data(job)  # a fault in it shows before anything is written
    with _locked(run.folder, processes):
        if processes.leads and changed != run.config:
            runs.keep_config(run.folder, changed)
        _train_on(job, run.folder, Stop(), processes)
    return run._replace(config=changed)


def drive(
    job: Job,
    folder: Path,
    stop: Stop | None = None,
    *,
    warm: WarmStart | None = None,
    processes: Processes | None = None,
) -> PyTree:
    """Train what is left of a job in its run folder; the final state [S, ...].

    `warm` is what a fresh state begins with, read from `init_from` without it.
    """
    processes = processes or Processes()
    with _locked(folder, processes):
        return _train_on(job, folder, stop or Stop(), processes, warm)


def _locked(folder: Path, processes: Processes) -> contextlib.AbstractContextManager[None]:
    return runs.locked(folder) if processes.leads else contextlib.nullcontext()


def _train_on(
    job: Job, folder: Path, stop: Stop, processes: Processes, warm: WarmStart | None = None
) -> PyTree:
    settings = job.config.run
    loggers = settings.loggers if processes.leads else []
    processes.watch(stop, lambda: f"{kept(folder)}; {going_on(job, folder)}")
    with _naming_what_is_saved(job, folder), stop:
        # Asked before rows are cut back to the checkpoint.
        logged = last_logged(folder) if loggers else 0
        actions = host_env.Actions(folder, job.agent.env if job.agent.steps_environment else None)
        state, step = begin(job, folder, actions, processes, warm)
        quiet = settings.quiet or not processes.leads
        total = job.schedule.end_from(step)
        reporter = Reporter(total, seeds=job.config.seeds, quiet=quiet)
        extras = make_extras(loggers, folder, step, dataclasses.asdict(job.config))
        logs = logging.Logs(folder, extras, logged)
        session = Session(job, folder, actions, logs, reporter, stop, processes)
        try:
            reporter.say(f"run {folder}" + (f", from step {step:,}" if step else ""))
            state, step = _chunks(session, state, step)
            reporter.close()
            finish(session, state, step)
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


def _chunks(session: Session, state: PyTree, step: int) -> tuple[PyTree, int]:
    """Train to the end of the schedule or a signal, and save: (state, step)."""
    job, folder, reporter, stop = session.job, session.folder, session.reporter, session.stop
    processes = session.processes
    schedule, settings = job.schedule, job.config.run
    if step >= schedule.steps:
        return state, step
    began = time.perf_counter()
    train_chunk = build.compile_chunk(job)
    reporter.say(f"compiled in {time.perf_counter() - began:.1f} s")
    processes.meet("compiled")  # on CPUs JAX waits 30 s for another at the first collective
    by_part = parts.measure(job, state) if settings.time_parts else None
    seconds, chunk = chunk_log.seconds_so_far(folder), step // schedule.chunk_steps
    score = float("nan")
    while step < schedule.steps and not processes.any(stop.requested):
        began = time.perf_counter()
        state, metrics = _chunk(session, train_chunk, state, step)
        took = time.perf_counter() - began
        step, chunk, seconds = step + schedule.chunk_steps, chunk + 1, seconds + took
        rate = job.config.seeds * schedule.chunk_steps / took
        rows = chunk_log.rows(job, step, seconds, rate, metrics)
        if by_part is not None:
            rows = [row | by_part.of_chunk(schedule.chunk, took) for row in rows]
        if processes.leads:
            session.logs.metrics(rows)
        check_finite(job, folder, step, metrics)
        score = chunk_log.mean_score(metrics, score)
        reporter.progress(step, rate, score)
        if chunk % settings.checkpoint_every == 0 and step < schedule.steps:
            _save(session, step, state, score)
    seconds_saving = _save(session, step, state, score)
    reporter.close()
    if step < schedule.steps:
        saved = f"interrupted at step {step:,}, saved in {seconds_saving:.2f} s"
        raise Interrupted(f"{saved}; {going_on(job, folder)}")
    return state, step


def _chunk(
    session: Session, train_chunk: Any, state: PyTree, step: int
) -> tuple[PyTree, dict[str, np.ndarray]]:
    """The state and metrics after one more chunk; actions are in their file."""
    folder = session.folder
    try:
        with host_errors(session.job, f" after step {step:,}", folder):
            state, metrics = train_chunk(state)
            metrics = chunk_log.unknown_as_nan(jax.device_get(metrics))
    except KeyboardInterrupt:  # the environment's own, or a second Ctrl-C
        raise Interrupted(
            f"interrupted after step {step:,}, amid a chunk; {kept(folder)}; "
            f"{going_on(session.job, folder)}"
        ) from None
    session.actions.append(state)
    return state, metrics


def _save(session: Session, step: int, state: PyTree, score: float) -> float:
    keep = session.job.config.run.keep
    return save(session.processes, session.folder, step, state, keep=keep, score=score)


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
        f"the loss is not finite at step {step:,} (seed {seeds}){named}: stopped; {kept(folder)}. "
        "A smaller agent.lr or agent.max_grad_norm usually helps"
    )
