"""The host loop of a sweep in one program: a run folder for each setting, as if trained alone."""

import contextlib
import dataclasses
import itertools
import math
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from omegaconf import OmegaConf

from rlseq import config_yaml, fields
from rlseq.config import RunConfig
from rlseq.errors import InputError
from rlseq.train import build, checkpoint, chunk_log, evaluate, files, host_env, logging, runs
from rlseq.train import loop as single
from rlseq.train.console import Reporter
from rlseq.train.extras import check_loggers, make_extras
from rlseq.train.records import last_logged
from rlseq.train.runs import Run
from rlseq.train.stop import Interrupted, Stop, Watch
from rlseq.train.swept import space
from rlseq.train.swept.agent import SweptState
from rlseq.train.swept.program import Program, build_program
from rlseq.train.swept.space import Sweep

FILE = "sweep.yaml"  # in the folder of the run folders: what is swept


class _Session(NamedTuple):
    """What stays the same while a sweep trains."""

    program: Program
    folder: Path
    members: list[single.Session]  # of each setting
    reporter: Reporter
    stop: Stop
    diverged: dict[int, single.NonFinite]  # settings whose loss is not finite any more


def train(sweep: Sweep) -> Path:
    """Train every setting to its end; the folder of their run folders.

    A setting whose loss is not finite any more is left behind and the others go on. Raises as
    `rlseq.train.loop.train`, NonFinite where no setting is left.
    """
    check_loggers(sweep.config.run.loggers)
    program = build_program(sweep)
    folder = _create(program)
    _train_on(program, folder)
    return folder


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds the runs of a sweep in one program."""
    return (folder / FILE).is_file()


def resume(folder: Path, total_steps: int | None = None) -> None:
    """Continue a sweep from the newest checkpoint that all its settings have. Raises as `train`,
    and InputError where a run folder is missing or not the sweep's."""
    sweep, found = _open(folder)
    if total_steps is not None:
        _check_end(found, total_steps)
        sweep.config.total_steps = total_steps
    check_loggers(sweep.config.run.loggers)
    program = build_program(sweep)
    if total_steps is not None:
        for run in found:
            runs.extend(run, total_steps)
    _train_on(program, folder)


def _check_end(found: list[Run], total_steps: int) -> None:
    done = max((checkpoint.steps(run.folder / "checkpoints") or [0])[-1] for run in found)
    if total_steps < done:
        raise InputError(f"total_steps = {total_steps}, but {done} are done already")


def _create(program: Program) -> Path:
    sweep = program.sweep
    folder = _new_folder(Path(sweep.config.run.root))
    for job, values in zip(program.jobs, sweep.settings, strict=True):
        place = str(folder / space.label(values))
        own = dataclasses.replace(job.config, run=dataclasses.replace(job.config.run, dir=place))
        runs.create(own, job.agent.env.spec.settings)
    about = {"vmap": space.lists_of(sweep.settings), "mesh": sweep.config.run.mesh}
    text = OmegaConf.to_yaml(OmegaConf.create(about))
    files.write_atomic(folder / FILE, text)  # last: with it the folder is whole
    return folder


def _new_folder(root: Path) -> Path:
    files.make_folder(root)
    stem = f"sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{stem}-{i}" if i else stem for i in itertools.count())
    with files.writing("the folder of the sweep", root):
        for name in names:
            with contextlib.suppress(FileExistsError):
                (root / name).mkdir()
                return root / name
    raise AssertionError("names never end")


def _open(folder: Path) -> tuple[Sweep, list[Run]]:
    about = config_yaml.read(folder / FILE)
    lists = about.get("vmap")
    names = sorted(path.parent.name for path in folder.glob(f"*/{runs.CONFIG_FILE}"))
    if not isinstance(lists, dict) or not lists or not names:
        raise InputError(f"{folder / FILE} names no hyper-parameters of runs beside it")
    first = runs.open_run(folder / names[0]).config
    mesh = fields.check("mesh", fields.of(RunConfig)["mesh"], about.get("mesh"))
    bare = dataclasses.replace(first, run=dataclasses.replace(first.run, dir=None, mesh=mesh))
    sweep = space.of(bare, lists)
    found = [runs.open_run(folder / space.label(values)) for values in sweep.settings]
    for run, values in zip(found, sweep.settings, strict=True):
        wanted = sweep.member(values)
        if dataclasses.replace(run.config, run=wanted.run) != wanted:
            raise InputError(f"{str(run.folder)!r} holds a run of another configuration")
    return sweep, found


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
    step = _common_step([one for one, bad in zip(folders, broken, strict=True) if not bad])
    left = -(-max(schedule.steps - step, 0) // schedule.chunk_steps)
    seeds = program.joint.config.seeds
    total = step + left * schedule.chunk_steps
    reporter = Reporter(total, seeds=seeds, quiet=settings.quiet)
    members = []
    for job, one, last, bad in zip(program.jobs, folders, logged, broken, strict=True):
        if not bad:
            logging.truncate_after(one, step)
        extras = make_extras(settings.loggers, one, step, dataclasses.asdict(job.config))
        logs = logging.Logs(one, extras, last)
        actions = host_env.Actions(one, None)
        members.append(single.Session(job, one, actions, logs, reporter, stop))
    reasons = {i: single.NonFinite("stopped before") for i, bad in enumerate(broken) if bad}
    session = _Session(program, folder, members, reporter, stop, reasons)
    count = f"{len(members)} settings x {program.sweep.config.seeds} seeds in one program"
    reporter.say(f"sweep {folder}: {count}" + (f", from step {step:,}" if step else ""))
    return session, _restored(program, folders, step), step


def _common_step(folders: list[Path]) -> int:
    """The newest step that every folder has a checkpoint of; 0 without one."""
    kept = [set(checkpoint.steps(folder / "checkpoints")) for folder in folders]
    return max(set.intersection(*kept), default=0) if kept else 0


def _restored(program: Program, folders: list[Path], step: int) -> SweptState:
    if not step:
        return program.init()
    like = build.abstract_state(program.jobs[0])
    places = [folder / "checkpoints" for folder in folders]
    found = {
        i: checkpoint.restore(place, like, step)[1]
        for i, place in enumerate(places)
        if step in checkpoint.steps(place)
    }
    anyone = next(iter(found.values()))  # in the place of settings that were left behind
    return program.join([found.get(i, anyone) for i in range(len(places))])


def _chunks(session: _Session, state: SweptState, step: int) -> tuple[SweptState, int]:
    """Train to the end of the schedule or a signal, and save: (state, step)."""
    program, schedule, reporter = session.program, session.program.joint.schedule, session.reporter
    if step >= schedule.steps:
        return state, step
    began = time.perf_counter()
    train_chunk = program.lowered.compile(build.compiler_options())
    reporter.say(f"compiled in {time.perf_counter() - began:.1f} s")
    seconds, chunk = (
        chunk_log.seconds_so_far(session.members[0].folder),
        step // schedule.chunk_steps,
    )
    every = program.sweep.config.run.checkpoint_every
    while step < schedule.steps and not session.stop.requested:
        began = time.perf_counter()
        state, metrics = train_chunk(state)
        metrics = chunk_log.unknown_as_nan(jax.device_get(metrics))
        took = time.perf_counter() - began
        step, chunk, seconds = step + schedule.chunk_steps, chunk + 1, seconds + took
        _log(session, step, seconds, took, metrics)
        if chunk % every == 0 and step < schedule.steps:
            _save(session, step, state, metrics)
    _save(session, step, state, metrics)
    reporter.close()
    if session.stop.requested and step < schedule.steps:
        raise Interrupted(f"interrupted at step {step:,}, saved; continue with: {_again(session)}")
    return state, step


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
            single.check_finite(member.job, member.folder, step, own)
        except single.NonFinite as error:
            session.diverged[i] = error
            session.reporter.say(f"{member.folder.name}: {error}; the other settings go on")
    if len(session.diverged) == len(session.members):
        raise single.NonFinite(f"no setting is left: {[*session.diverged.values()][-1]}")
    score = chunk_log.mean_score(metrics, math.nan)
    session.reporter.progress(step, len(session.members) * rate, score)


def _save(session: _Session, step: int, state: SweptState, metrics: chunk_log.Metrics) -> None:
    """A checkpoint in the folder of each setting that goes on."""
    for i, member in _going_on(session):
        own = {name: values[session.program.rows(i)] for name, values in metrics.items()}
        score = chunk_log.mean_score(own, math.nan)
        single.save(member, step, session.program.member(state, i), score)


def _going_on(session: _Session) -> list[tuple[int, single.Session]]:
    return [(i, m) for i, m in enumerate(session.members) if i not in session.diverged]


def _finish(session: _Session, state: SweptState, step: int) -> None:
    """Evaluate what has no evaluation yet; print the score of each setting, the best first."""
    program, members = session.program, dict(_going_on(session))
    missing = [i for i, m in members.items() if not single.evaluated(m.job, m.folder, step)]
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
            single.record_evaluation(members[i], protocol, played)
    for line in _scores(session, step):
        session.reporter.say(line)
    session.reporter.say(f"done: {step:,} steps of each setting, in {session.folder}")
    session.reporter.say(f"  scores and curves   rlseq report {session.folder} --out FOLDER")


def _scores(session: _Session, step: int) -> list[str]:
    """A line for each setting, the best first, those left behind last."""
    found = []
    for i, member in enumerate(session.members):
        rows = [
            row
            for row in logging.read(member.folder / logging.EPISODES)
            if row["step"] == step and row.get("eval_seed", 0) == 0
        ]
        mean = float(np.mean([row["return"] for row in rows])) if rows else -math.inf
        text = f"mean return {mean:.4g} over {len(rows)} episodes" if rows else "no evaluation"
        left = "the loss is not finite any more"
        found.append((mean, f"{member.folder.name}: {left if i in session.diverged else text}"))
    return [line for _, line in sorted(found, key=lambda one: -one[0])]


def _again(session: _Session) -> str:
    return f"rlseq resume {runs.in_command(session.folder, session.program.sweep.config)}"
