"""Policies called as people call `predict`: taken where it is clear, else refused in words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from rlseq.agents import make_agent
from rlseq.envs import make_env
from rlseq.envs.spaces import MultiDiscrete
from rlseq.errors import InputError
from rlseq.train.policy import Policy, batched


@pytest.fixture(scope="module")
def policy() -> Policy:
    """Untrained, of PPO with a GRU; observations are Box(2,) of float32."""
    env = make_env("popgym:PositionOnlyCartPoleEasy", num_envs=2)
    settings = {"num_steps": 4, "minibatches": 1, "epochs": 1, "encoder": 4, "head": 4}
    agent = make_agent("ppo", env, core={"name": "gru", "features": 4}, num_updates=1, **settings)
    params = agent.policy_params(agent.init(jax.random.key(0)))
    return Policy(agent, params, env.spec.obs_space)


def leaves(carry):
    return [np.asarray(x) for x in jax.tree.leaves(carry)]


def assert_same(one, two):
    for a, b in zip(leaves(one), leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


OBS = np.array([[0.1, -0.2], [0.5, 0.25], [1.0, 0.0]], np.float32)


def test_one_observation_has_one_action(policy):
    """What it gives is row 0 of a batch of one, step by step."""
    single, many = None, policy.init_carry(1)
    for obs in OBS:
        single, action = policy(single, obs)
        many, actions = policy(many, jnp.asarray(obs)[None], jnp.zeros(1, bool))
        assert np.shape(action) == () and action == actions[0]
        assert_same(single, many)


def test_no_carry_is_a_fresh_one(policy):
    assert_same(policy(None, OBS)[0], policy(policy.init_carry(3), OBS, np.ones(3, bool))[0])


@pytest.mark.parametrize(
    "given",
    [OBS.astype(np.float64), OBS.tolist(), tuple(map(tuple, OBS)), jnp.asarray(OBS)],
    ids=["float64", "lists", "tuples", "jax"],
)
def test_values_of_other_kinds_are_the_same_observations(policy, given):
    assert_same(policy(None, given), policy(None, OBS))


def test_one_reset_is_for_all(policy):
    carry, _ = policy(None, OBS)
    for reset in (True, np.True_, [True] * 3, jnp.ones((), bool)):
        assert_same(policy(carry, OBS, reset), policy(None, OBS))
    assert_same(policy(carry, OBS, False), policy(carry, OBS, np.zeros(3, bool)))
    mixed = policy(carry, OBS, [True, False, False])[0]
    for a, b, kept in zip(
        leaves(mixed), leaves(policy(None, OBS)[0]), leaves(policy(carry, OBS)[0]), strict=True
    ):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1:], kept[1:])


def test_keys_sample_and_older_keys_do_too(policy):
    new = [int(policy(None, OBS[0], key=jax.random.key(i))[1]) for i in range(20)]
    old = [int(policy(None, OBS[0], key=jax.random.PRNGKey(i))[1]) for i in range(20)]
    assert new == old and set(new) == {0, 1}


WRONG = [
    (None, OBS[:, :1], {}, r"takes observations of Box\(2,\), float32 \[B, 2\], or one \[2\]: got "
     r"shape \(3, 1\)"),
    (None, OBS[None], {}, r"got shape \(1, 3, 2\)"),
    (None, 0.5, {}, r"got shape \(\)"),
    (None, "left", {}, "got 'left'"),
    (None, [[0.1, 0.2], [0.3]], {}, "got .*0.3"),
    (None, [None, None], {}, "got object with values"),
    (None, np.array([1e300, 0.0]), {}, "got float64 with values that do not fit"),
    (None, OBS, {"reset": [True, False]}, r"one bool or bool \[3\], got shape \(2,\)"),
    (1, OBS, {}, r"carry is not one of 3 episodes.*init_carry\(3\)"),
    (2, OBS[0], {}, "carry is not one of 1 episodes"),
    (None, OBS, {"key": 7}, "key is a jax.random.key.*got 7"),
    (None, OBS, {"key": jax.random.split(jax.random.key(0), 2)}, "key is a jax.random.key"),
]  # fmt: skip


@pytest.mark.parametrize(("batch", "obs", "more", "message"), WRONG)
def test_what_is_not_clear_is_refused_in_the_policys_words(policy, batch, obs, more, message):
    carry = None if batch is None else policy.init_carry(batch)
    with pytest.raises(InputError, match=message):
        policy(carry, obs, **more)


def test_a_carry_of_something_else_is_refused(policy):
    for carry in ((), np.zeros((1, 4)), {"a": jnp.zeros(4)}, "none"):
        with pytest.raises(InputError, match="carry is not one of 1 episodes"):
            policy(carry, OBS[0])


def test_an_eager_loop_compiles_once_a_shape_and_keeps_nothing(policy):
    def play(steps: int) -> None:
        carry = None
        for _ in range(steps):
            carry, _ = policy(carry, OBS)
        single = None
        for obs in OBS:
            single, _ = policy(single, obs, False)

    play(2)
    before = policy._act._cache_size(), len(jax.live_arrays())
    play(300)
    assert (policy._act._cache_size(), len(jax.live_arrays())) == before


def test_a_policy_can_be_called_inside_jit(policy):
    @jax.jit
    def run(carry, obs):
        return jax.lax.scan(lambda c, o: policy(c, o, False), carry, obs)

    carry, actions = run(policy.init_carry(1), OBS)
    assert actions.shape == (3,) and carry is not None


SPACE = spaces.Dict({"obs": spaces.Discrete(4), "action": MultiDiscrete([2, 3])})


def test_parts_of_an_observation_are_taken_as_their_space_has_them():
    one = {"obs": 2, "action": np.array([1, 2], np.int64)}
    obs, batch, single = batched(SPACE, one)
    assert (batch, single) == (1, True)
    assert obs["obs"].shape == (1,) and obs["action"].shape == (1, 2)
    assert obs["obs"].dtype == obs["action"].dtype == jnp.int32
    obs, batch, single = batched(SPACE, {"obs": [2, 3], "action": np.ones((2, 2), np.uint8)})
    assert (batch, single) == (2, False) and obs["action"].shape == (2, 2)
    pair = spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 255, (2,), jnp.uint8)))
    obs, _, _ = batched(pair, (1, [0.0, 255.0]))
    assert obs[1].dtype == jnp.uint8 and obs[1].tolist() == [[0, 255]]


@pytest.mark.parametrize(
    ("space", "obs", "message"),
    [
        (SPACE, {"obs": 1}, r"have the keys \['obs', 'action'\], got \['obs'\]"),
        (SPACE, np.zeros(3), "have the keys .*, got ndarray"),
        (SPACE, {"obs": [1, 2], "action": [1, 1]}, "different batches"),
        (SPACE, {"obs": 1.5, "action": [1, 1]}, r"Discrete\(4\), int32 \[B\], or one \[\]: got"),
        (spaces.Tuple((SPACE,)), ({"obs": 1},), r"at \[0\] have the keys"),
        (spaces.Tuple((SPACE,)), (), "have 1 parts, got 0"),
        (spaces.Box(0, 255, (2,), jnp.uint8), [0, 256], "got int64 with values that do not fit"),
        (spaces.Box(0, 255, (2,), jnp.uint8), [0, -1], "values that do not fit"),
        (spaces.Discrete(2), np.nan, "values that do not fit"),
    ],
)
def test_parts_that_do_not_fit_are_named(space, obs, message):
    with pytest.raises(InputError, match=message):
        batched(space, obs)
