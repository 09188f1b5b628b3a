"""The command line around the fake agent, which trains in no time; as a script: rlseq's words."""

import sys

from rlseq import cli
from rlseq.train import process

if __name__ == "__main__":
    process.prepare()  # as `rlseq` does, before it imports what reads these settings

from rlseq.train import build
from tests.train.fake_env import FakeEnv
from tests.train.fake_job import make_job

CHUNKS, SEEDS = 6, 2
# A configuration that loads; what is built from it is the fake job.
OVERRIDES = ["experiment=debug", f"seeds={SEEDS}", "seed=5", "run.eval_episodes=4"]


def fake_build(config) -> build.Job:
    """The job of a run folder, whatever its configuration says of agent and environment."""
    settings = {"eval_episodes": config.run.eval_episodes, "quiet": config.run.quiet}
    job = make_job(CHUNKS, seeds=config.seeds, checkpoint_every=2, keep=2, **settings)
    job.agent.env = FakeEnv(job.agent.num_envs)
    job.config.seed, job.config.run.loggers = config.seed, config.run.loggers
    return job


def install(patch) -> None:
    """Let the commands build fake jobs; `patch(module, name, value)` as `monkeypatch.setattr`."""
    patch(build, "build", fake_build)
    patch(build, "make_env", lambda config, num_envs, **purpose: FakeEnv(num_envs))


if __name__ == "__main__":
    install(setattr)
    sys.exit(cli.main(sys.argv[1:]))
