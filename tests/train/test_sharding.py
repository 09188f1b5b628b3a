"""A mesh changes where a state lies, not what is learned."""

import jax
import numpy as np
import pytest

from rlseq import config
from rlseq.errors import InputError
from rlseq.train import build, loop, memory, plan, sharding
from tests.train.fake_job import make_folder, make_job


@pytest.mark.parametrize("mesh", ["env=4", "seed=2,env=2", "seed=2"])
def test_training_with_a_mesh_equals_training_without(tmp_path, mesh):
    plain = loop.drive(make_job(2), make_folder(tmp_path / "plain"))
    job = make_job(2, mesh=mesh)
    spread = loop.drive(job, make_folder(tmp_path / "spread"))
    assert len(build.init(job).obs.sharding.device_set) == {"seed=2": 2}.get(mesh, 4)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(spread), strict=True):
        if jax.numpy.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evn=2", "Did you mean 'env'"),
        ("env=x", "reads like env=4"),
        ("env=0", "reads like env=4"),
        ("env=3", "env=3 does not divide 4"),
        ("seed=2", "seed=2 does not divide 1"),
        ("env=64", "does not divide 4"),
    ],
)
def test_bad_meshes_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        sharding.make_mesh(text, seeds=1, num_envs=4)


def test_a_plan_says_how_a_mesh_splits_the_state_without_its_devices():
    words = ["experiment=debug", "core=gru", "seeds=2", "env.num_envs=16"]
    rows = dict(plan.plan(config.compose([*words, "run.mesh=seed=2,env=8"])))
    assert rows["mesh"] == "16 devices: seed=2, env=8"
    on_each = "part 0 of the seeds on devices 0 to 7; part 1 of the seeds on devices 8 to 15"
    assert rows["device order"] == on_each
    assert rows["compile"] == "not here: 16 devices are needed, there are 4"
    job = build.build_to_act(config.compose([*words, "run.mesh=seed=2,env=8"]))
    state, layout = build.abstract_state(job), build.abstract_layout(job)
    assert layout is not None
    whole = memory.state_bytes(state.actor.env_state)
    assert plan._on_each(state.params, layout.params) * 2 == memory.state_bytes(state.params)
    assert plan._on_each(state.actor.env_state, layout.actor.env_state) * 16 == whole


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(InputError, match="needs 8 devices"):
        sharding.make_mesh("env=8", seeds=1, num_envs=8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiment=debug", "env.id=gymnasium:CartPole-v1"], "live outside JAX"),
        (["experiment=popgym_decision", "agent.data=recorded.npz"], "agent=decision has none"),
    ],
)
def test_what_has_no_environments_to_split_is_refused(words, message):
    with pytest.raises(InputError, match=message):
        build.build(config.compose([*words, "run.mesh=env=2"]))


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("r2d2_debug", "sac_debug")]


@pytest.mark.parametrize("experiment", ["debug", *SLOW])
def test_each_device_computes_a_share_of_the_gradients(experiment):
    words = [f"experiment={experiment}", "core=gru", "env.num_envs=8"]

    def flops(*more):
        job = build.build(config.compose([*words, *more]))
        return build.lower_chunk(job).compile(build.compiler_options()).cost_analysis()["flops"]

    assert flops("run.mesh=env=2") < 0.7 * flops()
