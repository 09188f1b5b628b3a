"""Under JAX_ENABLE_X64: every environment, agent and world model keeps its dtypes of 32 bits."""

import jax
import jax.numpy as jnp
import pytest

import rlseq
from rlseq import registry
from rlseq.envs.spaces import map_parts
from rlseq.laws.agent_cases import ENVS
from tests.agents import registered
from tests.flags.tracing import doubles, wide_leaves
from tests.own_envs import own_ids

KEY = jax.random.key(0)
SIZED = ("Medium", "Hard")  # popgym's other sizes run the code of Easy
AROUND = {
    "obs_noise": 0.1,
    "obs_flicker": 0.1,
    "obs_delay": 2,
    "previous_action": True,
    "start_flag": True,
    "flatten": True,
    "statistics": True,
}
WRAPPED = (
    ("gymnax:Pendulum-v1", AROUND),
    ("meta:CartPole", AROUND),
    ("popgym:NoisyPositionOnlyPendulumEasy", AROUND),
    ("minatar:Breakout", {"frame_skip": 2, "sticky_actions": 0.2}),
    ("popgym:PositionOnlyCartPoleEasy", {"observe": "both", "sticky_actions": 0.2}),
    ("probe:Recall", {"debug": False, "action_log": 2}),
)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def ids():
    for name in own_ids():
        larger = name.startswith("popgym:") and name.endswith(SIZED)
        yield pytest.param(name, {}, marks=pytest.mark.slow if larger else ())
    yield from WRAPPED


def widened(tree):
    """Actions as a caller's own arithmetic gives them."""
    kinds = {"i": jnp.int64, "f": jnp.float64}
    return jax.tree.map(lambda x: x.astype(kinds.get(x.dtype.kind, x.dtype)), tree)


@pytest.mark.parametrize(("name", "options"), list(ids()))
def test_environments(name, options):
    env = rlseq.make_env(name, 2, **options)

    def play(key):
        state, first = env.reset(key)
        action = jax.vmap(env.spec.action_space.sample)(jax.random.split(key, 2))
        return state, action, first, env.step(state, widened(action), key)

    state, action, first, (after, second) = jax.eval_shape(play, KEY)
    assert not wide_leaves((state, action, first, after, second))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), after
    )

    def check(space, shown):
        assert shown.dtype == space.dtype and shown.shape[1:] == tuple(space.shape)

    for step in (first, second):
        map_parts(check, env.spec.obs_space, step.obs)
        map_parts(check, env.spec.obs_space, step.final_obs)
    assert not doubles(env.reset, KEY) + doubles(env.step, state, action, KEY)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("popgym:RepeatPreviousEasy", {"target_kl": 0.01, "value_clip": 0.2, "warmup": 2}),
        ("gymnax:Pendulum-v1", {"normalize_observations": True, "schedule": "cosine"}),
        ("probe:MultiAction", {"shared_core": False, "schedule": "constant"}),
        ("minatar:Breakout", {"encoder_kind": "conv"}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ppo(name, changes, dtype):
    env = rlseq.make_env(name, 2)
    core = {"name": "gru", "features": 8, "dtype": dtype}
    small = {"num_steps": 4, "minibatches": 2, "epochs": 2, "encoder": 8, "head": 8}
    agent = rlseq.make_agent("ppo", env, core=core, num_updates=4, **(small | changes))
    learns(agent, env, dtype)


@pytest.mark.parametrize(
    ("name", "model", "changes"),
    [
        ("minatar:Breakout", {}, {}),
        ("probe:CatchBlind", {"encoder": "conv"}, {"starts": "batch", "start_every": 2}),
        ("probe:Recall", {"widths": (8,)}, {"act_on": "prior", "sampling": "uniform"}),
        ("probe:Recall", {"widths": (8,)}, {"algorithm": "ppo", "target_kl": 0.1}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_imagination(name, model, changes, dtype):
    small = {"num_steps": 4, "batch": 2, "length": 4, "contexts": 2, "context": 2}
    small |= {"horizon": 3, "warmup": 8, "capacity": 64, "actor": 8, "critic": 8}
    env = rlseq.make_env(name, 2)
    core = {"name": "gru", "features": 8, "dtype": dtype}
    world = {"name": "drama", "preset": "nano", **model}
    agent = rlseq.make_agent("imagination", env, core=core, world_model=world, **(small | changes))
    learns(agent, env, dtype)

    def see(key):
        params = agent.model.init(key)
        latent = agent.model.encode(params, env.reset(key)[1].obs, key)
        return latent, agent.model.decode(params, latent)

    assert not wide_leaves(jax.eval_shape(see, KEY))


@pytest.mark.parametrize(
    ("name", "core", "changes"),
    [
        ("probe:Recall", "gru", {"value_head": "rescaled", "anneal": 10, "reset_every": 8}),
        ("probe:Recall", "gru", {"value_head": "categorical", "sampling": "uniform"}),
        ("probe:Catch", "mlp", {"frames": 3, "shift": 2, "target_period": 1, "dueling": False}),
        ("probe:Catch", "gru", {"frames": 2, "shift": 1, "value_head": "scalar"}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_r2d2(name, core, changes, dtype):
    small = {"num_steps": 2, "warmup": 32, "capacity": 64, "batch": 2, "length": 3, "burn_in": 2}
    small |= {"n_step": 2, "n_step_first": 4, "encoder": 8, "head": 8}
    env = rlseq.make_env(name, 2)
    memory = {"name": core, "features": 8, "dtype": dtype}
    learns(rlseq.make_agent("r2d2", env, core=memory, **(small | changes)), env, dtype)


@pytest.mark.parametrize("name", registry.names("agent"))
def test_every_agent(name):
    agent = registered.make.__wrapped__(name)  # and not the one that other tests share
    learns(agent, rlseq.make_env("probe:Leak", ENVS), "float32")


def learns(agent, given, dtype):
    """Traces init, train and act on the environment as it was given.

    A core in float64 alone makes parameters and memory wide.
    """

    def run(key):
        state = agent.init(key)
        after, metrics = agent.train(state, 2)
        params, ts = agent.policy_params(after), given.reset(key)[1]
        carry = agent.init_carry(given.num_envs)
        acted = agent.act(params, carry, ts.obs, ts.reset, key)
        return state, after, carry, acted, metrics

    state, after, carry, (new, action), metrics = jax.eval_shape(run, KEY)
    assert [x.dtype for x in jax.tree.leaves(carry)] == [x.dtype for x in jax.tree.leaves(new)]
    assert not wide_leaves(action)
    assert jax.tree.structure(state) == jax.tree.structure(after)
    assert [x.dtype for x in jax.tree.leaves(state)] == [x.dtype for x in jax.tree.leaves(after)]
    assert not wide_leaves(metrics)
    wide = wide_leaves(state)
    assert (wide != []) == (dtype == "float64")
