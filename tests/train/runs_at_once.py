"""Run folders that hold a first state, for tests of what reads runs: nothing is trained."""

from pathlib import Path

from rlseq import config
from rlseq.train import build, checkpoint, host_env, runs


def untrained(folder: Path, *words: str, step: int = 128) -> runs.Run:
    """A run of `experiment=debug` and more words, with its first state as the checkpoint of a
    step."""
    composed = config.compose(["experiment=debug", f"run.dir={folder}", "run.quiet=true", *words])
    job = build.build(composed)
    run = runs.create(composed)
    state = host_env.without_actions(build.init(job))
    checkpoint.save(run.folder / "checkpoints", step, state)
    return run
