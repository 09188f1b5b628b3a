"""An agent that steps no environment: it imitates recorded actions, which show a cue."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rlseq.agents.acting import to_env
from rlseq.agents.metrics import no_episodes, training_metrics
from rlseq.agents.networks import make_network
from rlseq.agents.observations import Observations
from rlseq.agents.on_policy import PolicyParams
from rlseq.agents.updates import gradient_step
from rlseq.fields import LearningRate

LENGTH, SEQUENCES = 4, 5


@dataclass(frozen=True)
class CloningConfig:
    lr: LearningRate = 1e-2


class CloningState(NamedTuple):
    params: PolicyParams
    optimiser: optax.OptState
    updates: jax.Array
    key: jax.Array


class Cloning:
    Config = CloningConfig
    needs_world_model = False
    steps_environment = False

    def __init__(self, env, config, core, num_updates, world_model=None):
        self.observations = Observations(env, "auto")
        self.env = self.observations.wrap(env)
        spaces = env.spec.obs_space, env.spec.action_space
        self.network: Any = make_network(core, *spaces, "auto", 8, 8, shared_core=True)
        self.optimiser = optax.adam(config.lr)
        self.steps_per_update = LENGTH * SEQUENCES

    @staticmethod
    def update_steps(config, num_envs):
        return LENGTH * SEQUENCES

    def recorded(self, key):
        """Sequences [T, B] of random cues, and what was done: what the cue showed."""
        size = self.env.spec.obs_space.shape[0]
        cue = jax.random.randint(key, (LENGTH, SEQUENCES), 0, 2)
        reset = jnp.zeros(cue.shape, bool).at[0].set(True)
        return jax.nn.one_hot(cue, size), cue.astype(jnp.int32), reset

    @partial(jax.jit, static_argnums=0)
    def init(self, key):
        key, net_key = jax.random.split(key)
        obs, _, reset = self.recorded(key)
        network = self.network.init(net_key, self.init_carry(SEQUENCES), obs, reset)
        params = PolicyParams(network, self.observations.init_moments())
        return CloningState(params, self.optimiser.init(network), jnp.int32(0), key)

    def init_carry(self, batch):
        return self.network.init_carry(batch)

    def policy_params(self, state):
        return state.params

    def batched(self, state):
        return jax.tree.map(lambda _: False, state)

    @partial(jax.jit, static_argnums=(0, 2))
    def train(self, state, num_updates):
        state, losses = jax.lax.scan(self._update, state, length=num_updates)
        return state, training_metrics(no_episodes(), losses)

    def _update(self, state, _):
        key, data_key = jax.random.split(state.key)
        start = state.params.network, state.optimiser
        new = gradient_step(self._loss, self.optimiser, *start, *self.recorded(data_key))
        params = state.params._replace(network=new.params)
        return CloningState(params, new.optimiser, state.updates + 1, key), new.aux

    def _loss(self, network, obs, action, reset):
        _, policy, _ = self.network.apply(network, self.init_carry(SEQUENCES), obs, reset)
        loss = -policy.log_prob(action).mean()
        return loss, {"loss/policy": loss}

    @partial(jax.jit, static_argnums=0, static_argnames="greedy")
    def act(self, params, carry, obs, reset, key, *, greedy=False):
        obs = self.observations.flatten(obs)
        carry, policy, _ = self.network.apply(params.network, carry, obs, reset, method="step")
        return carry, to_env(self.env, policy.mode() if greedy else policy.sample(key))
