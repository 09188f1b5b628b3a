"""A small set that holds under every documented flag of JAX: `.ci/flags` runs it under each."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq import cli
from tests import kinds
from tests.draws import Draws

RUNS = {
    "debug": ["agent.num_steps=4", "total_steps=32", "run.chunks=2"],
    "drama_debug": [
        "agent.num_steps=4",
        "agent.warmup=16",
        "agent.context=1",
        "agent.horizon=2",
        "agent.length=2",
        "agent.batch=2",
        "total_steps=32",
        "run.chunks=2",
    ],
    "r2d2_debug": ["agent.warmup=32", "agent.burn_in=1", "total_steps=32", "run.chunks=2"],
    "sac_debug": ["agent.warmup=32", "agent.burn_in=1", "total_steps=32", "run.chunks=2"],
}
ENVS = ("gymnax:Pendulum-v1", "memory:Parity", "meta:CartPole", "minatar:Freeway", "probe:Leak")


# Two runs more would make each run of `.ci/flags` twice as long; `-m slow` has them.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("r2d2_debug", "sac_debug")]


@pytest.mark.parametrize("experiment", ["debug", "drama_debug", *SLOW])
def test_runs_train_resume_and_play(experiment, tmp_path, capsys):
    run = tmp_path / "run"
    words = [f"experiment={experiment}", f"run.dir={run}", "run.eval_episodes=0"]
    assert cli.main(["train", *words, *RUNS[experiment], "run.quiet=true"]) == 0
    assert cli.main(["resume", str(run), "--total-steps", "48"]) == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows]
    assert steps[:2] == [16, 32] and steps[2] >= 48
    for row in rows:
        assert row["finite"] == 1 and (row["return"] is None) == (row["episodes"] == 0)
    assert cli.main(["eval", str(run), "--episodes", "2"]) == 0
    assert "mean return" in capsys.readouterr().out


@pytest.mark.parametrize("name", kinds.EACH_KIND)
def test_cores_scan_as_they_step(name):
    fns, draws = rlseq.functional(name, 5, 8, layers=1), Draws(0)
    x, reset = draws.normal(4, 3, 5), draws.happens(0.3, 4, 3)
    params, carry = fns.init(jax.random.key(0)), fns.init_carry(3)
    _, whole = fns.scan(params, carry, x, reset)
    steps = []
    for x_t, reset_t in zip(x, reset, strict=True):
        carry, y = fns.step(params, carry, x_t, reset_t)
        steps.append(y)
    assert whole.dtype == jnp.float32
    np.testing.assert_allclose(whole, np.stack(steps), rtol=0.02, atol=0.02)  # bfloat16 products


@pytest.mark.parametrize("name", ENVS)
def test_environments_play(name):
    env = rlseq.make_env(name, 2, statistics=True)
    state, ts = env.reset(jax.random.key(0))
    assert ts.reset.all() and not ts.reward.any()
    for i in range(3):
        key = jax.random.key(i)
        action = jax.vmap(env.spec.action_space.sample)(jax.random.split(key, 2))
        state, ts = env.step(state, action, key)
        assert ts.reward.dtype == jnp.float32 and np.isfinite(ts.reward).all()
