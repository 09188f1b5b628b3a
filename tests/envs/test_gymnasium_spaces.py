"""What 32 bits cannot hold is refused or kept; actions that are whole numbers or coins arrive."""

import gymnasium
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as theirs
from gymnax.environments import spaces
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlseq.agents.networks import action_head
from rlseq.envs import make_env
from rlseq.envs.gymnasium_spaces import convert, fitted, narrow, received, shapes
from rlseq.envs.spaces import MultiBinary, MultiDiscrete
from rlseq.errors import HostEnvError, InputError

KEY = jax.random.key(0)
steady = hypothesis.settings(deadline=None, derandomize=True, max_examples=100)
INT64 = theirs.Box(-(2**63), 2**63 - 1, (2,), np.int64)
UINT64 = theirs.Box(0, 2**64 - 1, (2,), np.uint64)
CHOICE = theirs.Discrete(2)


class Says(gymnasium.Env):
    """Shows `obs` and pays `reward` at every step; keeps the actions it was given."""

    def __init__(self, sees=None, obs=None, acts=CHOICE, reward=0.0):
        self.observation_space = theirs.Box(-1, 1, (1,)) if sees is None else sees
        self.action_space, self.reward = acts, reward
        self.obs = np.zeros(1, np.float32) if obs is None else obs
        self.first, self.received_action = self.observation_space.sample(), []

    def reset(self, *, seed=None, options=None):
        return (self.obs if self.reward == 0 else self.first), {}

    def step(self, action):
        assert np.asarray(action) in self.action_space
        self.received_action.append(action)
        return self.obs, self.reward, False, False, {}


def says(debug=False, flatten=False, **about):
    """One that says it; options of its own would be tried out when it is made."""
    gymnasium.registry.pop("Says-v0", None)
    gymnasium.register("Says-v0", entry_point=Says, kwargs=about, disable_env_checker=True)
    return make_env("gymnasium:Says-v0", 1, debug=debug, flatten=flatten)


@steady
@hypothesis.given(
    wide=st.sampled_from([(np.int64, np.int32), (np.uint64, np.uint32)]).flatmap(
        lambda pair: st.tuples(hnp.arrays(pair[0], 3), st.just(pair[1]))
    )
)
def test_whole_numbers_stay_or_are_refused(wide):
    numbers, dtype = wide
    inside = (numbers >= np.iinfo(dtype).min) & (numbers <= np.iinfo(dtype).max)
    if inside.all():
        np.testing.assert_array_equal(fitted(numbers, dtype, "it"), numbers)
    else:
        with pytest.raises(OverflowError, match=f"it of {numbers[~inside][0]} does not fit"):
            fitted(numbers, dtype, "it")


@steady
@hypothesis.given(numbers=hnp.arrays(np.float64, 3, elements=st.floats(width=64)))
def test_floats_are_rounded_or_refused(numbers):
    with np.errstate(over="ignore"):
        exact = numbers.astype(np.float32)
    if (np.isinf(exact) == np.isinf(numbers)).all():
        np.testing.assert_array_equal(fitted(numbers, np.float32, "it"), exact)
    else:
        with pytest.raises(OverflowError, match="does not fit float32"):
            fitted(numbers, np.float32, "it")


@pytest.mark.parametrize(
    ("sees", "obs"),
    [
        (INT64, np.array([1, 2**31])),
        (INT64, np.array([-(2**31) - 1, 0])),
        (UINT64, np.array([2**32, 0], np.uint64)),
        (theirs.Box(-1e300, 1e300, (2,), np.float64), np.array([0, 1e39])),
        (theirs.Dict({"a": theirs.Discrete(3, start=2**40)}), {"a": np.int64(0)}),
    ],
)
def test_observations_that_do_not_fit_are_a_failure_of_the_environment(sees, obs):
    with pytest.raises(HostEnvError, match=r"OverflowError: .* does not fit"):
        says(sees=sees, obs=obs).reset(KEY)


@pytest.mark.parametrize(
    ("sees", "obs", "seen"),
    [
        (INT64, np.array([-(2**31), 2**31 - 1]), [-(2**31), 2**31 - 1]),
        (UINT64, np.array([0, 2**32 - 1], np.uint64), [0, 2**32 - 1]),
        (theirs.Box(0, 2**32 - 1, (1,), np.uint32), np.array([2**32 - 1], np.uint32), [2**32 - 1]),
        (theirs.Discrete(3, start=2**40), 2**40 + 2, 2),
        (theirs.Discrete(3, start=-(2**40)), 2 - 2**40, 2),
        (theirs.MultiDiscrete([3, 4], start=[2**40, -5]), np.array([2**40 + 1, -2]), [1, 3]),
        (theirs.MultiDiscrete([3, 4], np.uint64), np.array([2, 3], np.uint64), [2, 3]),
        (theirs.MultiDiscrete([3, 4], np.int8), np.array([2, 3], np.int8), [2, 3]),
        (theirs.MultiDiscrete([[2, 3], [4, 5]]), np.array([[1, 2], [3, 4]]), [1, 2, 3, 4]),
        (theirs.MultiDiscrete([[2], [9]], start=[[0], [5]]), np.array([[1], [13]]), [1, 8]),
        (theirs.Box(-np.inf, np.inf, (1,), np.float64), np.array([np.inf]), [np.inf]),
    ],
)
def test_observations_that_fit_are_kept(sees, obs, seen):
    _, ts = says(sees=sees, obs=obs).reset(KEY)
    np.testing.assert_array_equal(np.asarray(ts.obs)[0], np.asarray(seen))


def test_bounds_that_do_not_fit_end_where_the_dtype_does():
    low, high = (np.asarray(bound) for bound in (convert(INT64).low, convert(INT64).high))
    assert (low == -(2**31)).all() and (high == 2**31 - 1).all()
    wide = convert(theirs.Box(-1e300, 1e300, (1,), np.float64))
    assert wide.low == -np.inf and wide.high == np.inf


def test_rewards_that_do_not_fit_are_refused():
    venv = says(reward=1e39)
    state, _ = venv.reset(KEY)
    with pytest.raises(HostEnvError, match=r"a reward of 1e\+39 does not fit float32"):
        venv.step(state, jnp.zeros(1, jnp.int32), KEY)


@pytest.mark.parametrize(
    "space",
    [theirs.Discrete(2**31), theirs.MultiDiscrete([2, 2**31]), theirs.Discrete(2**40, start=3)],
)
def test_more_choices_than_an_int32_holds_are_refused(space):
    for which in ("sees", "acts"):
        with pytest.raises(InputError, match=r"choices, and|choices: at most 2,147,483,647"):
            says(**{which: space})


def test_more_choices_are_refused_of_every_family(monkeypatch):
    from rlseq.envs import base, probe_one_step

    monkeypatch.setattr(
        probe_one_step.Constant, "observation_space", lambda *_: spaces.Discrete(2**31)
    )
    assert issubclass(probe_one_step.Constant, base.Env)
    with pytest.raises(InputError, match="2,147,483,648 choices"):
        make_env("probe:Constant")


def test_dtypes_without_a_counterpart_are_refused():
    for dtype in (np.complex64, "datetime64[s]", "U3"):
        with pytest.raises(InputError, match="has no counterpart"):
            narrow(dtype)


def received_action(venv, action):
    """The action that one environment received, and the action its log holds."""
    state, _ = venv.reset(KEY)
    venv.step(state, jnp.asarray(action)[None], KEY)
    return venv._make(1).env.envs[0].unwrapped.received_action[-1]


@pytest.mark.parametrize(
    ("acts", "mine", "action", "theirs_"),
    [
        (theirs.MultiBinary(3), MultiBinary(3), [1, 0, 1], [1, 0, 1]),
        (theirs.MultiBinary((2, 2)), MultiBinary(4), [1, 0, 0, 1], [[1, 0], [0, 1]]),
        (theirs.Box(-3, 3, (1,), np.int32), MultiDiscrete([7]), [0], [-3]),
        (theirs.Box(-3, 3, (), np.int32), MultiDiscrete([7]), [6], 3),
        (theirs.Box(-128, 127, (2,), np.int8), MultiDiscrete([256] * 2), [0, 255], [-128, 127]),
        (theirs.Box(0, 255, (2, 1), np.uint8), MultiDiscrete([256] * 2), [255, 1], [[255], [1]]),
        (theirs.Box(2**40, 2**40 + 3, (1,), np.int64), MultiDiscrete([4]), [3], [2**40 + 3]),
        (theirs.Discrete(3, start=2**40), spaces.Discrete(3), 2, 2**40 + 2),
        (theirs.MultiDiscrete([3, 4], start=[2**40, -5]), None, [1, 3], [2**40 + 1, -2]),
        (
            theirs.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 0], [0, 7]]),
            MultiDiscrete([2, 3, 4, 5]),
            [1, 0, 3, 4],
            [[1, 0], [3, 11]],
        ),
    ],
)
def test_actions_of_every_space_arrive(acts, mine, action, theirs_):
    venv = says(acts=acts)
    if mine is not None:
        assert repr(venv.spec.action_space) == repr(mine)
    np.testing.assert_array_equal(received_action(venv, action), np.asarray(theirs_))
    assert np.asarray(received_action(venv, venv.spec.action_space.sample(KEY))) in acts
    kind, sizes = action_head(venv.spec.action_space)
    assert kind == ("binary" if isinstance(acts, theirs.MultiBinary) else kind) and sum(sizes) > 1


@pytest.mark.parametrize(
    ("acts", "given", "clipped"),
    [
        (theirs.MultiBinary(2), jnp.array([256, -1], jnp.int32), [1, 0]),
        (theirs.Discrete(3), jnp.uint32(2**32 - 1), 2),
        (theirs.Discrete(300), jnp.uint8(255), 255),
        (theirs.MultiDiscrete([300], np.int64), jnp.array([2**31 - 1], jnp.int32), [299]),
        (theirs.Box(-1, 1, (1,), np.float64), jnp.array([3.0], jnp.float32), [1]),
    ],
)
def test_actions_out_of_range_are_clipped_in_the_dtype_they_come_in(acts, given, clipped):
    np.testing.assert_array_equal(received_action(says(acts=acts), given), np.asarray(clipped))


@pytest.mark.parametrize(
    "acts",
    [
        theirs.Box(-np.inf, np.inf, (1,), np.int32),
        theirs.Box(0, 2**16, (1,), np.int32),
        theirs.Box(0, 2**64 - 1, (1,), np.uint64),
    ],
)
def test_whole_numbers_without_near_bounds_have_no_head(acts):
    with pytest.raises(InputError, match=r"no policy head.*finite bounds"):
        action_head(says(acts=acts).spec.action_space)


def test_floats_are_no_whole_numbers():
    venv = says(acts=theirs.Box(-np.inf, np.inf, (1,), np.int32))
    state, _ = venv.reset(KEY)
    with pytest.raises(InputError, match="takes whole numbers, got actions of float32"):
        venv.step(state, jnp.ones((1, 1)), KEY)


def test_actions_of_several_parts_are_refused():
    with pytest.raises(InputError, match="several parts"):
        says(acts=theirs.Tuple((CHOICE, CHOICE)))


class Mission(gymnasium.Env):
    """A board, a direction and a mission in words, as of MiniGrid; ends at once."""

    observation_space = theirs.Dict(
        image=theirs.Box(0, 9, (2, 2), np.uint8),
        direction=theirs.Discrete(4),
        mission=theirs.Text(20),
        seen=theirs.MultiDiscrete([[2, 3], [2, 3]]),
    )
    action_space = CHOICE

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self.shown(), {}

    def step(self, action):
        self.steps += 1
        return self.shown(), 1.0, self.steps == 2, False, {}

    def shown(self):
        board, seen = np.full((2, 2), self.steps, np.uint8), np.array([[1, self.steps]] * 2)
        return {"image": board, "direction": self.steps, "mission": "go", "seen": seen}


def test_parts_of_a_dict_are_kept_by_name():
    gymnasium.registry.pop("Mission-v0", None)
    gymnasium.register("Mission-v0", entry_point=Mission, disable_env_checker=True)
    with pytest.raises(
        InputError, match=r"Text.* no counterpart here; .* obs_keys names the parts"
    ):
        make_env("gymnasium:Mission-v0")
    with pytest.raises(InputError, match=r"unknown part of the observation .* mean 'image'"):
        make_env("gymnasium:Mission-v0", obs_keys=("imag",))
    with pytest.raises(InputError, match="obs_keys picks parts of a Dict, gymnasium:CartPole-v1"):
        make_env("gymnasium:CartPole-v1", obs_keys=("image",))
    venv = make_env("gymnasium:Mission-v0", 2, obs_keys=("seen", "image", "direction"))
    state, first = venv.reset(KEY)
    assert set(first.obs) == {"direction", "image", "seen"}
    for _ in range(2):
        state, ts = venv.step(state, jnp.zeros(2, jnp.int32), KEY)
    assert ts.terminated.all()
    np.testing.assert_array_equal(ts.final_obs["seen"], [[1, 2, 1, 2]] * 2)
    np.testing.assert_array_equal(ts.obs["seen"], [[1, 0, 1, 0]] * 2)
    np.testing.assert_array_equal(ts.final_obs["image"], np.full((2, 2, 2), 2))


def test_an_observation_outside_its_choices_is_found_in_debugging():
    venv = says(sees=theirs.Discrete(3), obs=7, debug=True, flatten=True)
    state, ts = venv.reset(KEY)
    assert not ts.obs.any()
    with pytest.raises(Exception, match=r"an observation of gymnasium:Says-v0 .*Discrete\(3\)"):
        venv.step(state, jnp.zeros(1, jnp.int32), KEY)


def test_received_has_the_dtypes_that_were_announced():
    choices = theirs.MultiDiscrete([3], np.int8), theirs.MultiDiscrete([[3, 2]])
    for space in (*choices, INT64, theirs.Discrete(2), CHOICE):
        rows = np.stack([space.sample() if space is not INT64 else np.zeros(2, np.int64)] * 2)
        got, said = received(space, rows), shapes(space, 2)
        assert (got.shape, got.dtype) == (said.shape, said.dtype)
