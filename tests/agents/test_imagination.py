"""What the agent that learns in imagination promises: its replay, its seeds, its pieces."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.agents.experience import as_row, collect_rows
from rlseq.errors import InputError
from rlseq.types import TimeStep
from tests.agents.small import KEY, arrays, differ, same

MODEL = {
    "name": "drama", "preset": "nano", "widths": [8], "latents": 2, "classes": 3, "head": 8,
    "free_bits_per_element": True,
}  # fmt: skip
SETTINGS = {
    "num_steps": 2, "warmup": 32, "capacity": 64, "batch": 3, "length": 4, "contexts": 5,
    "context": 3, "horizon": 3, "actor": 8, "critic": 8,
}  # fmt: skip
ENVS = 4


@cache
def make(env_id="probe:Recall", **changes):
    env = rlseq.make_env(env_id, ENVS)
    core = {"name": "gru", "features": 6, "layers": 1}
    return rlseq.make_agent(
        "imagination", env, core=core, world_model=MODEL, **(SETTINGS | changes)
    )


@cache
def trained(rounds=6, **changes):
    """(state, metrics) after some rounds; learning begins in the fourth."""
    agent = make(**changes)
    return agent.train(agent.init(KEY), rounds)


def test_two_halves_equal_the_whole_bit_for_bit():
    agent = make()
    half, _ = agent.train(agent.init(KEY), 3)
    whole, metrics = trained()
    same(whole, agent.train(half, 3)[0])
    assert metrics["finite"] == 1 and metrics["updates"] == 3 and metrics["valid_steps"] == 48
    assert all(value.shape == () for value in metrics.values())


def test_nothing_is_learned_before_the_warm_up_is_over():
    agent = make()
    start = agent.init(KEY)
    state, metrics = agent.train(start, 3)
    same((start.model, start.behaviour), (state.model, state.behaviour))
    assert metrics["updates"] == 0 and metrics["finite"] == 1
    after, _ = trained()
    for part in ("params", "optimiser"):
        assert differ(getattr(state.model, part), getattr(after.model, part))
    assert differ(state.behaviour.params.actor, after.behaviour.params.actor)
    assert differ(state.behaviour.params.critic, after.behaviour.slow)


def test_samples_are_counted():
    state, _ = trained()
    assert state.replay.sampler.model.sum() == 3 * SETTINGS["batch"]
    assert state.replay.sampler.policy.sum() == 3 * SETTINGS["contexts"]


def test_the_replay_is_what_happened():
    agent = make("probe:Leak")
    state = agent.init(KEY)

    def always(carry, obs, reset, key):
        return carry, jnp.arange(ENVS, dtype=jnp.int32) % 2

    def play(actor, replay):
        return collect_rows(agent.env, always, actor, agent.replay, replay, 12, as_row)

    _, replay, episodes = jax.jit(play)(state.actor, state.replay)
    rows = jax.tree.map(lambda x: np.asarray(x)[:, :12], replay.ring.rows)
    assert (replay.ring.written == 12).all() and episodes.steps == 48
    # An end is followed by a first observation and nothing else is; the cue is the action or not.
    assert rows.reset[:, 0].all()
    np.testing.assert_array_equal(rows.reset[:, 1:], rows.terminated[:, :-1])
    assert int(episodes.count) == rows.terminated.sum() > 4
    shown = rows.obs.argmax(-1)
    paid = np.where(shown == np.arange(ENVS)[:, None] % 2, 1, -1)
    np.testing.assert_array_equal(rows.reward[rows.reset], paid[rows.reset])


def time_step(tag, reset, **fields):
    """Of two environments; observations name themselves."""
    no = jnp.zeros(2, bool)
    obs = jnp.full((2, 1), tag)
    first = jnp.asarray(reset)
    return TimeStep(obs, jnp.ones(2), no, no, first, obs)._replace(**fields)


def test_a_lost_life_is_an_end_that_begins_no_episode():
    old = time_step(1.0, [True, False])
    lost, ended = jnp.array([True, False]), jnp.array([False, True])
    row = as_row(
        (), old, jnp.zeros(2, jnp.int32), time_step(2.0, [False, False], learn_terminal=lost)
    )
    np.testing.assert_array_equal(row.terminated, [True, False])
    np.testing.assert_array_equal(row.reset, [True, False])
    row = as_row((), old, jnp.zeros(2, jnp.int32), time_step(2.0, [False, True], terminated=ended))
    np.testing.assert_array_equal(row.terminated, [False, True])


class Scripted:
    """Two environments that play three time steps; the last step of the second is ignored."""

    num_envs = 2

    def step(self, state, action, key):
        ended = jnp.where(state == 0, jnp.array([False, True]), False)
        again = jnp.where(state == 1, jnp.array([False, True]), False)
        ts = time_step(2.0, [False, False])
        ts = ts._replace(
            obs=jnp.full((2, 1), state + 2.0),
            terminated=ended,
            reset=again,
            valid=~again,
            final_obs=jnp.full((2, 1), state + 2.0),
        )
        return state + 1.0, ts


@pytest.mark.parametrize("keep", [False, True])
def test_ignored_actions_are_not_stored(keep, monkeypatch):
    from rlseq.agents import experience
    from rlseq.agents.acting import Actor
    from rlseq.replay.samplers import UniformSampler
    from rlseq.replay.store import Replay

    monkeypatch.setattr(experience, "ended_episodes", lambda state, new: jnp.zeros(()))
    first = time_step(1.0, [True, True], valid=jnp.ones(2, bool))
    replay = Replay(8, UniformSampler())
    stored = replay.init(as_row((), first, jnp.zeros(2, jnp.int32), first))
    actor = Actor(jnp.float32(0), first, (), KEY)

    def act(carry, obs, reset, key):
        return carry, jnp.zeros(2, jnp.int32)

    _, stored, _ = collect_rows(
        Scripted(), act, actor, replay, stored, 3, as_row, keep_terminal_frame=keep
    )
    np.testing.assert_array_equal(stored.ring.written, [3, 2])
    rows = stored.ring.rows
    np.testing.assert_array_equal(rows.obs[0, :3, 0], [1, 2, 3])
    # The frame after the reset is 3; kept from before it would be the terminal one, 2.
    np.testing.assert_array_equal(rows.obs[1, :2, 0], [1, 2 if keep else 3])
    np.testing.assert_array_equal(rows.terminated[1, :2], [True, False])
    np.testing.assert_array_equal(rows.reset[1, :2], [True, True])


def test_seeds_by_vmap_differ_and_learn_from_what_starts_in_the_batch():
    agent = make(
        starts="batch",
        start_every=2,
        sampling="uniform",
        normalize_features=False,
        act_on="prior",
        keep_terminal_frame=True,
    )
    run = jax.jit(jax.vmap(lambda key: agent.train(agent.init(key), 6)))
    states, metrics = run(jax.random.split(KEY, 2))
    one, two = (jax.tree.map(lambda x, i=i: x[i], states.model.params) for i in (0, 1))
    assert differ(one, two) and (metrics["updates"] == 3).all() and (metrics["finite"] == 1).all()
    assert states.replay.sampler.model.any() and not states.replay.sampler.policy.any()
    assert all(np.isfinite(leaf).all() for leaf in arrays(states.behaviour))


def test_ppo_trains_on_what_is_imagined():
    state, metrics = trained(4, algorithm="ppo", epochs=2, minibatches=3, updates=2, own_value=True)
    assert metrics["finite"] == 1 and metrics["updates"] == 2
    assert state.replay.sampler.policy.any()
    assert all(np.isfinite(leaf).all() for leaf in arrays(state.behaviour))


def test_acting_moves_the_memory_and_is_greedy_when_asked():
    agent = make()
    state, _ = trained()
    params, carry = agent.policy_params(state), agent.init_carry(ENVS)
    ts = state.actor.timestep
    new, action = agent.act(params, carry, ts.obs, jnp.ones(ENVS, bool), KEY, greedy=True)
    assert action.dtype == jnp.int32 and action.shape == (ENVS,)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, carry) and differ(new, carry)


def test_batched_marks_exactly_the_leaves_with_an_environment_axis():
    agent = make()
    state = agent.init(KEY)
    marks = agent.batched(state)
    assert jax.tree.structure(marks) == jax.tree.structure(state)
    for part in ("replay", "actor"):
        pairs = zip(*(jax.tree.leaves(getattr(t, part)) for t in (marks, state)), strict=True)
        assert all(mark == (leaf.shape[:1] == (ENVS,)) for mark, leaf in pairs)
    assert not any(jax.tree.leaves(marks.model)) and not any(jax.tree.leaves(marks.behaviour))


BAD = [
    *((name, 0, "at least 1") for name in ("num_steps", "updates", "batch", "length", "horizon")),
    *((name, 1.5, "at most 1") for name in ("gamma", "lam", "slow_decay")),
    *((name, float("nan"), "got nan") for name in ("lr", "gamma", "entropy_coef", "clip")),
    ("length", 17, "of each of env.num_envs = 4: 16"),
    ("context", 17, "of each of env.num_envs = 4: 16"),
    ("warmup", 12, "more than the data of agent.warmup = 12"),
    ("contexts", 25, "more than the data.*holds: 24"),
    ("starts", "batches", "Did you mean 'batch'"),
    ("act_on", "priors", "Did you mean 'prior'"),
    ("sampling", "dsf", "Did you mean 'dfs'"),
    ("algorithm", "reinforced", "Did you mean 'reinforce'"),
]


@pytest.mark.parametrize(("name", "value", "why"), BAD)
def test_what_cannot_be_is_named(name, value, why):
    with pytest.raises(InputError, match=why):
        make(**{name: value})


def test_sizes_that_do_not_fit_each_other_are_named():
    with pytest.raises(InputError, match=r"start_every must divide agent.length = 4, got 3"):
        make(starts="batch", start_every=3)
    with pytest.raises(InputError, match="minibatches must divide the 15 imagined steps"):
        make(algorithm="ppo", minibatches=2)


def test_what_has_no_world_model_or_no_single_choice_is_refused():
    env = rlseq.make_env("probe:Continuous", ENVS)
    with pytest.raises(InputError, match="Discrete actions, got Box"):
        rlseq.make_agent("imagination", env, world_model=MODEL, **SETTINGS)
    with pytest.raises(InputError, match="needs a world model"):
        rlseq.make_agent("imagination", env)
    with pytest.raises(InputError, match="has no world model"):
        rlseq.make_agent("ppo", env, world_model=MODEL)
