"""Runs the trials of a search: some at a time, each a job as those of a campaign."""

import dataclasses
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

from rlseq import config as configuration
from rlseq.errors import InputError
from rlseq.train import files
from rlseq.train.campaign import locks, process
from rlseq.train.campaign import state as states
from rlseq.train.campaign.batches import Batches, Launched
from rlseq.train.campaign.job import BUSY, STOPPED
from rlseq.train.campaign.launchers import Launcher
from rlseq.train.campaign.plan import JOBS, Entry, check_same
from rlseq.train.campaign.pool import Pool, Running
from rlseq.train.search import study as studies
from rlseq.train.search import trial as judged
from rlseq.train.search.package import optuna
from rlseq.train.search.space import Space, check
from rlseq.train.stop import Interrupted, Stop

PRUNED, FAILURE = "pruned_at", "failure"  # what is noted of a trial: percent, and a line
_TICK, _LOOK = 0.2, 2.0  # seconds until the next look at the processes, and at their logs


class Plan(NamedTuple):
    """What a search is asked for."""

    root: Path
    space: Space
    trials: int  # in all, those of earlier calls included
    jobs: int  # at a time
    pruner: str
    say: Callable[[str], object]
    launcher: Launcher | None = None  # None: processes of this one


def run(plan: Plan, again: str) -> list[str]:
    """Run, resume or prune trials until there are so many; a line for each that was killed.

    Such a trial is resumed by the next call. One that fails by itself is a result of the study.

    Raises InputError for what does not compose, an unknown pruner, a study of another space and a
    search that another process runs, before anything starts; Interrupted after a signal, when
    every job has saved and ended; LauncherError; CannotWrite.
    """
    studies.check_pruner(plan.pruner)
    first = check(plan.space)
    files.make_folder(plan.root / JOBS)
    lock = locks.take(plan.root / studies.LOCK)
    if lock is None:
        raise InputError(f"another process searches in {str(plan.root)!r}")
    with lock:
        made = studies.continued(plan.root, plan.space, plan.pruner, first.seed, plan.jobs)
        search = _Search(plan, made)
        with Stop() as stop:
            try:
                while search.step(stop.requested):
                    time.sleep(_TICK)
            except BaseException:
                search.pool.leave()
                raise
    if search.stopping and search.more():
        raise Interrupted(f"interrupted, what ran is saved; continue with: {again}")
    return search.broken


def command(space: Space, values: dict[str, Any]) -> str:
    """The command that trains with the values of a trial."""
    words = [word for word in space.words(values) if not word.startswith("run.")]
    return shlex.join(["rlseq", "train", *words])


def folder_of(root: Path, number: int) -> Path:
    """The run folder of a trial."""
    return root / f"trial-{number:04d}"


def finished(trial: Any) -> bool:
    """Whether a trial counts: it was told how it ended, and was no half-made one."""
    return trial.state.is_finished() and bool(trial.params)


@dataclasses.dataclass
class _Active:
    trial: Any
    job: Running | Launched
    known: set[int]  # percents that were reported
    pruned: bool = False


class _Search:
    """The trials that run, those that a killed search left, and the count of the rest."""

    def __init__(self, plan: Plan, study: Any):
        self.plan, self.study, self.say = plan, study, plan.say
        launcher = plan.launcher
        self.pool: Any = Batches(launcher, plan.jobs) if launcher else Pool(plan.jobs)
        self.active: list[_Active] = []
        self.stopping = False
        self.broken: list[str] = []
        self._not_before: dict[int, float] = {}
        self._looked = time.monotonic()
        state = optuna().trial.TrialState
        self.left = [
            optuna().trial.Trial(study, one._trial_id)
            for one in study.get_trials(deepcopy=False, states=[state.RUNNING])
        ]
        self.count = sum(map(finished, study.get_trials(deepcopy=False)))

    def step(self, stop: bool) -> bool:
        """Note what has ended, prune, and start what can be; whether there is more to come."""
        ended = self.pool.ended()
        for one in [one for one in self.active if one.job in ended]:
            self._end(one)
        if stop and not self.stopping:
            self.stopping = True
            self.say("stopping after the chunks in flight; a second Ctrl-C leaves at once")
            self.pool.signal()
        if not self.stopping:
            self._fill()
            if time.monotonic() - self._looked > _LOOK:
                self._looked = time.monotonic()
                for one in self.active:
                    self._look(one)
        return bool(self.active) or (not self.stopping and self.more())

    def more(self) -> bool:
        """Whether trials are left to run."""
        return bool(self.left) or self.count + len(self.active) < self.plan.trials

    def _fill(self) -> None:
        for trial in list(self.left):
            if self.pool.free and time.monotonic() >= self._not_before.get(trial.number, 0.0):
                self._go_on(trial)
        while self.pool.free and not self.left and self.more():
            trial = self.study.ask(self.plan.space.distributions)
            if not self._start(trial):
                self.left.append(trial)
        self.pool.go()

    def _go_on(self, trial: Any) -> None:
        """With a trial that no process has told the end of."""
        if trial.params.keys() != self.plan.space.distributions.keys():  # killed as it was made
            self.left.remove(trial)
            self.study.tell(trial.number, state=optuna().trial.TrialState.FAIL)
        elif PRUNED in trial.user_attrs:
            self.left.remove(trial)
            self._tell_pruned(trial)
        elif self._start(trial):
            self.left.remove(trial)

    def _start(self, trial: Any) -> bool:
        """Whether its job runs or has ended; not while one of a killed search still saves."""
        try:
            config = configuration.compose(self.plan.space.words(trial.params))
        except InputError as error:  # of values that do not go together
            self._fail(trial, str(error))
            return True
        entry = Entry(config, folder_of(self.plan.root, trial.number))
        config.run.dir = str(entry.folder)
        check_same(entry)
        lock = locks.take(entry.file("lock"))
        if lock is None:
            self._not_before[trial.number] = time.monotonic() + _LOOK
            return False
        if states.state(entry, locked=True).kind == states.DONE:  # the search was killed then
            lock.close()
            self._tell(trial, judged.objective(entry.folder))
            return True
        self._run(trial, entry, lock)
        return True

    def _run(self, trial: Any, entry: Entry, lock: IO[Any]) -> None:
        known = set(self.study.trials[trial.number].intermediate_values)
        self.active.append(_Active(trial, self.pool.start(entry, lock), known))
        values = ", ".join(f"{key}={value}" for key, value in trial.params.items())
        self.say(f"{entry}: {values}")

    def _look(self, one: _Active) -> None:
        """Tell the study how training goes, and stop a trial that is not worth more of it."""
        entry = one.job.entry
        for percent, value in judged.so_far(entry.folder, entry.config.total_steps):
            if percent in one.known or one.pruned:
                continue
            one.known.add(percent)
            one.trial.report(value, percent)
            lasts = one.job.code is None and percent < judged.WHOLE
            if lasts and one.trial.should_prune():
                one.pruned = True
                one.trial.set_user_attr(PRUNED, percent)  # so that a kill does not undo it
                one.job.stop()

    def _end(self, one: _Active) -> None:
        code, entry = one.job.code, one.job.entry
        if code == 0:
            self._look(one)
            self._tell(one.trial, judged.objective(entry.folder))
        elif one.pruned and code in (STOPPED, -signal.SIGTERM):
            self._tell_pruned(one.trial)
        elif code == BUSY:
            self.left.append(one.trial)
            self._not_before[one.trial.number] = time.monotonic() + 10 * _LOOK
            self.say(f"{entry}: another process trains it")
        elif code in (None, STOPPED, -signal.SIGTERM) and self.stopping:
            self.say(f"{entry}: stopped")
        elif code is None:
            self.count += 1
            self.broken.append(f"{entry}: its launcher ended before it did")
        elif code < 0 or code == STOPPED:  # nothing is known against it: it stays to be resumed
            self.count += 1
            reason = process.reason(code, entry.file("yaml"))
            self.broken.append(f"{entry}: {reason}")
        else:
            self._fail(one.trial, process.reason(code, entry.file("yaml")))
        self.active.remove(one)
        self.pool.close(one.job)

    def _tell(self, trial: Any, value: float | None) -> None:
        if value is None:
            self._fail(trial, "its evaluation has a return that is not finite")
            return
        self.study.tell(trial.number, value)
        self.count += 1
        self.say(f"{folder_of(self.plan.root, trial.number).name}: mean return {value:.4g}")

    def _tell_pruned(self, trial: Any) -> None:
        self.study.tell(trial.number, state=optuna().trial.TrialState.PRUNED)
        self.count += 1
        name = folder_of(self.plan.root, trial.number).name
        self.say(f"{name}: pruned after {trial.user_attrs[PRUNED]} % of its training")

    def _fail(self, trial: Any, reason: str) -> None:
        trial.set_user_attr(FAILURE, reason)
        self.study.tell(trial.number, state=optuna().trial.TrialState.FAIL)
        self.count += 1
        self.say(f"{folder_of(self.plan.root, trial.number).name}: failed: {reason}")
