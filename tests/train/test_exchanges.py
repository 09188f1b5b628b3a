"""What the devices of a mesh exchange."""

import pytest

from rlseq import config
from rlseq.analysis.bench.collectives import exchanged
from rlseq.train import build


@pytest.mark.parametrize("agent", ["ppo", "pqn"])
def test_devices_exchange_gradients_and_nothing_in_each_step(agent):
    def count(steps, minibatches):
        words = ["experiment=debug", f"agent={agent}", "env.num_envs=8", "run.mesh=env=2",
                 f"agent.num_steps={steps}", f"agent.minibatches={minibatches}", "agent.epochs=2",
                 "total_steps=1024"]  # fmt: skip
        job = build.build(config.compose(words))
        program = build.lower_chunk(job).compile(build.compiler_options())
        return exchanged(program.as_text()).count / job.schedule.chunk

    fewer = count(8, 2)
    assert count(16, 2) == fewer
    assert count(8, 4) == fewer + 2 * 2
