"""PQN: its targets against NumPy, its replayed sequences, its exploration, and every probe."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments.spaces import Discrete

import rlseq
from rlseq.agents.exploration import EpsilonGreedy, linear_epsilon, uniform_where
from rlseq.agents.rollout import Trajectory, advantages, collect
from rlseq.envs.probe import FAMILY
from rlseq.errors import InputError
from tests import kinds
from tests.agents.probing import first_values, mean_return
from tests.agents.small import KEY, fresh

GAMMA = 0.9
SETTINGS = {
    "num_steps": 32, "minibatches": 2, "lr": 5e-3, "gamma": GAMMA, "encoder": 16, "head": 16,
}  # fmt: skip


@cache
def make(probe="Recall", core="gru", num_envs=32, num_updates=120, **changes):
    env = rlseq.make_env(f"probe:{probe}", num_envs)
    memory = {"name": core, "features": 16, "layers": 1}
    return rlseq.make_agent(
        "pqn", env, core=memory, num_updates=num_updates, **(SETTINGS | changes)
    )


def forward_targets(t, gamma, lam):
    """Q(lambda) of one environment from n-step returns, as the weighted sum that defines it.

    An n-step return ends where an episode does, with the value of what followed if it was cut, and
    where a step is not learned from, with the value there.
    """
    length = len(t.reward)
    found = np.full(length, np.nan)
    for start in range(length):
        if not t.mask[start]:
            continue
        total, weight, paid, discount = 0.0, 1.0, 0.0, 1.0
        for now in range(start, length):
            paid += discount * t.reward[now]
            discount *= gamma
            bootstrap = 0.0 if t.terminated[now] else discount * t.next_value[now]
            last = t.done[now] or now == length - 1 or not t.mask[now + 1]
            share = weight if last else weight * (1 - lam)
            total += share * (paid + bootstrap)
            if last:
                break
            weight *= lam
        found[start] = total
    return found


@pytest.mark.parametrize("lam", [0.0, 0.65, 1.0])
def test_targets_are_the_mixture_of_n_step_returns(lam):
    rng = np.random.default_rng(0)
    shape = (14, 6)
    mask = rng.random(shape) < 0.85
    terminated, cut = rng.random(shape) < 0.15, rng.random(shape) < 0.15
    value, after = rng.normal(size=(15, 6)), rng.normal(size=shape)
    done = terminated | cut
    reward = rng.normal(size=shape)
    # After an end another episode begins: the value of what follows is another one.
    following = np.where(cut & ~terminated, after, value[1:])
    nothing = np.zeros(shape)
    t = Trajectory(
        nothing, nothing, nothing, nothing, value[:-1], reward, following, terminated, done, mask
    )
    single = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32 if x.dtype == float else bool), t)
    got = np.asarray(single.value + advantages(single, gamma=GAMMA, lam=lam))
    for env in range(shape[1]):
        one = jax.tree.map(lambda x, env=env: x[:, env], t)
        expected = forward_targets(one, GAMMA, lam)
        np.testing.assert_allclose(got[mask[:, env], env], expected[mask[:, env]], rtol=1e-4)


def test_replayed_from_its_carry_a_rollout_has_the_values_that_acted():
    agent = make(num_envs=4, num_updates=4)
    state, _ = agent.train(fresh(agent), 2)

    @jax.jit
    def both(state):
        played = collect(agent.env, agent.behaviour(state), state.actor, 7)[1]
        network = state.params.network
        _, values = agent.network.apply(network, state.actor.carry, played.obs, played.reset)
        return played, values.max(-1)

    played, replayed = both(state)
    np.testing.assert_allclose(played.value, replayed, atol=1e-5)
    assert np.asarray(played.reset)[1:].any() and not np.asarray(played.reset)[0].all()


def test_actions_are_the_best_but_for_a_share_of_uniform_ones():
    values = jnp.array([[0.0, 2.0, 1.0, -1.0]])
    policy = EpsilonGreedy(jnp.broadcast_to(values, (40_000, 4)), jnp.float32(0.4))
    actions = np.asarray(jax.jit(policy.sample)(KEY))
    shares = np.bincount(actions, minlength=4) / len(actions)
    expected = np.array([0.1, 0.7, 0.1, 0.1])
    np.testing.assert_allclose(shares, expected, atol=4.5 * np.sqrt(0.25 / len(actions)))
    every = jnp.arange(4, dtype=jnp.int32)
    probabilities = np.exp(EpsilonGreedy(values, jnp.float32(0.4)).log_prob(every))
    np.testing.assert_allclose(probabilities, expected, rtol=1e-5)
    entropy = -(expected * np.log(expected)).sum()
    np.testing.assert_allclose(policy.entropy()[:2], [entropy, entropy], rtol=1e-5)
    np.testing.assert_array_equal(policy.mode()[:3], [1, 1, 1])
    greedy = EpsilonGreedy(values, jnp.float32(0))
    assert greedy.sample(KEY) == 1 and greedy.entropy() == 0
    taken = uniform_where(jnp.array([True, False]), jnp.array([9, 9], jnp.int32), 3, KEY)
    assert taken[0] < 3 and taken[1] == 9


def test_epsilon_falls_in_a_line_over_its_share_of_the_run_and_stays():
    agent = make(num_envs=4, num_updates=8, exploration=0.5, epsilon_last=0.2)
    state = fresh(agent)
    seen = [float(agent.epsilon(state._replace(updates=jnp.int32(i)))) for i in range(8)]
    np.testing.assert_allclose(seen, [1, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2, 0.2], rtol=1e-6)
    _, metrics = agent.train(state, 2)
    np.testing.assert_allclose(metrics["epsilon"], 0.9, rtol=1e-6)
    assert linear_epsilon(jnp.int32(0), 1.0, 0.3, 0) == jnp.float32(0.3)


# Usually one core where memory is needed, the others and all other probes are slow tests.
USUAL = {"Recall": ("gru",), "Leak": ("s5",), "Truncated": ("mlp",), "ActionObs": ("mlp",)}
PIXELS = ("Catch", "CatchBlind")
DISCRETE = [
    probe
    for probe in FAMILY.ids()
    if isinstance(rlseq.make_env(f"probe:{probe}", 1).spec.action_space, Discrete)
    and probe not in PIXELS
]
PAIRS = [
    pytest.param(probe, *core.values, marks=core.marks)
    for probe in DISCRETE
    for core in kinds.cores(USUAL.get(probe, ()))
    if core.values[0] in ("mlp", *kinds.EACH_KIND)
    and (probe not in ("Recall", "Leak") or core.values != ("mlp",))
]


@pytest.mark.parametrize(("probe", "core"), PAIRS)
def test_pqn_solves(probe, core):
    updates = 300 if probe == "Leak" else 120
    agent = make(probe, core, num_updates=updates)

    @jax.jit
    def run(key):
        state, _ = agent.train(agent.init(key), updates)
        return mean_return(agent, state), first_values(env, agent, state)

    env = rlseq.make_env(f"probe:{probe}", 32)
    earned, values = map(np.asarray, run(KEY))
    optimal = env.env.optimal_return
    assert earned > optimal - 0.05 * max(1, abs(optimal))
    exact = env.env.value(GAMMA)
    assert (np.abs(values - exact) < 0.1 * np.maximum(1, np.abs(exact))).all()


@pytest.mark.parametrize("probe", ["Continuous", "MultiAction"])
def test_other_actions_than_one_choice_are_refused(probe):
    with pytest.raises(InputError, match="pqn needs Discrete actions, got"):
        make(probe)


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(InputError, match=r"agent.minibatches must divide env.num_envs = 32, got 3"):
        make(minibatches=3)
    with pytest.raises(InputError, match="num_updates must be at least 1, got 0"):
        make(num_updates=0)
