"""The host loop of a sweep in one program: a run folder for each setting, as if trained alone."""

import contextlib
import dataclasses
import math
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from rlseq.train import (
    build,
    checkpoint,
    chunk_log,
    episodes,
    evaluate,
    host_env,
    logging,
    runs,
    warm_start,
)
from rlseq.train.console import Reporter
from rlseq.train.distributed import Processes
from rlseq.train.extras import check_loggers, make_extras
from rlseq.train.finish import evaluated, record_evaluation
from rlseq.train.loop import check_finite
from rlseq.train.records import last_logged
from rlseq.train.session import Session, save
from rlseq.train.stop import Interrupted, NonFinite, Stop, Watch
from rlseq.train.swept import folder as sweep_folder
from rlseq.train.swept import population, space
from rlseq.train.swept.agent import SweptState
from rlseq.train.swept.program import Program, build_program
from rlseq.train.swept.space import Sweep
from rlseq.types import PyTree


class _Session(NamedTuple):
    """What stays the same while a sweep trains."""

    program: Program
    folder: Path
    members: list[Session]  # of each setting
    reporter: Reporter
    stop: Stop
    diverged: dict[int, NonFinite]  # settings whose loss is not finite any more


def train(sweep: Sweep) -> Path:
    """Train every setting to its end; the folder of their run folders.

    A setting whose loss is not finite any more is left behind and the others go on. Raises as
    `rlseq.train.loop.train`, NonFinite where no setting is left.
    """
    check_loggers(sweep.config.run.loggers)
    program = build_program(sweep)
    folder = sweep_folder.create(program)
    _train_on(program, folder)
    return folder


def resume(folder: Path, total_steps: int | None = None) -> None:
    """Continue a sweep from the newest checkpoint that all its settings have. Raises as `train`,
    and InputError where a run folder is missing or not the sweep's."""
    sweep, found = sweep_folder.open_sweep(folder)
    for run in found:
        runs.check_end(run.folder, total_steps)
    sweep = sweep._replace(config=runs.changed(sweep.config, total_steps, None))
    check_loggers(sweep.config.run.loggers)
    program = build_program(sweep)
    if total_steps is not None:
        for run in found:
            runs.keep_config(run.folder, runs.changed(run.config, total_steps, None))
    _train_on(program, folder)


def _train_on(program: Program, folder: Path) -> None:
    folders = [folder / space.label(values) for values in program.sweep.settings]
    with contextlib.ExitStack() as stack:
        for one in folders:
            stack.enter_context(runs.locked(one))
        stop = stack.enter_context(Stop())
        session, state, step = _begin(program, folder, folders, stop)
        try:
            state, step = _chunks(session, state, step)
            _finish(session, state, step)
        finally:
            session.reporter.close()
            for member in session.members:
                member.logs.close()


def _begin(
    program: Program, folder: Path, folders: list[Path], stop: Stop
) -> tuple[_Session, SweptState, int]:
    settings, schedule = program.sweep.config.run, program.joint.schedule
    logged = [last_logged(one) if settings.loggers else 0 for one in folders]
    broken = [chunk_log.has_diverged(one) for one in folders]
    saved = _common_step([one for one, bad in zip(folders, broken, strict=True) if not bad])
    step = saved or 0
    population.truncate_before(folder, step)
    seeds = program.joint.config.seeds
    reporter = Reporter(schedule.end_from(step), seeds=seeds, quiet=settings.quiet)
    members = []
    for job, one, last, bad in zip(program.jobs, folders, logged, broken, strict=True):
        if not bad:
            logging.truncate_after(one, step)
        extras = make_extras(settings.loggers, one, step, dataclasses.asdict(job.config))
        logs = logging.Logs(one, extras, last)
        actions = host_env.Actions(one, None)
        members.append(Session(job, one, actions, logs, reporter, stop, Processes()))
    reasons = {i: NonFinite("stopped before") for i, bad in enumerate(broken) if bad}
    session = _Session(program, folder, members, reporter, stop, reasons)
    count = f"{len(members)} settings x {program.sweep.config.seeds} seeds in one program"
    reporter.say(f"sweep {folder}: {count}" + (f", from step {step:,}" if step else ""))
    state = _fresh(session) if saved is None else _restored(program, folders, saved)
    return session, state, step


def _common_step(folders: list[Path]) -> int | None:
    """The newest step that every folder has a checkpoint of."""
    kept = [set(checkpoint.steps(folder / "checkpoints")) for folder in folders]
    return max(set.intersection(*kept), default=None) if kept else None


def _fresh(session: _Session) -> SweptState:
    """As `init`, or with the weights of `init_from`, saved at once as in a run."""
    program = session.program
    state = program.init()
    warm = warm_start.load(program.jobs[0])
    if warm is None:
        return state
    for line in warm.lines():
        session.reporter.say(line)
    members = []
    for i, member in enumerate(session.members):
        own = warm_start.put(member.job, program.member(state, i), warm)
        warm_start.report(warm, member.folder)
        _save_member(member, 0, own, math.nan)
        members.append(own)
    return program.join(members)


def _restored(program: Program, folders: list[Path], step: int) -> SweptState:
    like = build.abstract_state(program.jobs[0])
    places = [folder / "checkpoints" for folder in folders]
    found = {
        i: checkpoint.restore(place, like, step)[1]
        for i, place in enumerate(places)
        if step in checkpoint.steps(place)
    }
    anyone = next(iter(found.values()))  # in the place of settings that were left behind
    values = None
    if program.sweep.pbt is not None:
        names = list(program.sweep.settings[0])
        values = population.last_values(folders, program.sweep.seeds, names)
    return program.join([found.get(i, anyone) for i in range(len(places))], values)


def _chunks(session: _Session, state: SweptState, step: int) -> tuple[SweptState, int]:
    """Train to the end of the schedule or a signal, and save: (state, step)."""
    program, schedule, reporter = session.program, session.program.joint.schedule, session.reporter
    if step >= schedule.steps:
        return state, step
    began = time.perf_counter()
    train_chunk = program.lowered.compile(build.compiler_options())
    reporter.say(f"compiled in {time.perf_counter() - began:.1f} s")
    seconds = chunk_log.seconds_so_far(session.members[0].folder)
    chunk = step // schedule.chunk_steps
    sweep, every = program.sweep, program.sweep.config.run.checkpoint_every
    metrics: chunk_log.Metrics = {"return": np.full(program.joint.config.seeds, np.nan)}
    while step < schedule.steps and not session.stop.requested:
        if chunk and sweep.pbt is not None and chunk % sweep.pbt.every == 0:
            state = _round(session, state, step)
        trained_with = {}
        if sweep.pbt is not None:  # read now: the program takes the state
            named = {population.key(name): own for name, own in state.values.items()}
            trained_with = jax.device_get(named)
        began = time.perf_counter()
        state, metrics = train_chunk(state)
        metrics = chunk_log.unknown_as_nan(jax.device_get(metrics))
        took = time.perf_counter() - began
        step, chunk, seconds = step + schedule.chunk_steps, chunk + 1, seconds + took
        _log(session, step, seconds, took, metrics | trained_with)
        if chunk % every == 0 and step < schedule.steps:
            _save(session, step, state, metrics)
    _save(session, step, state, metrics)
    reporter.close()
    if session.stop.requested and step < schedule.steps:
        raise Interrupted(f"interrupted at step {step:,}, saved; continue with: {_again(session)}")
    return state, step


def _round(session: _Session, state: SweptState, step: int) -> SweptState:
    """A round of population-based training, decided by the logs up to here."""
    program, sweep = session.program, session.program.sweep
    assert sweep.pbt is not None
    config, folders = sweep.config, [member.folder for member in session.members]
    since = step - sweep.pbt.every * program.joint.schedule.chunk_steps
    scores = population.scores_since(folders, sweep.seeds, since)
    scores[list(session.diverged)] = np.nan
    shape = len(folders), config.seeds
    values = {name: np.asarray(own).reshape(shape) for name, own in state.values.items()}
    rng = np.random.default_rng([config.seed, step])
    decided = population.decide(sweep.pbt, config.agent["name"], scores, values, rng)
    population.record(session.folder, [f.name for f in folders], step, config.seed, decided)
    for i in list(session.diverged):
        if (decided.source[i] != i).all():  # it goes on as another
            del session.diverged[i]
    return build.place(program.joint, population.apply(state, decided))


def _log(
    session: _Session, step: int, seconds: float, took: float, metrics: chunk_log.Metrics
) -> None:
    """Rows of every setting that goes on. Raises NonFinite where none does."""
    chunk_steps = session.program.joint.schedule.chunk_steps
    rate = session.program.sweep.config.seeds * chunk_steps / took
    for i, member in enumerate(session.members):
        if i in session.diverged:
            continue
        own = {name: values[session.program.rows(i)] for name, values in metrics.items()}
        member.logs.metrics(chunk_log.rows(member.job, step, seconds, rate, own))
        try:
            check_finite(member.job, member.folder, step, own)
        except NonFinite as error:
            session.diverged[i] = error
            session.reporter.say(f"{member.folder.name}: {error}; the other settings go on")
    if len(session.diverged) == len(session.members):
        raise NonFinite(f"no setting is left: {[*session.diverged.values()][-1]}")
    score = chunk_log.mean_score(metrics, math.nan)
    session.reporter.progress(step, len(session.members) * rate, score)


def _save(session: _Session, step: int, state: SweptState, metrics: chunk_log.Metrics) -> None:
    """A checkpoint in the folder of each setting that goes on."""
    for i, member in _going_on(session):
        own = {"return": metrics["return"][session.program.rows(i)]}
        score = chunk_log.mean_score(own, math.nan)
        _save_member(member, step, session.program.member(state, i), score)


def _save_member(member: Session, step: int, state: PyTree, score: float) -> None:
    keep = member.job.config.run.keep
    save(member.processes, member.folder, step, state, keep=keep, score=score)


def _going_on(session: _Session) -> list[tuple[int, Session]]:
    return [(i, m) for i, m in enumerate(session.members) if i not in session.diverged]


def _finish(session: _Session, state: SweptState, step: int) -> None:
    """Evaluate what has no evaluation yet; print the score of each setting, the best first."""
    program, members = session.program, dict(_going_on(session))
    missing = [i for i, m in members.items() if not evaluated(m, step)]
    if missing:
        count = program.sweep.config.run.eval_episodes
        protocol = evaluate.protocol_of(program.jobs[0], step, count)
        watch = Watch(
            session.stop,
            lambda progress: session.reporter.say(f"evaluation: {progress}"),
            f"the sweep is trained and saved to the end; evaluate it with: {_again(session)}",
        )
        watch("training")  # a signal may have come in its last chunk
        for i, played in zip(
            missing, program.play(state, missing, protocol, count, watch), strict=True
        ):
            record_evaluation(members[i], protocol, played)
    for line in _scores(session, step):
        session.reporter.say(line)
    session.reporter.say(f"done: {step:,} steps of each setting, in {session.folder}")
    session.reporter.say(f"  scores and curves   rlseq report {session.folder} --out FOLDER")


def _scores(session: _Session, step: int) -> list[str]:
    """A line for each setting, the best first, those left behind last."""
    found = []
    for i, member in enumerate(session.members):
        rows = logging.read(member.folder / logging.EPISODES)
        returns = [row["return"] for row in episodes.after_training(rows, step)]
        mean = float(np.mean(returns)) if returns else -math.inf
        text = f"mean return {mean:.4g} over {len(returns)} episodes"
        if i in session.diverged:
            text = "the loss is not finite any more"
        elif not returns:
            text = "no evaluation"
        found.append((mean, f"{member.folder.name}: {text}"))
    return [line for _, line in sorted(found, key=lambda one: -one[0])]


def _again(session: _Session) -> str:
    return f"rlseq resume {runs.in_command(session.folder, session.program.sweep.config)}"
