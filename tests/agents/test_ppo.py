"""What PPO promises of its interface: seeds, pieces, options, spaces, bad input."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.spaces import Box

import rlseq
from rlseq.agents.networks import action_head
from rlseq.errors import InputError
from tests.agents.small import (
    KEY,
    arrays,
    close,
    differ,
    fresh,
    make,
    recurrent,
    replay,
    rollout,
    same,
)


def test_seeds_by_vmap_equal_the_single_runs():
    agent = recurrent()
    keys = jax.random.split(KEY, 3)
    together, metrics = jax.jit(jax.vmap(lambda key: agent.train(agent.init(key), 2)))(keys)
    for i, key in enumerate(keys):
        mine = jax.tree.map(lambda x, i=i: x[i], (together, metrics))
        close(mine, agent.train(agent.init(key), 2))
    first, second = (jax.tree.map(lambda x, i=i: x[i], together.params) for i in (0, 1))
    assert differ(first, second)


def test_two_halves_equal_the_whole_bit_for_bit():
    agent = recurrent()
    start = fresh(agent)
    whole, _ = agent.train(start, 4)
    half, _ = agent.train(start, 2)
    same(whole, agent.train(half, 2)[0])
    assert whole.updates == 4 and differ(start.params, half.params)
    assert differ(half.params, whole.params)


def test_one_compilation_serves_calls_of_one_length():
    agent = make("probe:MultiAction")
    state, _ = agent.train(fresh(agent), 1)
    compiled = type(agent).train._cache_size()
    agent.train(state, 1)
    agent.train(fresh(agent), 1)
    assert type(agent).train._cache_size() == compiled


BAD = [
    *((name, 0, "at least 1") for name in ("num_steps", "epochs", "minibatches")),
    *((name, 0, "at least 1") for name in ("encoder", "head")),
    ("minibatches", 3, "divide env.num_envs = 4"),
    *((name, -0.1, "at least 0") for name in ("gamma", "lam")),
    *((name, 1.5, "at most 1") for name in ("gamma", "lam")),
    *((name, 0.0, "above 0") for name in ("lr", "clip", "max_grad_norm", "adam_eps")),
    *((name, -0.5, "at least 0") for name in ("value_clip", "target_kl", "entropy_coef")),
    ("value_coef", -0.5, "at least 0"),
    ("warmup", -1, "at least 0"),
    *((name, float("nan"), "") for name in ("lr", "gamma", "clip", "max_grad_norm", "lam")),
    *((name, float("nan"), "") for name in ("value_clip", "target_kl", "adam_eps")),
]


@pytest.mark.parametrize(("name", "value", "why"), BAD)
def test_a_value_out_of_range_is_named(name, value, why):
    with pytest.raises(InputError, match=rf"agent\.{name}.*{why}.*got {value}"):
        make(**{name: value})


def test_a_run_without_updates_is_an_error():
    with pytest.raises(InputError, match="num_updates must be at least 1, got 0"):
        rlseq.make_agent("ppo", rlseq.make_env("probe:Constant", 8), num_updates=0)


def test_unknown_names_are_errors_with_the_nearest():
    with pytest.raises(InputError, match=r"'gama'.*'gamma'"):
        make(gama=0.5)
    with pytest.raises(InputError, match=r"'linaer'.*'linear'"):
        make(schedule="linaer")
    with pytest.raises(InputError, match=r"'pp0'.*'ppo'"):
        rlseq.make_agent("pp0", rlseq.make_env("probe:Constant", 4))


def test_a_space_without_a_head_is_an_error():
    with pytest.raises(InputError, match="no policy head"):
        action_head(Box(0.0, 1.0, (2, 2), jnp.float32))


def test_separate_cores_have_parameters_and_carries_of_their_own():
    agent = make(core="gru", shared_core=False)
    assert len(recurrent().init_carry(2)) == 1 and len(agent.init_carry(2)) == 2
    state = fresh(agent)
    before = state.params.network["params"]
    assert differ(before["cores_0"], before["cores_1"])
    state, metrics = agent.train(state, 1)
    assert metrics["finite"] == 1
    for part in ("cores_0", "cores_1", "encoders_0", "encoders_1"):
        assert differ(before[part], state.params.network["params"][part])


@pytest.mark.parametrize("shared", [True, False])
def test_the_value_reaches_the_policys_core_only_when_they_share_it(shared):
    agent = make(shared_core=shared)
    obs, reset = jnp.ones((3, 2, 3)), jnp.zeros((3, 2), bool)

    def value(network):
        return agent.network.apply(network, agent.init_carry(2), obs, reset)[2].sum()

    gradient = jax.jit(jax.grad(value))(fresh(agent).params.network)
    assert any(leaf.any() for leaf in arrays(gradient["params"]["cores_0"])) == shared


def unhurried():
    """The agent of tests of episodes that are longer than two updates."""
    return make("probe:Truncated", normalize_observations=True, max_steps=9)


def test_normalised_observations_follow_what_was_seen():
    agent = unhurried()
    assert fresh(agent).params.moments.count == 0
    state, metrics = agent.train(fresh(agent), 2)
    assert metrics["finite"] == 1
    assert state.params.moments.count == 2 * 4 * 4  # updates, steps, environments
    np.testing.assert_allclose(state.params.moments.mean, 1)  # the probe shows nothing but ones
    assert metrics["return"] == metrics["episodes"] == 0  # none has ended after eight steps


def test_observations_are_left_alone_by_default():
    agent = make(core="gru", shared_core=False)
    state, _ = agent.train(fresh(agent), 1)
    same(state.params.moments, fresh(agent).params.moments)


SPACES = [
    ("MultiAction", (4, 2), np.int32),
    ("Coins", (4, 3), np.int32),
    ("Continuous", (4, 1), np.float32),
]


@pytest.mark.parametrize(("probe", "shape", "dtype"), SPACES)
def test_other_action_spaces_train_and_act(probe, shape, dtype):
    agent = make(f"probe:{probe}")
    state, metrics = agent.train(fresh(agent), 1)
    assert metrics["finite"] == 1 and metrics["episodes"] == 4 * 4
    ts = state.actor.timestep
    _, action = agent.act(state.params, agent.init_carry(4), ts.obs, ts.reset, KEY)
    assert action.shape == shape and action.dtype == dtype
    assert jax.vmap(agent.env.spec.action_space.contains)(action).all()


def test_greedy_acts_with_the_mode_and_sampling_does_not():
    agent = make("probe:MultiAction")
    state, carry = fresh(agent), agent.init_carry(4)
    ts = state.actor.timestep
    _, policy, _ = jax.jit(agent._policy)(state.params, carry, ts.obs, ts.reset)
    act = partial(agent.act, state.params, carry, ts.obs, ts.reset)
    keys = jax.random.split(KEY, 20)
    both = jax.jit(jax.vmap(lambda key: (act(key, greedy=True)[1], act(key)[1])))
    greedy, sampled = jax.tree.map(np.asarray, both(keys))
    assert (greedy == np.asarray(policy.mode())[None]).all()
    assert (sampled != sampled[:1]).any()


def test_acting_moves_the_carry_as_the_sequence_form_does():
    agent = recurrent()
    state, _ = agent.train(fresh(agent), 2)
    obs = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    reset = np.zeros((5, 4), bool)
    reset[0] = reset[3, 1] = True
    carry = agent.init_carry(4)
    for t in range(5):
        carry, _ = agent.act(state.params, carry, obs[t], reset[t], KEY, greedy=True)
    seen = agent._normalised(state.params.moments, obs)
    close(carry, replay(agent, state.params.network, agent.init_carry(4), seen, reset)[0])


def test_continuous_actions_are_clipped_on_their_way_out_only():
    agent = make("probe:Continuous")
    state = fresh(agent)
    wide = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 3 if "log_std" in jax.tree_util.keystr(path) else x, state.params
    )
    ts = state.actor.timestep
    _, action = agent.act(wide, agent.init_carry(4), ts.obs, ts.reset, KEY)
    assert (np.abs(action) <= 1).all() and (np.abs(action) == 1).any()
    trajectory = rollout(agent, state._replace(params=wide))
    # The density is that of the unclipped sample; the environment, which would charge its full
    # square distance, sees the clipped one.
    assert (np.abs(trajectory.action) > 1).any()
    assert (np.asarray(trajectory.reward) >= -((1 + 0.5) ** 2) - 1e-5).all()


def test_batched_marks_exactly_the_leaves_with_an_environment_axis():
    # Seven environments: no other axis of these trees has that length.
    agent = make("popgym:RepeatPreviousEasy", 7, minibatches=1, core="gru")
    state = fresh(agent)
    marks = agent.batched(state)
    assert jax.tree.structure(marks) == jax.tree.structure(state)
    shapes = [leaf.shape for leaf in jax.tree.leaves(state)]
    assert jax.tree.leaves(marks) == [shape[:1] == (7,) for shape in shapes]


def test_metrics_are_scalars_and_the_return_is_that_of_the_ended_episodes():
    agent = unhurried()
    state, _ = agent.train(fresh(agent), 2)
    _, metrics = agent.train(state, 2)  # steps 9 to 16
    assert all(value.shape == () for value in metrics.values())
    assert metrics["episodes"] == 4
    assert metrics["return"] == 9 and metrics["length"] == 9
