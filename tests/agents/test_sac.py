"""SAC: its targets, losses and memories against slow NumPy on what was played; errors; probes."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from scipy.special import log_softmax

import rlseq
from rlseq.agents.acting import Actor
from rlseq.agents.experience import collect_rows
from rlseq.agents.rollout import collect
from rlseq.agents.sac_learner import Networks
from rlseq.agents.sac_networks import ContinuousActions, make_actions
from rlseq.errors import InputError
from rlseq.replay.starts import Starts
from tests import kinds
from tests.agents.small import KEY, fresh

GAMMA = 0.9
SETTINGS = {
    "num_steps": 2, "warmup": 512, "capacity": 8192, "batch": 16, "length": 6, "burn_in": 3,
    "gamma": GAMMA, "lr": 3e-3, "target_rate": 0.05, "encoder": 16, "head": 16,
}  # fmt: skip
PENDULUM = "popgym:PositionOnlyPendulumEasy"  # that its time limit cuts


@cache
def make(
    env_id="probe:Recall", core="gru", num_envs=16, num_updates=600, max_steps=None, **changes
):
    env = rlseq.make_env(env_id, num_envs, **({"max_steps": max_steps} if max_steps else {}))
    memory = {"name": core, "features": 16, "layers": 1}
    settings = SETTINGS | changes
    return rlseq.make_agent("sac", env, core=memory, **settings)


@cache
def played(agent, steps=60):
    """(state, replay) after the first steps of a fresh agent, whose policy acted."""
    state = fresh(agent)

    @jax.jit
    def run(state):
        def act(carry, obs, reset, key):
            carry, policy, _ = agent.policy(agent.policy_params(state), carry, obs, reset)
            return carry, policy.sample(key)

        return collect_rows(
            agent.env, act, state.actor, agent.replay, state.replay, steps, agent._row
        )[1]

    return state, run(state)


def starts_at(indices):
    columns = (jnp.array(x, jnp.int32) for x in zip(*indices, strict=True))
    return Starts(*columns, jnp.ones(len(indices)))


def moved(params, size):
    """Other parameters of the same structure."""
    return jax.tree.map(lambda x: 0.9 * x + size, params)


@partial(jax.jit, static_argnums=0)
def step(network, params, carry, obs, reset):
    return network.apply(params, carry, obs[None], reset[None], method="step")


@partial(jax.jit, static_argnums=0)
def heads(critic, params, *inputs):
    return critic.apply(params, *inputs, method="values")


def step_by_step(network, params, ring, env, rows, carry):
    """What a network gives at rows of an environment, float64 [rows, N], from a carry [1, ...]."""
    seen = []
    for t in rows:
        carry, out = step(network, params, carry, ring.rows.obs[env, t], ring.rows.reset[env, t])
        seen.append(np.asarray(out[0], np.float64))
    return np.stack(seen)


class SlowLosses:
    """Losses of `indices` by NumPy, from stored carries and steps, one sequence after the other."""

    def __init__(self, agent, networks, target, ring, indices, key):
        self.agent, self.networks, self.target, self.ring = agent, networks, target, ring
        self.alpha = float(np.exp(networks.log_temperature))
        self.noise = [
            np.asarray(jax.random.normal(k, (agent.config.length, len(indices), 1)), np.float64)
            for k in jax.random.split(key)
        ]
        self.critic, self.value, self.entropy, self.skipped = [], [], [], []
        for b, place in enumerate(indices):
            self._sequence(b, *place)

    def _sequence(self, b, env, start):
        agent, c, rows = self.agent, self.agent.config, self.ring.rows
        outputs, features, slow = (
            step_by_step(
                network, params, self.ring, env, range(start, start + c.window),
                jax.tree.map(lambda x: x[env, start][None], carry),
            )[c.burn_in :]
            for network, params, carry in (
                (agent.learner.actor, self.networks.actor, rows.carry.actor),
                (agent.learner.critic, self.networks.critic, rows.carry.critic),
                (agent.learner.critic, self.target, rows.carry.critic),
            )
        )  # fmt: skip
        for t in range(c.length):
            row = start + c.burn_in + t
            if rows.truncated[env, row]:
                self.skipped.append((env, row))
                continue
            paid = float(rows.reward[env, row])
            if not rows.terminated[env, row]:
                noise = self.noise[0][t, b]
                paid += GAMMA * self.soft(outputs[t + 1], slow[t + 1], self.target, noise)[0]
            taken = self.taken(features[t], np.asarray(rows.action[env, row]))
            self.critic.append(0.5 * ((taken - paid) ** 2).sum())
            value, entropy = self.soft(
                outputs[t], features[t], self.networks.critic, self.noise[1][t, b]
            )
            self.value.append(value)
            self.entropy.append(entropy)

    def heads(self, critic, *inputs):
        """Both heads, float64 [2, outputs]."""
        inputs = (jnp.asarray(x, jnp.float32) for x in inputs)
        return np.asarray(heads(self.agent.learner.critic, critic, *inputs), np.float64)

    def taken(self, features, action):
        if action.ndim == 0:
            return self.heads(self.networks.critic, features)[:, action]
        unit = action / self.agent.env.spec.action_space.high  # the lower bound is its negative
        return self.heads(self.networks.critic, features, unit)[:, 0]

    def soft(self, outputs, features, critic, noise):
        """(soft value, entropy): exact for choices, of one sample for torques."""
        if self.agent.actions.inputs == 0:
            log_p = log_softmax(outputs)
            worst = self.heads(critic, features).min(0)
            terms = np.exp(log_p) * (worst - self.alpha * log_p)
            return terms.sum(), -(np.exp(log_p) * log_p).sum()
        mean, std = outputs[:1], np.exp(np.clip(outputs[1:], -20, 2))
        unit = np.tanh(mean + std * noise)
        log_p = -0.5 * noise**2 - np.log(std) - 0.5 * np.log(2 * np.pi) - np.log(1 - unit**2)
        return self.heads(critic, features, unit)[:, 0].min() - self.alpha * log_p[0], -log_p[0]


CASES = [
    ("probe:Leak", "gru", None),
    (PENDULUM, "gru", 7),
    ("probe:Continuous", "mlp", None),
]


@pytest.mark.parametrize(("env_id", "core", "max_steps"), CASES)
def test_losses_are_those_of_slow_sac_on_the_rows(env_id, core, max_steps):
    agent = make(env_id, core, max_steps=max_steps)
    state, replay = played(agent)
    start = state.learner.networks
    networks = Networks(moved(start.actor, 0.02), moved(start.critic, 0.01), jnp.log(0.3))
    target = moved(start.critic, -0.02)
    indices = [(0, 0), (5, 11), (9, 30), (3, 18), (12, 41)]
    key = jax.random.key(3)
    batch = agent.learner.batch(replay.ring, starts_at(indices))
    total, metrics = jax.jit(agent.learner.loss)(networks, target, batch, key)
    slow = SlowLosses(agent, networks, target, replay.ring, indices, key)
    gap = np.mean(slow.entropy) - agent.learner.target_entropy
    wanted = {
        "loss/critic": np.mean(slow.critic),
        "loss/actor": -np.mean(slow.value),
        "loss/temperature": np.log(0.3) * gap,
        "entropy": np.mean(slow.entropy),
        "temperature": 0.3,
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(metrics[name], value, rtol=2e-4, atol=2e-5, err_msg=name)
    np.testing.assert_allclose(total, sum(list(wanted.values())[:3]), rtol=2e-4, atol=1e-4)
    ends = np.asarray(batch.terminated)
    assert bool(slow.skipped) == agent.env.spec.can_truncate == (not np.asarray(batch.mask).all())
    assert ends.any() == (not agent.env.spec.can_truncate)
    assert np.asarray(batch.reset)[agent.config.burn_in + 1 :].any()  # also inside what is learned


def test_from_their_stored_memories_sequences_are_those_of_acting_after_any_burn_in():
    agent = make(PENDULUM, "gru", max_steps=7)
    state, replay = played(agent)
    params, rows = agent.policy_params(state), replay.ring.rows
    batch = agent.learner.batch(replay.ring, starts_at([(0, 5), (3, 0), (3, 20)]))
    burn_in = agent.config.burn_in
    for part in ("actor", "critic"):
        network = getattr(agent.learner, part)
        carry = getattr(batch.carry, part)
        again = jax.jit(agent.learner._unrolled, static_argnums=0)(
            network, getattr(params, part), carry, batch
        )
        for b, (env, first) in enumerate([(0, 5), (3, 0), (3, 20)]):
            clean = network.init_carry(1)
            seen = step_by_step(network, getattr(params, part), replay.ring, env, range(40), clean)
            at = first + burn_in
            np.testing.assert_allclose(again[:, b], seen[at : at + 7], rtol=1e-4, atol=1e-5)
    assert rows.carry.actor[0][0].shape == rows.carry.critic[0][0].shape


def test_each_loss_moves_its_own_part_alone():
    agent = make("probe:Leak", "gru")
    state, replay = played(agent)
    learner = state.learner
    batch = agent.learner.batch(replay.ring, starts_at([(0, 5), (3, 0), (3, 20)]))
    names = ("loss/actor", "loss/critic", "loss/temperature")

    @jax.jit
    def gradients(networks):
        def one(networks, name):
            total, metrics = agent.learner.loss(networks, learner.target, batch, KEY)
            return metrics[name] if name else total

        entropy = agent.learner.loss(networks, learner.target, batch, KEY)[1]["entropy"]
        return [jax.grad(one)(networks, name) for name in (*names, None)], entropy

    (*parts, whole), entropy = gradients(learner.networks)
    for i, own in enumerate(parts):
        for j, (mine, all_of_it) in enumerate(zip(own, whole, strict=True)):
            for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(all_of_it), strict=True):
                np.testing.assert_allclose(a, b if i == j else 0 * b, rtol=1e-4, atol=1e-7)
    gap = entropy - agent.learner.target_entropy
    np.testing.assert_allclose(whole.log_temperature, gap, rtol=1e-5)  # too much lets it fall


def test_a_temperature_may_be_kept_and_the_entropy_wanted():
    agent = make("probe:Continuous", "mlp", target_entropy=-3.5, temperature_lr=0.0)
    assert agent.learner.target_entropy == -3.5
    learner = fresh(agent).learner
    np.testing.assert_allclose(learner.networks.log_temperature, np.log(0.1))
    gradients = jax.tree.map(jnp.ones_like, learner.networks)
    with jax.numpy_dtype_promotion("standard"):
        changes, _ = agent.learner.optimiser.update(gradients, learner.optimiser)
    assert changes.log_temperature == 0
    np.testing.assert_allclose(jax.tree.leaves(changes.actor)[0], -3e-3, rtol=1e-4)


def test_with_single_steps_and_no_memory_it_makes_the_textbook_update():
    agent = make(
        PENDULUM, "mlp", num_envs=1, batch=1, length=1, warmup=2, capacity=2, max_grad_norm=1e9
    )
    state, replay = played(agent, 2)
    learner, rows = state.learner, jax.tree.map(lambda x: x[0], replay.ring.rows)
    (obs, following), unit, reward = rows.obs, rows.action[0] / 2, rows.reward[0]
    once = jnp.ones((), bool)
    target_key, actor_key = jax.random.split(jax.random.split(KEY)[1])
    target = moved(learner.target, 0.01)

    def draw(actor, x, key):
        out = agent.learner.actor.apply(actor, (((),),), x[None], once[None], method="step")[1][0]
        noise = jax.random.normal(key, (1, 1, 1))[0, 0]
        z = out[:1] + jnp.exp(out[1:]) * noise
        normal = -(noise**2) / 2 - out[1:] - 0.5 * np.log(2 * np.pi)
        return jnp.tanh(z), (normal - jnp.log(1 - jnp.tanh(z) ** 2))[0]

    def q(critic, x, action):
        h = agent.learner.critic.apply(critic, (((),),), x[None], once[None], method="step")[1][0]
        return agent.learner.critic.apply(critic, h, action, method="values")[:, 0]

    @jax.jit
    def textbook(networks):
        actor, critic, log_alpha = networks
        alpha = jnp.exp(log_alpha)
        action, log_p = draw(actor, following, target_key)
        y = reward + GAMMA * (q(target, following, action).min() - alpha * log_p)
        critic_grad = jax.grad(lambda p: 0.5 * ((q(p, obs, unit) - y) ** 2).sum())(critic)

        def actor_loss(p):
            action, log_p = draw(p, obs, actor_key)
            return alpha * log_p - q(critic, obs, action).min()

        entropy = -draw(actor, obs, actor_key)[1]
        return jax.grad(actor_loss)(actor), critic_grad, entropy + 1  # it shall be -1

    gradients = textbook(learner.networks)
    rates = (3e-3, 3e-3, 1e-3)
    old = (learner._replace(target=target), ())
    new = jax.jit(agent.learn_once)(replay.ring, old, KEY)[0][0]
    for p, g, got, rate in zip(learner.networks, gradients, new.networks, rates, strict=True):
        wanted = jax.tree.map(lambda p, g, r=rate: p - r * g / (jnp.abs(g) + 1e-8), p, g)
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    slow = jax.tree.map(lambda t, c: 0.95 * t + 0.05 * c, target, new.networks.critic)
    for a, b in zip(jax.tree.leaves(new.target), jax.tree.leaves(slow), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_choices_have_the_soft_value_of_1910_07207():
    actions = make_actions(spaces.Discrete(3))
    logits = np.array([0.3, -1.0, 2.0])
    both = np.array([[1.0, 5.0, -2.0], [3.0, 4.0, -1.0]])
    p = np.exp(logits) / np.exp(logits).sum()
    policy = actions.policy(jnp.asarray(logits, jnp.float32))
    values = lambda features: jnp.asarray(both, jnp.float32)  # noqa: E731
    value, entropy = actions.soft_value(policy, values, jnp.zeros(1), jnp.float32(0.7), KEY)
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(), rtol=1e-5)
    np.testing.assert_allclose(value, (p * ([1, 4, -2] - 0.7 * np.log(p))).sum(), rtol=1e-5)
    taken = actions.taken(values, jnp.zeros(1), jnp.int32(1))
    np.testing.assert_allclose(taken, [5, 4])
    np.testing.assert_allclose(actions.target_entropy, 0.1 * np.log(3))


def test_bounds_are_those_of_the_box_and_its_units_do_not_matter():
    low, high = np.array([-1.0, 2.0], np.float32), np.array([3.0, 2.5], np.float32)
    actions = make_actions(spaces.Box(low, high, (2,)))
    assert actions == ContinuousActions((-1.0, 2.0), (3.0, 2.5)) and actions.target_entropy == -2
    policy = actions.policy(jnp.array([[9.0, -9.0, 1.0, 1.0], [0.0, 0.0, -25.0, 9.0]]))
    np.testing.assert_allclose(policy.log_std, [[1, 1], [-20, 2]])
    np.testing.assert_allclose(policy.mode(), [[3, 2], [1, 2.25]], atol=1e-5)
    drawn = jax.vmap(policy.sample)(jax.random.split(KEY, 500))
    assert ((drawn >= low[None, None]) & (drawn <= high[None, None])).all()
    seen = actions.taken(
        lambda _, unit: jnp.stack([unit, unit]), jnp.zeros(1), jnp.array([1.0, 2.5])
    )
    np.testing.assert_allclose(seen, [0, 0])  # the first entry's, in the middle of its bounds
    wide, narrow = (ContinuousActions((-s,), (s,)) for s in (40.0, 0.1))
    unit = lambda _, unit: jnp.stack([unit, unit])  # noqa: E731
    outputs = jnp.array([0.4, -0.3])
    wide, narrow = (
        a.soft_value(a.policy(outputs), unit, jnp.zeros(1), jnp.float32(0.5), KEY)
        for a in (wide, narrow)
    )
    np.testing.assert_allclose(wide, narrow, rtol=1e-6)


def test_the_warm_up_acts_uniformly_and_learns_nothing():
    agent = make(PENDULUM, "mlp")
    before = fresh(agent)
    state, metrics = agent.train(before, 15)  # 512 steps take 16 rounds
    for a, b in zip(jax.tree.leaves(state.learner), jax.tree.leaves(before.learner), strict=True):
        np.testing.assert_array_equal(a, b)
    assert metrics["loss/critic"] == 0
    action = np.asarray(state.replay.ring.rows.action)[:, :30]
    np.testing.assert_allclose(np.quantile(action, [0.25, 0.5, 0.75]), [-1, 0, 1], atol=0.2)
    assert np.abs(action).max() <= 2


@pytest.mark.parametrize("core", [*kinds.cores(("mamba2",))])
def test_it_takes_images_with_any_core(core):
    agent = make("probe:Catch", core, num_envs=2, burn_in=2)
    shapes = jax.eval_shape(lambda: agent.train(agent.init(KEY), 1))
    assert shapes[0].replay.ring.rows.obs.dtype == jnp.uint8


class Certain:
    """A distribution that always draws the mode of another one."""

    def __init__(self, of):
        self.of = of

    def sample(self, key):
        return self.of.mode()

    def log_prob(self, action):
        return jnp.zeros(action.shape[:1])


def greedy_return(agent, params, steps=64):
    """Mean return of greedy episodes that end within `steps` steps."""

    def policy(carry, obs, reset):
        carry, distribution, value = agent.policy(params, carry, obs, reset)
        return carry, Certain(distribution), value

    env_state, timestep = agent.env.reset(jax.random.key(1))
    actor = Actor(env_state, timestep, agent.init_carry(agent.env.num_envs), jax.random.key(2))
    _, _, episodes = collect(agent.env, policy, actor, steps)
    return episodes.total_return / episodes.count


USUAL = [("Continuous", "mlp"), ("Truncated", "gru"), ("Recall", "gru")]
# Longest episodes, than which a burn-in is shorter.
PROBES = {
    "ActionDependent": 1, "ActionObs": 1, "Constant": 1, "Continuous": 1, "ObsDependent": 1,
    "Delayed": 2, "Truncated": 10, "Recall": 5, "Leak": 6,
}  # fmt: skip
SLOW = [(probe, core) for probe in PROBES for core in kinds.EACH_KIND]


@pytest.mark.parametrize(
    ("probe", "core"),
    [*USUAL, *(pytest.param(*p, marks=pytest.mark.slow) for p in SLOW if p not in USUAL)],
)
def test_sac_solves(probe, core):
    burn_in = min(3, PROBES[probe] - 1)
    # As good as none, so that values are those of the best actions. In Leak a wrong action costs 2,
    # so there it may be more; with less some are never tried again.
    changes = {"temperature": 0.01}
    if probe == "Leak":
        changes = {"temperature": 0.3, "lr": 1e-3, "batch": 32}
    updates = 3000 if probe == "Leak" else 800
    agent = make(f"probe:{probe}", core, burn_in=burn_in, temperature_lr=0.0, **changes)

    @jax.jit
    def run(key):
        state, _ = agent.train(agent.init(key), updates)
        params = agent.policy_params(state)
        first = jnp.asarray(env.first_obs)
        carry, reset = agent.init_carry(len(first)), jnp.ones(len(first), bool)
        return greedy_return(agent, params), agent.policy(params, carry, first, reset)[2]

    env = rlseq.make_env(f"probe:{probe}", 16).env
    earned, values = map(np.asarray, run(KEY))
    assert earned > env.optimal_return - 0.05 * max(1, abs(env.optimal_return))
    exact = env.value(GAMMA)
    assert (np.abs(values - exact) < 0.1 * np.maximum(1, np.abs(exact))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"env_id": "probe:MultiAction"},
         r"sac needs Discrete actions, or Box\(A,\) of floats between .*got MultiDiscrete\(2, 3\)"),
        ({"env_id": "probe:Coins"}, r"got MultiBinary\(3\)"),
        ({"capacity": 128}, r"takes 10 rows \(agent.burn_in \+ agent.length \+ 1\), more than "
         "agent.capacity = 128 holds of each of"),
        ({"warmup": 100}, "more than agent.warmup = 100 steps collect of each of env.num_envs"),
        ({"env_id": "probe:Truncated", "burn_in": 10}, "as long as the longest episode, 10 steps"),
        ({"target_rate": 0.0}, "agent.target_rate must be above 0"),
        ({"temperature": 0.0}, "agent.temperature must be above 0"),
        ({"encoder_kind": "conv"}, r"needs observations Box\(H, W, C\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)


@pytest.mark.parametrize("high", [np.inf, -1.0])
def test_a_box_without_an_inside_is_refused(high):
    with pytest.raises(InputError, match="between finite bounds, each above its lower one: got"):
        make_actions(spaces.Box(-1.0, high, (2,)))
