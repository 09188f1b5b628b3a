"""What every registered agent keeps; see `rlseq.types.Agent`."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq import registry
from rlseq.agents import agent_config, make_agent
from rlseq.errors import InputError
from rlseq.train import build, checkpoint, sharding
from rlseq.types import Agent
from rlseq.world_models.types import AgentWithModel
from tests.agents.registered import ENVS, NAMES, add_others, fresh, make, trained
from tests.agents.small import KEY, arrays, close, differ, same

METRICS = {"return", "length", "episodes", "valid_steps", "finite"}
pytestmark = pytest.mark.parametrize("name", NAMES)
SEEDS = jax.random.split(KEY, 2)


@cache
def seeds_together(name):
    """(states, metrics) after one update of two seeds in one program."""
    agent = make(name)
    train = jax.vmap(lambda key: agent.train(agent.init(key), 1))
    return jax.jit(train, compiler_options=build.compiler_options())(SEEDS)


@pytest.fixture(autouse=True, scope="module")
def every_agent():
    with pytest.MonkeyPatch.context() as patch:
        add_others(patch)
        yield


def observed(name):
    """(parameters, observations and resets of a trained agent's environments)."""
    agent, (state, _) = make(name), trained(name)
    _, ts = jax.jit(agent.env.reset)(KEY)
    return agent.policy_params(state), ts.obs


def test_it_is_an_agent_with_settings_that_all_have_defaults(name):
    agent, config = make(name), agent_config(name)
    assert isinstance(agent, Agent) and isinstance(agent.steps_per_update, int)
    assert type(registry.load("agent", name).needs_world_model) is bool
    assert config() == config() and hash(config())
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config(), dataclasses.fields(config)[0].name, 1)
    with pytest.raises(InputError, match="unknown option of agent"):
        make_agent(name, agent.env, no_such_option=1)


def test_two_halves_equal_the_whole_bit_for_bit(name):
    agent, (half, _) = make(name), trained(name)
    whole, metrics = agent.train(fresh(name), 2)
    same(whole, agent.train(half, 1)[0])
    assert whole.updates == 2 and half.updates == 1 and fresh(name).updates == 0
    params = [agent.policy_params(state) for state in (fresh(name), half, whole)]
    assert differ(*params[:2]) and differ(*params[1:])
    assert set(metrics) == set(trained(name)[1])


def test_it_resumes_from_a_checkpoint_bit_for_bit(name, tmp_path):
    agent, (half, _) = make(name), trained(name)
    (tmp_path / "checkpoints").mkdir()
    checkpoint.save(tmp_path / "checkpoints", 1, half, keep=1, score=0.0)
    _, restored = checkpoint.restore(tmp_path / "checkpoints", jax.eval_shape(lambda: fresh(name)))
    same(half, restored)
    same(agent.train(half, 1), agent.train(restored, 1))


def test_seeds_by_vmap_equal_the_single_ones(name):
    agent, together = make(name), seeds_together(name)
    for i, key in enumerate(SEEDS):
        mine = jax.tree.map(lambda x, i=i: x[i], together)
        close(mine, agent.train(agent.init(key), 1), rtol=1e-3, atol=1e-4)
    one, two = (jax.tree.map(lambda x, i=i: x[i], together[0]) for i in (0, 1))
    assert differ(agent.policy_params(one), agent.policy_params(two))


def test_a_mesh_over_seeds_and_environments_changes_nothing(name):
    agent = make(name)
    states = jax.jit(jax.vmap(agent.init))(SEEDS)
    mesh = sharding.make_mesh("seed=2,env=2", seeds=2, num_envs=ENVS)
    layout = sharding.shardings(mesh, states, agent.batched(trained(name)[0]))
    train = jax.jit(
        jax.vmap(lambda state: agent.train(state, 1)),
        in_shardings=(layout,), out_shardings=(layout, None),
        compiler_options=build.compiler_options(),
    )  # fmt: skip
    spread = train(jax.device_put(states, layout))
    close(spread, seeds_together(name), rtol=1e-3, atol=1e-4)
    split = {
        len({str(shard.index) for shard in leaf.addressable_shards})
        for leaf in jax.tree.leaves(spread[0])
    }
    assert split == ({2, 4} if agent.steps_environment else {2})


def test_batched_marks_exactly_the_leaves_with_an_environment_axis(name):
    agent, state = make(name), trained(name)[0]
    marks = agent.batched(state)
    assert jax.tree.structure(marks) == jax.tree.structure(state)
    shapes = [leaf.shape[:1] == (ENVS,) for leaf in jax.tree.leaves(state)]
    assert jax.tree.leaves(marks) == shapes and any(shapes) == agent.steps_environment


def test_metrics_are_finite_scalars_and_count_what_happened(name):
    agent, (state, metrics) = make(name), trained(name)
    assert set(metrics) > METRICS and any(key.startswith("loss/") for key in metrics)
    for value in metrics.values():
        assert value.shape == () and value.dtype == jnp.float32 and np.isfinite(value)
    assert metrics["finite"] == 1
    assert all(np.isfinite(x).all() for x in arrays(state) if np.issubdtype(x.dtype, np.floating))
    steps = agent.steps_per_update if agent.steps_environment else 0
    assert metrics["valid_steps"] == steps and metrics["episodes"] <= steps
    assert (metrics["length"] > 0) == (metrics["episodes"] > 0) == agent.steps_environment


def test_greedy_actions_are_determined_and_all_lie_in_the_space(name):
    agent, (params, obs) = make(name), observed(name)
    reset = jnp.ones(ENVS, bool)
    keys = jax.random.split(KEY, 512)  # PQN explores in one step of a hundred
    first = agent.init_carry(ENVS)

    @jax.jit
    @jax.vmap
    def actions(key):
        sampled = agent.act(params, first, obs, reset, key)[1]
        return sampled, agent.act(params, first, obs, reset, key, greedy=True)[1]

    sampled, greedy = actions(keys)
    if not isinstance(agent, AgentWithModel):  # whose perception is a sample
        assert (greedy == greedy[:1]).all()
    assert (np.asarray(sampled) != np.asarray(sampled)[:1]).any()
    contains = jax.vmap(jax.vmap(agent.env.spec.action_space.contains))
    assert contains(sampled).all() and contains(greedy).all()


def test_a_reset_forgets_every_carry_and_nothing_else_does(name):
    agent, (params, obs) = make(name), observed(name)
    clean, kept = agent.init_carry(ENVS), jnp.zeros(ENVS, bool)
    broken = jax.tree.map(
        lambda x: jnp.full_like(x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.inexact) else x, clean
    )
    afresh = agent.act(params, clean, obs, ~kept, KEY, greedy=True)
    same(agent.act(params, broken, obs, ~kept, KEY, greedy=True), afresh)
    same(agent.act(params, clean, obs, kept, KEY, greedy=True), afresh)  # a fresh carry needs none
    later, _ = agent.act(params, afresh[0], obs, kept, KEY, greedy=True)
    assert differ(later, afresh[0])
    assert jax.tree.map(jnp.shape, later) == jax.tree.map(jnp.shape, clean)


def test_environments_do_not_mix(name):
    agent, (params, obs) = make(name), observed(name)
    others = jax.tree.map(lambda x: x.at[1:].set(x[1:, ..., ::-1]), obs)
    assert differ(obs, others)
    first, reset = agent.init_carry(ENVS), jnp.ones(ENVS, bool)
    one, two = (agent.act(params, first, x, reset, KEY, greedy=True) for x in (obs, others))
    close(*(jax.tree.map(lambda x: x[0], result) for result in (one, two)))
    assert differ(one[0], two[0])
