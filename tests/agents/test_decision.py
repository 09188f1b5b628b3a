"""Decision: it reaches the return that it is asked for, and acts as it was fitted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq import cli, config
from rlseq.agents.offline import load_data, sample_windows
from rlseq.data.load import load_recording
from rlseq.data.npz import save_npz
from rlseq.errors import InputError
from rlseq.laws.agent_cases import random_play
from rlseq.train import build, memory, policy
from rlseq.train.evaluate import evaluate
from tests.agents.registered import recorded
from tests.agents.small import KEY, close, same

SETTINGS = {"length": 8, "batch": 64, "encoder": 16, "head": 16, "lr": 5e-3}


def make(data, env_id="probe:Recall", core="gru", num_updates=300, **changes):
    env = rlseq.make_env(env_id, 16)
    memory = {"name": core, "features": 16, "layers": 1}
    settings = SETTINGS | {"data": str(data)} | changes
    return rlseq.make_agent("decision", env, core=memory, num_updates=num_updates, **settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Random play on Recall, whose returns are 1 for the cue's action and -1 for another."""
    path = tmp_path_factory.mktemp("data") / "d.npz"
    with open(path, "wb") as file:
        save_npz(random_play(rlseq.make_env("probe:Recall", 16), 100), file)
    return path


def score(agent, state, episodes=8, **changed):
    params = agent.policy_params(state)._replace(**changed)
    one_seed = jax.tree.map(lambda x: jnp.asarray(x)[None], params)
    return evaluate(agent, one_seed, agent.env, jax.random.split(KEY, 1), episodes).returns.mean()


@pytest.fixture(scope="module")
def fitted(data):
    agent = make(data)
    return agent, agent.train(agent.init(KEY), 300)[0]


def test_it_earns_what_it_is_asked_for_and_not_what_the_data_earn_on_average(fitted, data):
    agent, state = fitted
    rec = load_recording(data)
    assert abs(rec.reward.sum() / rec.reset.sum()) < 0.2  # of random play
    assert state.params.target == 1
    assert score(agent, state) > 0.8
    assert score(agent, state, target=jnp.float32(-1)) < -0.8


def test_without_returns_it_does_what_the_data_do_most(data):
    agent = make(data, condition=False)
    state = agent.train(agent.init(KEY), 50)[0]
    assert abs(score(agent, state, 16)) < 0.4


def test_a_target_of_the_user_is_what_is_asked_for(data):
    agent = make(data, target=-1.0)
    assert agent.train(agent.init(KEY), 1)[0].params.target == -1


def test_acting_step_by_step_is_what_was_fitted(fitted, data):
    """Log-probabilities of recorded actions, step by step with rewards, equal the whole's."""
    agent, state = fitted
    rec, params = load_recording(data), state.params
    last = np.flatnonzero(rec.reset)[3]  # three episodes
    rows = jax.tree.map(lambda x: x[:last, None], agent.data)
    x = agent._input(params, rows.obs, rows.to_go, rows.previous)
    fresh = agent.network.init_carry(1)
    core, whole = agent.network.apply(params.network, fresh, x, rows.reset)
    carry = agent.init_carry(1)
    total = 0.0
    for t in range(last):
        total = rows.to_go[t, 0] if rec.reset[t] else total
        obs, reset = rec.obs[t : t + 1], rows.reset[t]
        at = jax.tree.map(lambda a, t=t: a[t], x)
        _, step = agent.network.apply(params.network, carry.core, at, reset, method="step")
        np.testing.assert_allclose(step.logits, whole.logits[t], rtol=1e-4, atol=1e-5)
        carry, _ = agent.act(params._replace(target=total), carry, obs, reset, KEY)
        np.testing.assert_allclose(total - carry.earned, rows.to_go[t], atol=1e-5)
        # What was recorded is done in place of what the policy would do.
        taken = jax.nn.one_hot(rec.action[t : t + 1], carry.action.shape[1])
        carry = agent.rewarded(carry._replace(action=taken), jnp.asarray(rec.reward[t : t + 1]))
    close(core, carry.core)


def test_windows_are_rows_of_the_data_that_begin_with_a_reset(data):
    agent = make(data)
    loaded = agent.data
    window = sample_windows(loaded, 5, 64, KEY)
    assert window.reset[0].all() and window.obs.shape == (5, 64, loaded.obs.shape[1])
    rec = load_recording(data)
    flat = np.asarray(loaded.obs)
    for b in range(64):
        starts = [
            n for n in range(loaded.steps - 4)
            if np.array_equal(flat[n : n + 5], window.obs[:, b])
            and np.array_equal(rec.action[n : n + 5], window.action[:, b])
            and np.array_equal(rec.reset[n + 1 : n + 5], window.reset[1:, b])
            and np.array_equal(loaded.to_go[n : n + 5], window.to_go[:, b])
        ]  # fmt: skip
        assert starts
    before = np.where(rec.reset, -1, np.roll(rec.action, 1))
    np.testing.assert_array_equal(loaded.previous, jax.nn.one_hot(before, loaded.previous.shape[1]))


def test_training_needs_the_data_and_playing_does_not(fitted, tmp_path):
    agent, state = fitted
    gone = make(tmp_path / "gone.npz")
    carry, obs = gone.init_carry(16), agent.env.reset(KEY)[1].obs
    args = carry, obs, jnp.ones(16, bool), KEY
    same(gone.act(state.params, *args), agent.act(state.params, *args))
    assert jax.tree.structure(gone.init(KEY)) == jax.tree.structure(state)
    with pytest.raises(InputError, match="no such file"):
        _ = gone.data
    with pytest.raises(InputError, match=r"agent\.data must be a file"):
        make("").train(state, 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length": 10_000}, "longer than the 1600 steps"),
        ({"env_id": "probe:Catch"}, "holds observations"),
        ({"env_id": "memory:Parity"}, "holds observations"),
        ({"env_id": "popgym:RepeatPreviousEasy"}, "holds observations"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_anything_compiles(data, changes, said):
    with pytest.raises(InputError, match=said):
        _ = make(data, **changes).data


def test_actions_outside_the_space_are_refused(data, tmp_path):
    rec, agent = load_recording(data), make(data)
    for action in (rec.action + 7, rec.action - 1, rec.action + 0.5, np.stack([rec.action] * 2, 1)):
        with open(tmp_path / "bad.npz", "wb") as file:
            save_npz(rec._replace(action=action), file)
        with pytest.raises(InputError, match="holds actions"):
            load_data(str(tmp_path / "bad.npz"), agent.observations, agent.action_space)


def test_recorded_data_are_arguments_of_the_compiled_program_and_not_constants(data):
    words = ["experiment=popgym_decision", "env.id=probe:Recall", f"agent.data={data}",
             "env.num_envs=4", "core.features=8", "agent.length=4", "total_steps=2560",
             "seeds=2"]  # fmt: skip
    job = build.build(config.compose(words))
    lowered = build.lower_chunk(job)
    used = lowered.compile(build.compiler_options()).memory_analysis()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(job.agent.data))
    state = memory.state_bytes(build.abstract_state(job))
    assert abs(used.argument_size_in_bytes - state - size) < 1000
    assert len(lowered.as_text()) < 400_000


def test_from_a_teacher_to_a_policy_by_the_command_line(tmp_path, capsys):
    teacher, student, file = tmp_path / "teacher", tmp_path / "student", tmp_path / "d.npz"
    quiet = ["run.quiet=true", "run.eval_episodes=0", "env.id=probe:Recall"]
    small = ["total_steps=256", f"run.dir={teacher}", *quiet]
    assert cli.main(["train", "experiment=debug", "core=gru", *small]) == 0
    assert cli.main(["record", str(teacher), "--episodes", "40", "--out", str(file)]) == 0
    assert "40 episodes" in capsys.readouterr().out
    rec = load_recording(file)
    assert rec.reset.sum() == 40 and rec.about["env"]["id"] == "probe:Recall"
    assert cli.main(["record", str(teacher), "--out", str(file)]) == cli.BAD_INPUT
    words = ["experiment=popgym_decision", f"agent.data={file}", f"run.dir={student}", *quiet,
             "core.features=8", "agent.length=4", "agent.batch=4", "run.chunks=2"]  # fmt: skip
    assert cli.main(["train", *words, "total_steps=160"]) == 0
    assert cli.main(["resume", str(student), "--total-steps", "320"]) == 0
    file.unlink()
    assert cli.main(["eval", str(student), "--episodes", "8"]) == 0
    assert "mean return" in capsys.readouterr().out
    assert cli.main(["resume", str(student), "--total-steps", "640"]) == cli.BAD_INPUT
    assert "no such file" in capsys.readouterr().err
    lost = ["train", *words, "total_steps=160", f"run.dir={tmp_path / 'other'}"]
    assert cli.main(lost) == cli.BAD_INPUT and not (tmp_path / "other").exists()
    loaded = policy.load_policy(student)
    carry, _ = loaded(None, rec.obs[0])
    carry, _ = loaded(carry, rec.obs[1], reward=0.25)
    assert carry.earned == 0.25
    with pytest.raises(InputError, match="reward is one float32"):
        loaded(carry, rec.obs[1], reward=[0.0, 1.0])


def test_recordings_of_every_action_space_are_learned_from():
    for env_id in ("probe:Leak", "gymnax:Pendulum-v1"):
        agent = make(recorded(env_id), env_id=env_id, length=3)
        _, metrics = agent.train(agent.init(KEY), 2)
        assert metrics["finite"] == 1
