"""A job around the fake agent; as a script, one that can be killed: fake_job FOLDER CHUNKS."""

import sys
from pathlib import Path

import jax
import numpy as np

from rlseq.config import Config, EnvConfig, RunConfig
from rlseq.train import build, loop
from tests.train.fake_agent import FakeAgent


def make_job(chunks: int, *, seeds: int = 2, breaks_at: int = -1, **run) -> build.Job:
    agent = FakeAgent(breaks_at=breaks_at)
    settings = RunConfig(**{"quiet": True, "eval_episodes": 0, "checkpoint_every": 2} | run)
    config = Config(
        env=EnvConfig(id="fake:Env", num_envs=agent.num_envs),
        core={"name": "none"},
        agent={"name": "fake"},
        run=settings,
        seed=5,
        seeds=seeds,
        total_steps=chunks * 2 * agent.steps_per_update,
    )
    return build.Job(config, agent, build.Schedule(agent.steps_per_update, 2, chunks))


def placed(config: Config, folder: Path) -> Config:
    """The same configuration, which runs in `folder` from now on."""
    config.run.dir = str(folder)
    return config


def make_folder(path: Path) -> Path:
    (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    return path


def assert_same_states(one, two) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert a.dtype == b.dtype
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


if __name__ == "__main__":
    folder, chunks = Path(sys.argv[1]), int(sys.argv[2])
    print("starting", flush=True)
    try:
        loop.drive(make_job(chunks), make_folder(folder))
    except loop.Interrupted:
        sys.exit(130)
