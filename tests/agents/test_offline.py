"""An agent that steps no environment trains, resumes and is evaluated like any other."""

import jax
import numpy as np
import pytest

import rlseq
from rlseq.config import Config, EnvConfig, RunConfig
from rlseq.errors import InputError
from rlseq.train import build, logging, loop
from rlseq.train.evaluate import evaluate
from tests.agents.cloning import Cloning, CloningConfig
from tests.agents.registered import add_others
from tests.agents.small import KEY
from tests.train.fake_job import assert_same_states, make_folder


@pytest.fixture(autouse=True)
def with_cloning(monkeypatch):
    add_others(monkeypatch)


def make_job(steps, env_id="probe:Recall"):
    config = Config(
        env=EnvConfig(id=env_id, num_envs=4),
        core={"name": "gru", "features": 8, "layers": 1},
        agent={"name": "cloning"},
        run=RunConfig(quiet=True, eval_episodes=0, chunks=2),
        total_steps=steps,
    )
    return build.build(config)


def test_a_run_of_it_counts_recorded_steps_and_knows_no_return(tmp_path):
    job = make_job(80)
    assert job.schedule.steps_per_update == 20 and job.schedule.updates == 4
    folder = make_folder(tmp_path / "run")
    state = loop.drive(job, folder)
    assert state.updates == 4
    rows = logging.read(folder / logging.METRICS)
    assert [row["step"] for row in rows] == [40, 80]
    assert all(row["return"] is None and row["episodes"] == 0 for row in rows)
    assert rows[1]["loss/policy"] < rows[0]["loss/policy"]
    halves = make_folder(tmp_path / "halves")
    loop.drive(make_job(40)._replace(schedule=job.schedule._replace(chunks=1)), halves)
    assert_same_states(state, loop.drive(job, halves))


def test_it_acts_as_the_record_did_in_an_environment_that_it_never_stepped():
    env = rlseq.make_env("probe:Recall", 4)
    agent = rlseq.make_agent("cloning", env, core={"name": "gru", "features": 8, "layers": 1})
    state, metrics = agent.train(agent.init(KEY), 200)
    assert metrics["episodes"] == metrics["return"] == metrics["valid_steps"] == 0
    assert not any(jax.tree.leaves(agent.batched(state)))
    params = jax.tree.map(lambda x: x[None], agent.policy_params(state))
    played = evaluate(agent, params, env, jax.random.split(KEY, 1), 2, greedy=True)
    assert np.isfinite(played.returns).all()


class NoAgent:
    """Lacks nearly all that an agent has."""

    Config = CloningConfig
    needs_world_model = False

    def __init__(self, env, config, core, num_updates, world_model=None):
        self.env = env

    update_steps = Cloning.update_steps


class NoClass:
    """Lacks the settings."""

    needs_world_model = False


@pytest.mark.parametrize(
    ("name", "lacks"), [("NoAgent", "act, batched, init, init_carry"), ("NoClass", "Config")]
)
def test_what_an_agent_of_ones_own_lacks_is_named(name, lacks):
    rlseq.register("agent", name, f"{__name__}:{name}")
    with pytest.raises(InputError, match=f"agent '{name}' lacks {lacks}.*see rlseq.types.Agent"):
        rlseq.make_agent(name, rlseq.make_env("probe:Recall", 4))
