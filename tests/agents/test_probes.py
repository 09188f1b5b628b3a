"""PPO reaches the known return and the known values of every probe, with every core that can."""

import jax
import numpy as np
import pytest

import rlseq
from rlseq.envs.probe import FAMILY
from tests import kinds
from tests.agents.probing import first_values, mean_return

GAMMA = 0.9
MEMORY = ("Recall", "Leak")
PIXELS = ("Catch", "CatchBlind")  # in test_pixel_probes.py
# A frame stack must hold the whole episode, and need no more, as two others. The rest are as they
# come: in Leak nothing but its place tells the first cue from later ones, which a single layer of a
# mean cannot see.
OPTIONS = {
    "window": {"window": 6},
    "attention": {"window": 8},
    "mamba2": {"state": 4, "expand": 1},
}
SETTINGS = {
    "num_steps": 32,
    "epochs": 4,
    "minibatches": 2,
    "lr": 5e-3,
    "gamma": GAMMA,
    "entropy_coef": 0.0,
    "encoder": 16,
    "head": 16,
}
HARDEST = "Leak"  # asks most of a memory
# Usually one core on every probe, without memory where none is needed, and one of each kind on the
# hardest; the others are slow tests.
USUAL = {"Recall": ("gru",), HARDEST: (*kinds.EACH_KIND, "aaren")}
PAIRS = [
    pytest.param(probe, *core.values, marks=core.marks)
    for probe in FAMILY.ids()
    for core in kinds.cores(USUAL.get(probe, ("mlp",)))
    if probe not in PIXELS and (probe not in MEMORY or core.values != ("mlp",))
]


def num_updates(probe: str, core: str) -> int:
    """Enough of them; choices that need no memory are learned in fewer."""
    if probe not in (*MEMORY, "Continuous"):
        return 60
    return 120 if core in (*kinds.EACH_KIND, "aaren", "mlp") else 200


def outcome(probe: str, core: str, seed: int = 0):
    """(environment, mean greedy return, values of the first observations) after training."""
    updates = num_updates(probe, core)
    env = rlseq.make_env(f"probe:{probe}", 32)
    settings = {"name": core, "features": 16, **OPTIONS.get(core, {})}
    agent = rlseq.make_agent("ppo", env, core=settings, num_updates=updates, **SETTINGS)

    @jax.jit  # all in one program: small ones take longer to compile than to run
    def run(key):
        state, _ = agent.train(agent.init(key), updates)
        return mean_return(agent, state), first_values(env, agent, state)

    return env.env, *map(np.asarray, run(jax.random.key(seed)))


@pytest.mark.parametrize(("probe", "core"), PAIRS)
def test_ppo_solves(probe, core):
    env, earned, values = outcome(probe, core)
    optimal = env.optimal_return
    assert earned > optimal - 0.05 * max(1, abs(optimal))
    exact = env.value(GAMMA)
    tolerance = 0.1 * np.maximum(1, np.abs(exact))
    assert (np.abs(values - exact) < tolerance).all()


@pytest.mark.parametrize("probe", MEMORY)
def test_without_memory_it_earns_what_the_memoryless_can(probe):
    env, earned, _ = outcome(probe, "mlp")
    assert earned < env.memoryless_return + 0.2
