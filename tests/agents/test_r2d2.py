"""R2D2: its sequences, memories and targets against what was played, its options, and probes."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.agents.acting import Actor
from rlseq.agents.experience import collect_rows
from rlseq.agents.frames import FrameStack
from rlseq.agents.r2d2 import QCarry
from rlseq.agents.rollout import collect
from rlseq.agents.shifts import random_shift
from rlseq.errors import InputError
from rlseq.replay.starts import Starts
from rlseq.types import TimeStep
from tests import kinds
from tests.agents.small import KEY, differ, fresh

GAMMA = 0.9
SETTINGS = {
    "num_steps": 2, "warmup": 512, "capacity": 4096, "batch": 16, "length": 8, "burn_in": 4,
    "n_step": 3, "n_step_first": 3, "gamma": GAMMA, "gamma_first": GAMMA, "lr": 3e-3,
    "exploration": 1000, "target_period": 20, "encoder": 16, "head": 16, "value_head": "scalar",
}  # fmt: skip


@cache
def make(probe="Recall", core="gru", num_envs=16, num_updates=600, **changes):
    env = rlseq.make_env(f"probe:{probe}", num_envs)
    memory = {"name": core, "features": 16, "layers": 1}
    settings = SETTINGS | changes
    return rlseq.make_agent("r2d2", env, core=memory, num_updates=num_updates, **settings)


def greedy_return(agent, params, steps=64):
    """Mean return of greedy episodes that end within `steps` steps."""
    policy = partial(agent.policy, params, epsilon=0.0)
    env_state, timestep = agent.env.reset(jax.random.key(1))
    actor = Actor(env_state, timestep, agent.init_carry(agent.env.num_envs), jax.random.key(2))
    _, _, episodes = collect(agent.env, policy, actor, steps)
    return episodes.total_return / episodes.count


def first_values(env, agent, params):
    first = jnp.asarray(env.env.first_obs)
    carry = agent.init_carry(len(first))
    return agent.policy(params, carry, first, jnp.ones(len(first), bool))[2]


USUAL = [
    ("Constant", "mlp", {}),
    ("ActionObs", "mlp", {"value_head": "categorical", "limit": 2.0, "length": 1}),
    ("Truncated", "mlp", {"length": 1, "target_period": 1}),
    ("Truncated", "gru", {"value_head": "rescaled"}),
    ("Recall", "gru", {"sampling": "uniform"}),
]
# Longest episodes, than which a burn-in is shorter.
PROBES = {
    "ActionDependent": 1, "ActionObs": 1, "Constant": 1, "ObsDependent": 1, "Delayed": 2,
    "Truncated": 10, "Recall": 5, "Leak": 6,
}  # fmt: skip
SLOW = [
    (probe, core, {"burn_in": min(4, longest - 1)})
    for probe, longest in PROBES.items()
    for core in kinds.EACH_KIND
]


@pytest.mark.parametrize(
    ("probe", "core", "changes"),
    [*USUAL, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_r2d2_solves(probe, core, changes):
    updates = 3000 if probe == "Leak" else 800
    agent = make(probe, core, num_updates=updates, **changes)

    @jax.jit
    def run(key):
        state, _ = agent.train(agent.init(key), updates)
        params = agent.policy_params(state)
        return greedy_return(agent, params), first_values(env, agent, params)

    env = rlseq.make_env(f"probe:{probe}", 16)
    earned, values = map(np.asarray, run(KEY))
    optimal = env.env.optimal_return
    assert earned > optimal - 0.05 * max(1, abs(optimal))
    exact = env.env.value(GAMMA)
    assert (np.abs(values - exact) < 0.1 * np.maximum(1, np.abs(exact))).all()


def played(agent, steps):
    """(state, rows [T, E]) of the first steps of a fresh agent, epsilon 1."""
    state = fresh(agent)

    @jax.jit
    def run(state):
        def act(carry, obs, reset, key):
            carry, policy, _ = agent.policy(agent.policy_params(state), carry, obs, reset, 1.0)
            return carry, policy.sample(key)

        return collect_rows(
            agent.env, act, state.actor, agent.replay, state.replay, steps, agent._row
        )[1]

    return state, run(state)


def test_from_its_stored_memory_a_sequence_has_the_values_of_acting_after_any_burn_in():
    agent = make("Recall", "gru", target_period=2)
    state, replay = played(agent, 40)
    params = agent.policy_params(state)
    starts = Starts(*(jnp.array(x, jnp.int32) for x in ([0, 3, 3], [5, 0, 20])), jnp.ones(3))
    batch = agent.learner.batch(replay.ring, starts, jnp.int32(0), KEY)
    outputs = agent.learner.outputs(params, params, batch)[0]
    carry, seen = agent.init_carry(16), []
    for t in range(40):
        rows = jax.tree.map(lambda x, t=t: x[:, t], replay.ring.rows)
        carry, policy, _ = agent.policy(params, carry, rows.obs, rows.reset)
        seen.append(np.asarray(policy.values))
    seen = np.stack(seen)
    resets = 0
    for b, (env, first) in enumerate(zip(starts.env, starts.index, strict=True)):
        at = int(first) + 4  # the burn-in
        np.testing.assert_allclose(outputs[:, b, :, 0], seen[at : at + 8, env], atol=1e-5)
        resets += np.asarray(batch.reset)[5:, b].sum()
    assert resets > 0  # also after a reset inside


@pytest.mark.parametrize("core", ["mlp", "gru"])
def test_targets_are_those_of_slow_q_learning_on_the_rows(core):
    agent = make("Truncated", core, target_period=2, burn_in=4)
    state, replay = played(agent, 60)
    params = agent.policy_params(state)
    target = jax.tree.map(lambda x: 0.9 * x + 0.01, params)
    indices = [(0, 0), (5, 11), (9, 30), (3, 18), (12, 41)]
    columns = (jnp.array(x, jnp.int32) for x in zip(*indices, strict=True))
    starts = Starts(*columns, jnp.ones(len(indices)))
    batch = agent.learner.batch(replay.ring, starts, jnp.int32(0), KEY)
    loss, (_, error) = agent.learner.loss(params, target, batch)
    rows = jax.tree.map(np.asarray, replay.ring.rows)

    def values(weights, env, start):
        """From the memory that was stored at the start, by the weights' own burn-in."""
        here = jax.tree.map(lambda x: x[env : env + 1], replay.ring.rows)
        carry = QCarry((), jax.tree.map(lambda x: x[:, start], here.carry))
        found = {}
        for t in range(start, start + agent.learner.window):
            obs, reset = here.obs[:, t], here.reset[:, t]
            carry, policy, _ = agent.policy(weights, carry, obs, reset)
            found[t] = np.asarray(policy.values[0])
        return found

    total, count, cuts = 0.0, 0, 0
    for b, (env, start) in enumerate(indices):
        online, slow = values(params, env, start), values(target, env, start)
        for t in range(8):
            row = start + agent.config.burn_in + t
            if rows.truncated[env, row]:
                cuts += 1
                continue
            paid, discount, now = 0.0, 1.0, row
            while now < row + 3 and not rows.truncated[env, now] and discount:
                paid += discount * rows.reward[env, now]
                discount = 0.0 if rows.terminated[env, now] else discount * GAMMA
                now += 1
            if discount:
                paid += discount * slow[now][online[now].argmax()]
            wanted = abs(online[row][rows.action[env, row]] - paid)
            np.testing.assert_allclose(error[t, b], wanted, rtol=1e-4, atol=1e-5)
            total += 0.5 * wanted**2 if wanted <= 1 else wanted - 0.5
            count += 1
    assert cuts > 0
    np.testing.assert_allclose(loss, total / count, rtol=1e-4)


def test_frames_from_the_replay_are_those_that_acted():
    agent = make("Catch", "mlp", num_envs=4, frames=3, length=2, burn_in=0, encoder_kind="patch")
    _, replay = played(agent, 40)
    rows = replay.ring.rows
    stack = FrameStack(3, agent.env.spec.obs_space)
    carry = stack.init_carry(4)
    for t in range(40):
        carry, seen = stack.push(carry, rows.obs[:, t], rows.reset[:, t])
        if t >= 2:
            env, at = jnp.arange(4, dtype=jnp.int32), jnp.full(4, t, jnp.int32)
            np.testing.assert_array_equal(stack.gather(rows.obs, rows.reset, env, at), seen)
    assert np.asarray(rows.reset)[:, 3:40].any()


def test_shifts_move_whole_sequences_and_repeat_the_edges():
    images = jax.random.randint(KEY, (2, 50, 6, 5, 3), 0, 256).astype(jnp.uint8)
    moved = np.asarray(random_shift(KEY, images, 2))
    padded = np.pad(np.asarray(images), ((0, 0), (0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    seen = set()
    for b in range(50):
        indices = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if (padded[:, b, i : i + 6, j : j + 5] == moved[:, b]).all()
        ]
        assert len(indices) == 1
        seen.add(indices[0])
    assert len(seen) > 15 and {0, 4} <= {i for i, _ in seen}


def test_a_target_that_follows_at_once_is_the_network_itself():
    one, none = (make("Delayed", "mlp", target_period=1, target_rate=r) for r in (1 - 1e-7, 1.0))
    assert fresh(none).learner.target is None and fresh(one).learner.target is not None
    states = [agent.train(fresh(agent), 40)[0] for agent in (one, none)]
    for a, b in zip(*(jax.tree.leaves(s.learner.network) for s in states), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_n_and_gamma_come_to_their_last_values_after_each_reset():
    agent = make(
        n_step_first=10,
        gamma_first=0.97,
        gamma=0.997,
        anneal=100,
        reset_every=400,
        num_updates=1015,
    )  # 1,000 updates: the last reset comes after 800
    assert agent.learner.last_reset == 800
    assert make(num_updates=1014, reset_every=400).learner.last_reset == 400
    after = ((0, 10), (100, 3), (399, 3), (400, 10), (800, 10), (900, 3), (1200, 3))
    for updates, n in after:
        got = agent.learner.annealed(jnp.int32(updates))
        assert got[0] == n
        np.testing.assert_allclose(got[1], 0.97 if n == 10 else 0.997, rtol=1e-5)
    middle = agent.learner.annealed(jnp.int32(50))
    assert middle[0] == 5  # geometric: sqrt(10 * 3)
    np.testing.assert_allclose(1 - middle[1], np.sqrt(0.03 * 0.003), rtol=1e-2)


def test_a_reset_renews_core_and_heads_and_keeps_a_share_of_the_encoder():
    agent = make("Recall", "gru", num_updates=199, reset_every=10, shrink=0.5, updates=5)
    old = agent.train(fresh(agent), 18)[0].learner
    at = old._replace(updates=jnp.int32(20))
    new = agent.renew(at, KEY)
    again = agent._init_network(KEY)
    flat = [jax.tree_util.tree_leaves_with_path(x) for x in (at.network, new.network, again)]
    for (path, a), (_, b), (_, c) in zip(*flat, strict=True):
        encoder = "encoders" in jax.tree_util.keystr(path)
        np.testing.assert_allclose(b, 0.5 * a + 0.5 * c if encoder else c, rtol=1e-5, atol=1e-6)
    assert not differ(new.network, new.target) and new.updates == 20
    for updates in (21, agent.learner.last_reset + 10):
        kept = at._replace(updates=jnp.int32(updates))
        assert not differ(agent.renew(kept, KEY), kept)


def test_epsilon_is_one_in_the_warm_up_and_falls_after_it():
    agent = make(exploration=64, epsilon_last=0.2)  # 32 steps a round, 16 rounds of warm-up
    seen = [float(agent.epsilon(jnp.int32(i))) for i in (0, 15, 16, 17, 18, 99)]
    np.testing.assert_allclose(seen, [1, 1, 1, 0.6, 0.2, 0.2], rtol=1e-6)


def test_the_warm_up_learns_nothing_and_the_next_round_does():
    agent = make("Leak", "mlp")
    before = fresh(agent)
    state, metrics = agent.train(before, 15)
    assert not differ(state.learner, before.learner) and metrics["loss/value"] == 0
    assert differ(agent.train(state, 1)[0].learner.network, before.learner.network)


def test_a_lost_life_ends_for_the_learner_and_the_row_says_where_a_limit_cut():
    agent = make("Recall", "mlp")
    flags = jnp.zeros(16, bool)
    old = TimeStep(jnp.zeros((16, 1)), jnp.zeros(16), flags, flags, ~flags, jnp.zeros((16, 1)))
    new = old._replace(truncated=~flags, learn_terminal=~flags)
    row = agent._row(agent.init_carry(16), old, jnp.zeros(16, jnp.int32), new)
    assert row.terminated.all() and row.truncated.all() and row.reset.all()
    assert not jax.tree.leaves(row.carry)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probe": "Continuous"}, "r2d2 needs Discrete actions, got"),
        ({"frames": 4}, "agent.frames and agent.shift are for images"),
        ({"capacity": 160}, r"takes 15 rows .* more than agent.capacity = 160 holds of each of"),
        ({"warmup": 100}, r"more than agent.warmup = 100 steps collect of each of env.num_envs"),
        ({"updates": 4, "reset_every": 10}, "agent.updates = 4 must divide agent.reset_every"),
        ({"probe": "Truncated", "burn_in": 500, "capacity": 99_999, "warmup": 90_000},
         "agent.burn_in = 500 is as long as the longest episode"),
        ({"priority_exponent": 1.5}, "agent.priority_exponent must be at most 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        make(**changes)
