"""The state that a run goes on from."""

from pathlib import Path

import jax

from rlseq.train import build, checkpoint, host_env, logging, warm_start
from rlseq.train.build import Job
from rlseq.train.distributed import Processes
from rlseq.train.session import host_errors, save
from rlseq.train.warm_start import WarmStart
from rlseq.types import PyTree


def begin(
    job: Job,
    folder: Path,
    actions: host_env.Actions,
    processes: Processes,
    warm: WarmStart | None = None,
) -> tuple[PyTree, int]:
    """(state [S, ...], step): the newest checkpoint, or a fresh one; each process gets its part.

    Every process reads the checkpoint that the leader found readable.
    """
    checkpoints = folder / "checkpoints"
    if not processes.from_leader(lambda: checkpoint.steps(checkpoints)):
        return _fresh(job, folder, actions, processes, warm), 0
    like = build.abstract_state(job)
    stored = host_env.stored(like)
    if processes.leads:
        step, state = checkpoint.restore(checkpoints, stored)
        logging.truncate_after(folder, step)
        processes.from_leader(lambda: step)
    else:
        step, state = checkpoint.restore(checkpoints, stored, processes.from_leader(lambda: None))
    if step < job.schedule.steps:
        with host_errors(job, " as it was brought back", folder):
            actions.replay(state)
    return build.place(job, host_env.with_actions(state, like)), step


def _fresh(
    job: Job,
    folder: Path,
    actions: host_env.Actions,
    processes: Processes,
    warm: WarmStart | None,
) -> PyTree:
    if processes.leads:
        logging.truncate_after(folder, 0)
    with host_errors(job, " in its first reset", folder):
        state = jax.block_until_ready(build.init(job))
    actions.begin(state)
    warm = warm_start.load(job) if warm is None else warm
    if warm is not None:  # saved at once, so that nothing needs the source again
        state = build.place(job, warm_start.put(job, state, warm))
        if processes.leads:
            warm_start.report(warm, folder)
        save(processes, folder, 0, state)
    return state
