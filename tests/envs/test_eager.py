"""Environments stepped outside jit: one program an object, and memory stays flat."""

import gc
import weakref
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from rlseq.envs import make_env
from rlseq.errors import HostEnvError
from tests.compilations import counted
from tests.own_envs import OWN
from tests.train.broken_env import broken

E = 2
# One of each family, of each kind of batched environment and of each way to start anew.
IDS = {
    "atari:Pong": {},
    "atari:Breakout": {"backend": "callback"},
    "gymnasium:CartPole-v1": {},
    "gymnax:CartPole-v1": {},
    "memory:ParityCurriculum": {"max_n": 3},
    "meta:BernoulliBandit": {},
    "minatar:Breakout": {},
    "popgym:RepeatFirstEasy": {},
    "popgym:BattleshipEasy": {},
    "probe:Leak": {},
    "popgym:AutoencodeEasy": {"debug": True, "sticky_actions": 0.1, "frame_skip": 2}
    | {"obs_flicker": 0.5, "obs_delay": 2, "previous_action": True, "start_flag": True}
    | {"flatten": True, "statistics": True},
    "popgym:PositionOnlyCartPoleEasy": {"obs_noise": 0.1, "obs_mask": (0,)},
}


def test_every_family_is_among_them():
    assert {name.partition(":")[0] for name in IDS} == set(OWN)


def zeros(venv):
    space = venv.spec.action_space
    return jnp.zeros((E, *space.shape), space.dtype)


def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@pytest.mark.parametrize("env_id", IDS)
def test_a_thousand_eager_steps_compile_once_and_keep_nothing(env_id):
    venv, family = make_env(env_id, E, **IDS[env_id]), env_id.partition(":")[0]
    action, key = zeros(venv), jax.random.key(1)
    state, _ = venv.reset(jax.random.key(0))
    state, ts = venv.step(state, action, key)
    with counted() as events:
        for _ in range(50):
            state, ts = venv.step(state, action, key)
        state, ts = venv.reset(key)
        gc.collect()
        arrays, memory = len(jax.live_arrays()), resident_megabytes()
        for _ in range(1000 if family != "atari" else 200):  # an emulator's step takes long
            state, ts = venv.step(state, action, key)
        jax.block_until_ready(ts)
        gc.collect()
        assert len(jax.live_arrays()) == arrays
        assert resident_megabytes() - memory < 10  # compiling at every step took 3.8 each
    assert not events


@pytest.mark.parametrize("env_id", ["popgym:RepeatFirstEasy", "probe:Leak", "memory:TMaze"])
def test_eager_steps_are_those_of_jit(env_id):
    venv = make_env(env_id, E, previous_action=True, statistics=True)
    action, key = zeros(venv), jax.random.key(1)
    eager, jitted = venv.reset(key), jax.jit(venv.reset)(key)
    step = jax.jit(venv.step)
    for _ in range(5):
        jax.tree.map(np.testing.assert_array_equal, eager, jitted)
        eager, jitted = venv.step(eager[0], action, key), step(jitted[0], action, key)


def test_inside_jit_there_is_no_program_of_its_own():
    """What is compiled around an environment is the same text as without the decorators."""
    venv = make_env("probe:Leak", E, previous_action=True, start_flag=True)
    state, _ = venv.reset(jax.random.key(0))
    arguments = state, zeros(venv), jax.random.key(1)
    text = str(jax.make_jaxpr(venv.step)(*arguments))
    assert "name=step" not in text
    bare = type(venv).step.__wrapped__
    assert text == str(jax.make_jaxpr(lambda *x: bare(venv, *x))(*arguments))


def test_an_environment_that_nobody_holds_is_freed():
    venv = make_env("probe:Leak", E, statistics=True)
    venv.step(venv.reset(jax.random.key(0))[0], zeros(venv), jax.random.key(1))
    gone = weakref.ref(venv), weakref.ref(venv.inner)
    del venv
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_checks_of_debug_raise_outside_jit():
    venv = make_env("popgym:RepeatPreviousEasy", E, debug=True, flatten=True)
    state, _ = venv.reset(jax.random.key(0))
    state, _ = venv.step(state, zeros(venv), jax.random.key(1))
    with pytest.raises(
        checkify.JaxRuntimeError, match=r"an action of popgym.*outside Discrete\(4\)"
    ):
        venv.step(state, jnp.full(E, 4, jnp.int32), jax.random.key(1))


@pytest.mark.parametrize("at", [0, 2])
def test_failures_and_interrupts_of_the_host_come_out_as_they_are(at, capfd):
    def play(kind):
        venv = make_env(broken(kind, at))
        state, _ = venv.reset(jax.random.key(0))
        for _ in range(2):
            state, _ = venv.step(state, jnp.zeros(1, jnp.int32), jax.random.key(0))

    with pytest.raises(HostEnvError, match=r"^the environment failed: ValueError: boo$") as fault:
        play("ValueError")
    assert isinstance(fault.value.__cause__, ValueError)
    for kind in (KeyboardInterrupt, SystemExit):
        with pytest.raises(kind, match="boo"):
            play(kind.__name__)
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_failure_nobody_looked_at_is_not_taken_for_another():
    venv = make_env(broken("KeyboardInterrupt", 0))
    with pytest.raises(jax.errors.JaxRuntimeError):
        jax.jit(venv.reset)(jax.random.key(0))

    class Other(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            raise ArithmeticError("of another")

    gymnasium.register("Other-v0", entry_point=Other)
    with pytest.raises(HostEnvError, match="ArithmeticError: of another"):
        make_env("gymnasium:Other-v0").reset(jax.random.key(0))
