"""Stream AC(lambda): textbook updates, traces against backpropagation, probes, bad input."""

from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.agents.reward_scale import reward_scale
from rlseq.envs.probe import FAMILY
from rlseq.errors import InputError
from rlseq.nn.normalisers import init_moments
from rlseq.types import TimeStep
from tests import kinds
from tests.agents.probing import first_values, mean_return
from tests.agents.small import KEY, fresh
from tests.draws import Draws

GAMMA = 0.9
# Values in units of the rewards, observations as they are.
PLAIN = {"gamma": GAMMA, "scale_rewards": False, "normalize_observations": False}
SETTINGS = {"num_steps": 256, "encoder": 16, "head": 16} | PLAIN


class Played(NamedTuple):
    """T steps of E environments."""

    obs: jax.Array
    reset: jax.Array
    action: jax.Array


@cache
def make(env_id="probe:Recall", core="rtu", num_envs=16, num_updates=20, options=(), **changes):
    env = rlseq.make_env(env_id, num_envs, **dict(options))
    memory = {"name": core, "features": 16, "layers": 1}
    return rlseq.make_agent(
        "stream", env, core=memory, num_updates=num_updates, **(SETTINGS | changes)
    )


def test_without_memory_and_traces_it_is_the_textbook_actor_critic():
    """One-step actor-critic (Sutton and Barto 2018, section 13.5), with steps of one size."""
    lr, steps = 0.05, 24
    agent = make("probe:Delayed", "mlp", 1, num_steps=steps, lam=0.0, entropy_coef=0.0, lr=lr,
                 kappa_policy=0.0, kappa_value=0.0)  # fmt: skip
    state = fresh(agent)
    learned = agent.train(state, 1)[0].params.network

    def log_pi(network, obs, action):
        params = state.params._replace(network=network)
        policy = agent.policy(params, agent.init_carry(1), obs, jnp.ones(1, bool))[1]
        return policy.log_prob(action)[0]

    def value(network, obs):
        params = state.params._replace(network=network)
        return agent.policy(params, agent.init_carry(1), obs, jnp.ones(1, bool))[2][0]

    @jax.jit
    def textbook(network, ts, after, action):
        with_value, without = (jax.value_and_grad(f) for f in (value, log_pi))
        now, by_value = with_value(network, ts.obs)
        ahead = jnp.where(after.terminated[0], 0, value(network, after.final_obs))
        delta = after.reward[0] + GAMMA * ahead - now
        _, by_policy = without(network, ts.obs, action)
        return jax.tree.map(lambda p, a, b: p + lr * delta * (a + b), network, by_value, by_policy)

    network, key = state.params.network, state.actor.key
    env_state, ts = state.actor.env_state, state.actor.timestep
    step = jax.jit(agent.env.step)
    for _ in range(steps):
        key, act_key, env_key, *_ = jax.random.split(key, 5)
        params = state.params._replace(network=network)
        policy = agent.policy(params, agent.init_carry(1), ts.obs, ts.reset)[1]
        action = policy.sample(act_key)
        env_state, after = step(env_state, action, env_key)
        network = textbook(network, ts, after, action)
        ts = after
    for one, other in zip(jax.tree.leaves(learned), jax.tree.leaves(network), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), network, state.params.network)
    assert max(jax.tree.leaves(moved)) > 0.1


@pytest.mark.parametrize("side", ["actor", "critic"])
def test_traces_are_the_gradients_of_backpropagation_of_all_steps_before(side):
    """z[t] = sum of (gamma lambda)^(t-k) grad log pi(a[k] | all before), as no step moves far."""
    steps, lam = 9, 0.7
    agent = make("memory:TMaze", "rtu", 3, options=(("corridor_length", 20),), num_steps=steps,
                 lr=1e-12, lam=lam, entropy_coef=0.0)  # fmt: skip
    state = fresh(agent)
    trained = agent.train(state, 1)[0].actor
    played = _replayed(agent, state, steps)
    learner = getattr(agent, side)

    @partial(jax.vmap, in_axes=(None, 1))
    def expected(params, t):
        def total(params):
            memory = learner.estimator.module
            carry, obs, reset = memory.init_carry(1), t.obs[:, None], t.reset[:, None]
            _, y = memory.apply(params["memory"], carry, obs, reset)
            says = learner.head.apply(params["head"], y[:, 0])
            each = says if side == "critic" else says.log_prob(t.action)
            return (each * (GAMMA * lam) ** jnp.arange(steps - 1.0, -1, -1)).sum()

        return jax.grad(total)(params)

    exact = jax.jit(expected)(state.params.network[side], played)
    found = getattr(trained.carry, side).eligibility
    assert jax.tree.structure(exact) == jax.tree.structure(found)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        other = np.asarray(other)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * max(1, np.abs(other).max()))
        assert np.abs(other).max() > 1e-6


def _replayed(agent, state, steps):
    """The steps that training makes, whose parameters stay the same."""
    key, env_state, ts = state.actor.key, state.actor.env_state, state.actor.timestep

    def step(loop, _):
        key, env_state, ts, carry = loop
        key, act_key, env_key, *_ = jax.random.split(key, 5)
        carry, policy, _ = agent.policy(state.params, carry, ts.obs, ts.reset)
        action = policy.sample(act_key)
        env_state, new = agent.env.step(env_state, action, env_key)
        return (key, env_state, new, carry), Played(ts.obs, ts.reset, action)

    start = key, env_state, ts, agent.init_carry(agent.env.num_envs)
    return jax.jit(lambda start: jax.lax.scan(step, start, None, steps)[1])(start)


def test_an_end_clears_the_traces_of_its_environment_alone():
    agent = make("probe:Delayed", "rtu", 4, num_steps=1)
    one, _ = agent.train(fresh(agent), 1)
    after_two, _ = agent.train(one, 1)

    def sizes(state):
        leaves = jax.tree.leaves((state.actor.carry.actor, state.actor.carry.critic))
        leaves = [leaf for leaf in leaves if leaf.ndim > 1]
        return [np.abs(np.asarray(leaf)).reshape(4, -1).sum(1) for leaf in leaves]

    assert sum(sizes(one)).min() > 0  # an episode has two steps
    z = jax.tree.leaves((after_two.actor.carry.actor.eligibility,
                         after_two.actor.carry.critic.eligibility))  # fmt: skip
    assert after_two.actor.timestep.reset.all() and not any(np.asarray(leaf).any() for leaf in z)


def test_rewards_are_divided_by_the_deviation_of_their_discounted_sums():
    steps, envs = 40, 3
    draws = Draws(0)
    reward, done = draws.normal(steps, envs), draws.happens(0.2, steps, envs)
    valid = draws.happens(0.8, steps, envs)
    never = jnp.zeros(envs, bool)

    def body(state, inputs):
        r, d, v = inputs
        new = TimeStep(r, r, d, never, d, r, v)
        *state, scale = reward_scale(*state, new, gamma=GAMMA)
        return tuple(state), scale

    start = init_moments(1), jnp.zeros(envs, jnp.float32)
    _, scales = jax.lax.scan(body, start, (reward, done, valid))
    u, seen = np.zeros(envs), []
    for t in range(steps):
        u = GAMMA * u + reward[t]
        seen += list(u[valid[t]])
        np.testing.assert_allclose(scales[t], 1 / np.std(seen) if len(seen) > 1 else 1, rtol=1e-3)
        u = np.where(done[t], 0, u)
    same = TimeStep(*(jnp.ones(envs),) * 2, *(~never,) * 3, jnp.ones(envs))
    assert reward_scale(*start, same, gamma=GAMMA)[2] == 1  # nothing to divide by


# Usually one core where memory is needed, the others and most other probes are slow tests.
USUAL = {"Recall": ("rtu",), "Truncated": ("mlp",), "Continuous": ("mlp",)}
PIXELS = ("Catch", "CatchBlind")
PAIRS = [
    pytest.param(probe, *core.values, marks=core.marks)
    for probe in FAMILY.ids()
    if probe not in PIXELS
    for core in kinds.cores(USUAL.get(probe, ()))
    if core.values[0] in ("mlp", "rtu", "gru")
    and (probe not in ("Recall", "Leak") or core.values != ("mlp",))
]


@pytest.mark.parametrize(("probe", "core"), PAIRS)
def test_stream_solves(probe, core):
    updates, changes = (40 if probe in ("Recall", "Leak") else 20), {}
    if (probe, core) == ("Leak", "rtu"):
        # A linear memory mixes the cues: no policy may be certain before it can tell them apart.
        updates, changes = 480, {"entropy_coef": 0.3}
    agent = make(f"probe:{probe}", core, num_updates=updates, **changes)

    @jax.jit
    def run(key):
        state, _ = agent.train(agent.init(key), updates)
        return mean_return(agent, state), first_values(env, agent, state)

    env = rlseq.make_env(f"probe:{probe}", 16)
    earned, values = map(np.asarray, run(KEY))
    optimal = env.env.optimal_return
    assert earned > optimal - 0.05 * max(1, abs(optimal))
    exact = env.env.value(GAMMA)
    assert (np.abs(values - exact) < 0.1 * np.maximum(1, np.abs(exact))).all()


@pytest.mark.parametrize("core", kinds.cores((*kinds.EACH_KIND, "mlp")))
@pytest.mark.parametrize("estimator", ["auto", "uoro"])
def test_every_core_learns_with_an_estimator_that_fits(core, estimator):
    if core == "mlp" and estimator == "uoro":
        with pytest.raises(InputError, match="estimator 'uoro' does not fit 1 layer of MLP"):
            make(core=core, estimator=estimator)
        return
    agent = make(core=core, estimator=estimator)
    state = jax.eval_shape(agent.init, KEY)
    after, metrics = jax.eval_shape(lambda state: agent.train(state, 1), state)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), state, after)
    assert all(jax.tree.leaves(same)) and metrics["loss/td"].shape == ()


def test_images_are_seen_whole_and_their_encoder_is_not_traced():
    agent = make("probe:Catch", num_envs=2, num_steps=2)
    state = jax.eval_shape(agent.init, KEY)
    after, _ = jax.eval_shape(lambda state: agent.train(state, 1), state)
    assert type(agent.actor.estimator.module.encoder).__name__ == "PixelEncoder"
    influence = after.actor.carry.actor.trace.influence
    assert influence and not any("encoder" in path for path in influence)
    vectors = jax.eval_shape(make().init, KEY).actor.carry.actor.trace.influence
    assert any("encoder" in path for path in vectors)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"core": "gru", "estimator": "rtrl"}, "'rtrl' does not fit 1 layer of GRU; it fits these"),
        ({"core": "mamba2", "estimator": "snap1"}, "'snap1' does not fit 1 layer of Mamba2"),
        ({"estimator": "rtlr"}, "Did you mean 'rtrl'"),
        ({"num_updates": 0}, "num_updates must be at least 1, got 0"),
        ({"kappa_value": -1.0}, "agent.kappa_value must be at least 0, got -1.0"),
        (
            {"env_id": "probe:Catch", "normalize_observations": True},
            "is for vectors, not for images",
        ),
    ],
)
def test_what_does_not_fit_is_named(settings, match):
    with pytest.raises(InputError, match=match):
        make(**settings)
