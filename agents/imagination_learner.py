"""The updates of learning in imagination: of the world model, then of the behaviour inside it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.agents import imagined
from rlseq.agents.behaviour import Behaviour, BehaviourState
from rlseq.agents.imagination_settings import ImaginationConfig
from rlseq.agents.updates import gradient_step
from rlseq.replay.store import Replay
from rlseq.types import Metrics, Params, PyTree, Ring, Sequences
from rlseq.world_models.types import Observed, WorldModel


class ModelState(NamedTuple):
    """The world model and its optimiser."""

    params: Params
    optimiser: optax.OptState


class LearnerState(NamedTuple):
    """What the updates of a round change; the experience itself is only read."""

    model: ModelState
    behaviour: BehaviourState
    sampler: PyTree


class Learner:
    """Configuration of the updates; progress lives in `LearnerState`."""

    def __init__(
        self, config: ImaginationConfig, model: WorldModel, behaviour: Behaviour, replay: Replay
    ):
        self.config = config
        self.model = model
        self.behaviour = behaviour
        self.replay = replay
        self.optimiser: optax.GradientTransformation = model.optimiser()

    def init_model(self, key: Array) -> ModelState:
        """Fresh parameters."""
        params = self.model.init(key)
        return ModelState(params, self.optimiser.init(params))

    def learn(self, ring: Ring, old: LearnerState, key: Array) -> tuple[LearnerState, Metrics]:
        """`updates` of the world model and of the behaviour each; metrics are their means."""
        keys = jax.random.split(key, self.config.updates)
        new, metrics = lax.scan(partial(self.learn_once, ring), old, keys)
        return new, jax.tree.map(jnp.mean, metrics)

    def learn_once(self, ring: Ring, old: LearnerState, key: Array) -> tuple[LearnerState, Metrics]:
        """One update of the world model, and one of the behaviour in what it imagines."""
        c = self.config
        sample_key, model_key, start_key, rollout_key, fit_key = jax.random.split(key, 5)
        sampler, rows = self.replay.sample(
            ring, old.sampler, "model", c.batch, c.length, sample_key
        )
        model, seen, model_metrics = self.train_model(old.model, rows, model_key)
        start, sampler = self._start(ring, sampler, model.params, rows, seen, start_key)
        policy = partial(self.behaviour.policy, old.behaviour.actor)
        rollout = imagined.imagine(self.model, model.params, policy, start, c.horizon, rollout_key)
        behaviour, metrics = self.behaviour.improve(old.behaviour, rollout, fit_key)
        return LearnerState(model, behaviour, sampler), model_metrics | metrics

    def train_model(
        self, state: ModelState, rows: Sequences, key: Array
    ) -> tuple[ModelState, Observed, Metrics]:
        """One update of the world model on sequences [T, B]."""
        new = gradient_step(
            self.model.loss, self.optimiser, state.params, state.optimiser, rows, key
        )
        parts, seen = new.aux
        metrics = {f"loss/{name}": value for name, value in parts.items()}
        return ModelState(new.params, new.optimiser), seen, metrics | {"model_grad_norm": new.norm}

    def _start(
        self,
        ring: Ring,
        sampler: PyTree,
        params: Params,
        rows: Sequences,
        seen: Observed,
        key: Array,
    ) -> tuple[imagined.Start, PyTree]:
        """Where imagination begins, and the sampler after it."""
        c = self.config
        if c.starts == "batch":
            return imagined.start_from_batch(self.model, params, rows, seen, c.start_every), sampler
        sample_key, see_key = jax.random.split(key)
        sampler, contexts = self.replay.sample(
            ring, sampler, "policy", c.contexts, c.context, sample_key
        )
        after = c.act_on == "prior"
        start = imagined.start_from_contexts(self.model, params, contexts, see_key, after=after)
        return start, sampler
