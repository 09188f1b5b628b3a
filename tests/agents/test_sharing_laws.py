"""What every registered agent keeps when its policy is shared: as a program, and as a start."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

import rlseq
from rlseq.agents.acting import rewarded_of
from rlseq.config import Config
from rlseq.train import leaves, models, stablehlo, warm_start
from rlseq.train.build import Job, Schedule
from rlseq.train.policy import Policy
from rlseq.train.warm_start import WarmStart
from rlseq.world_models.types import AgentWithModel
from tests.agents.registered import NAMES, add_others, case, make
from tests.agents.small import KEY, same

every_name = pytest.mark.parametrize("name", NAMES)
# Of each kind one, and all of them with `pytest -m slow`.
QUICK = ("ppo", "r2d2", "decision", "imagination")
EXPORTED = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES]


@pytest.fixture(autouse=True, scope="module")
def every_agent():
    with pytest.MonkeyPatch.context() as patch:
        add_others(patch)
        yield


@every_name
def test_weights_come_back_from_their_file_bit_for_bit(name, tmp_path):
    params = make(name).policy_params(case(name).trained)
    models.write_weights(tmp_path, params, 7)
    (tmp_path / "config.yaml").write_text("")
    weights = models.read_weights(tmp_path)
    assert weights.step == 7
    for path, leaf in leaves.flatten(params).items():
        assert weights.arrays[path].dtype == leaf.dtype
        np.testing.assert_array_equal(weights.arrays[path], leaf)


@pytest.mark.parametrize("name", EXPORTED)
def test_the_exported_step_acts_as_the_agent_in_a_batch_of_any_size(name):
    agent, state = make(name), case(name).trained
    params, space = agent.policy_params(state), make_space()
    files = stablehlo.export(Policy(agent, params, space))
    exported = jax_export.deserialize(bytearray(files["policy.stablehlo"]))
    about = json.loads(files["policy.json"])
    assert about["batch"] == "B" and set(about["platforms"]) == {"cpu", "cuda"}
    # Weights are inputs: what is left of constants is small.
    assert len(files["policy.stablehlo"]) < 300_000
    step = jax.jit(exported.call)
    weights, act = leaves.flatten(params), jax.jit(agent.act, static_argnames="greedy")
    for batch in (1, 3) if name == "ppo" else (3,):
        carry = agent.init_carry(batch)
        obs = jax.vmap(space.sample)(jax.random.split(KEY, batch))
        for reset, greedy in ((True, True), (False, False), ([False, True, True][:batch], False)):
            reset = jnp.broadcast_to(jnp.asarray(reset), (batch,))
            named = {k: jnp.asarray(x) for k, x in stablehlo._named("carry", carry).items()}
            given = [weights, named, stablehlo._named("obs", obs), reset, jax.random.key_data(KEY)]
            reward = [jnp.ones(batch, jnp.float32)] if rewarded_of(agent) else []
            got, action = step(*given, jnp.asarray(greedy), *reward)
            rewarded = rewarded_of(agent)
            before = carry if rewarded is None else rewarded(carry, *reward)
            carry, wanted = act(params, before, obs, reset, KEY, greedy=greedy)
            np.testing.assert_array_equal(action["action"], wanted)
            for key, leaf in stablehlo._named("carry", carry).items():
                assert got[key].dtype == leaf.dtype
                np.testing.assert_allclose(got[key], leaf, rtol=1e-5, atol=1e-6)


def make_space():
    """Of its environment, before the agent flattens observations."""
    return rlseq.make_env("probe:Leak", 1).spec.obs_space


def job_of(name, seeds):
    return Job(Config(agent={"name": name}, seeds=seeds), make(name), Schedule(1, 1, 1))


@every_name
def test_a_start_with_all_parameters_acts_as_their_owner_and_trains_on(name):
    agent, job = make(name), job_of(name, 2)
    owner = jax.tree.map(lambda x: x[None], case(name).trained)
    wanted, _ = warm_start._wanted(job)
    flat = leaves.flatten(owner)
    found = WarmStart("there", 1, 1, {path: np.asarray(flat[path]) for path in wanted}, {})
    begun = jax.tree.map(lambda x: jnp.stack([x, x]), case(name).fresh)
    state = warm_start.put(job, begun, found)
    assert jax.tree.structure(state) == jax.tree.structure(begun)
    for seed in range(2):
        mine = jax.tree.map(lambda x, seed=seed: x[seed], state)
        same(agent.policy_params(mine), agent.policy_params(case(name).trained))
    assert (state.updates == 0).all()
    mine = jax.tree.map(lambda x: x[0], state)
    after, metrics = agent.train(mine, 1)
    assert metrics["finite"] == 1 and after.updates == 1
    copies(name, mine)


def copies(name, state):
    """Copies that an agent keeps are those of what it was given."""
    if name == "r2d2":
        same(state.learner.target, state.learner.network)
    elif name == "sac":
        same(state.learner.target, state.learner.networks.critic)
        assert state.learner.networks.log_temperature != case(name).fresh.learner.networks[-1]
    elif name == "imagination":
        same(state.behaviour.slow, state.behaviour.params.critic)


@every_name
def test_an_agent_with_a_world_model_shares_it(name):
    paths = warm_start._wanted(job_of(name, 1))[0]
    model = [path for path in paths if path.startswith("model/")]
    assert bool(model) == isinstance(make(name), AgentWithModel)
