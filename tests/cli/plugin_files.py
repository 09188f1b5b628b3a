"""Plug-ins that tests write into folders: a core, an environment, and what is wrong with others."""

CORE = '''"""A leaky sum."""

from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlseq.cores.options import Dtype, Features
from rlseq.fields import Range


class Leaky(nn.Module):
    """Adds up what it reads, and forgets."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    leak: Annotated[float, Range(0, 1)] = 0.5
    dtype: Dtype = "float32"

    def setup(self):
        self.inputs = nn.Dense(self.features, dtype=self.dtype, param_dtype=self.dtype)

    def init_carry(self, batch):
        return jnp.zeros((batch, self.features), self.dtype)

    def __call__(self, carry, x, reset):
        return jax.lax.scan(self._add, carry, (self.inputs(x), reset))

    def step(self, carry, x, reset):
        return self._add(carry, (self.inputs(x), reset))

    def _add(self, h, inputs):
        x, reset = inputs
        h = jnp.where(reset[:, None], jnp.zeros_like(h), h)
        h = jnp.asarray(self.leak, self.dtype) * h + x
        return h, h
'''

ENV = '''"""Environments of a test."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.fields import Range


class State(NamedTuple):
    time: jax.Array
    goal: jax.Array


class Name(Env):
    """Name the number that is shown, `length` times."""

    reward_range = (0.0, 1.0)

    def __init__(self, length: Annotated[int, Range(1, 100)] = 3):
        self.max_steps = length

    def start(self, key):
        return State(jnp.int32(0), jax.random.randint(key, (), 0, 2, jnp.int32))

    def advance(self, key, state, action):
        goal = jax.random.randint(key, (), 0, 2, jnp.int32)
        return State(state.time + 1, goal), (action == state.goal).astype(jnp.float32)

    def observe(self, key, state, action, params):
        return state.goal

    def action_space(self, params):
        return Discrete(2)

    def observation_space(self, params):
        return Discrete(2)


def run(length):
    """What a configuration must not be able to call."""
    raise AssertionError
'''

AGENT = '''"""An agent of a test."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from rlseq.agents.acting import Actor, mark_batched, start_actor, step_once
from rlseq.agents.metrics import ended_episodes, training_metrics
from rlseq.fields import LearningRate, Rollout


@dataclass(frozen=True)
class TinyConfig:
    num_steps: Rollout = 64
    lr: LearningRate = 1e-2


class State(NamedTuple):
    params: jax.Array
    actor: Actor
    updates: jax.Array


class Tiny:
    """A linear policy of a leaky sum; pushed along what it was paid for."""

    Config = TinyConfig
    needs_world_model = False
    steps_environment = True

    def __init__(self, env, config, core, num_updates, world_model=None):
        self.env, self.config = env, config
        self.size, self.actions = env.spec.obs_space.shape[0], env.spec.action_space.n
        self.steps_per_update = self.update_steps(config, env.num_envs)

    @staticmethod
    def update_steps(config, num_envs):
        return config.num_steps * num_envs

    @partial(jax.jit, static_argnums=0)
    def init(self, key):
        net_key, env_key, act_key = jax.random.split(key, 3)
        actor = start_actor(self.env, self.init_carry(self.env.num_envs), env_key, act_key)
        params = 0.1 * jax.random.normal(net_key, (self.size, self.actions))
        return State(params, actor, jnp.int32(0))

    def init_carry(self, batch):
        return jnp.zeros((batch, self.size))

    def policy_params(self, state):
        return state.params

    def batched(self, state):
        return mark_batched(state)

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state, num_updates):
        state, (episodes, losses) = jax.lax.scan(self._update, state, None, num_updates)
        return state, training_metrics(episodes, losses)

    def _update(self, state, _):
        def choose(*seen):
            return (*self._act(state.params, *seen, False), None)

        def step(actor, _):
            actor, action, _ = step_once(self.env, choose, actor)
            paid = actor.carry.T @ (jax.nn.one_hot(action, 2) * actor.timestep.reward[:, None])
            return actor, (paid, ended_episodes(actor.env_state, actor.timestep))

        actor, (paid, episodes) = jax.lax.scan(step, state.actor, None, self.config.num_steps)
        params = state.params + self.config.lr * paid.mean(0)
        episodes = jax.tree.map(jnp.sum, episodes)
        return State(params, actor, state.updates + 1), (episodes, {"loss/policy": -paid.mean()})

    @partial(jax.jit, static_argnums=0, static_argnames="greedy")
    def act(self, params, carry, obs, reset, key, *, greedy=False):
        return self._act(params, carry, obs, reset, key, greedy)

    def _act(self, params, carry, obs, reset, key, greedy):
        carry = jnp.where(reset[:, None], 0, carry)
        carry = 0.5 * carry + obs
        logits = carry @ params
        chosen = logits.argmax(-1) if greedy else jax.random.categorical(key, logits)
        return carry, chosen.astype(jnp.int32)
'''

LOGGER = '''"""Loggers of a test."""


class Lines:
    """A line for each row in `lines.txt`."""

    def __init__(self, folder, start, config):
        self.file = open(folder / "lines.txt", "a")
        self.file.write(f"from {start} of {config['total_steps']}\\n")

    def write(self, step, values):
        self.file.write(f"{step} {','.join(sorted(values))}\\n")

    def close(self):
        self.file.close()


class Mute:
    def write(self, step, values):
        pass


class Broken(Lines):
    def __init__(self, folder, start, config):
        raise OSError("no such server\\nat all")


def function(folder, start, config):
    raise AssertionError
'''

REGISTERS = """import rlseq

rlseq.register("core", "mine", f"{__name__}:Leaky")
"""
