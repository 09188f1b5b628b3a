"""Return-conditioned sequence modelling (Decision Transformer, Chen et al. 2106.01345), any core.

A policy is fitted to recorded actions, given what was seen, what was done before and the return
that followed: pi(a[t] | R[<=t], o[<=t], a[<t]). To act, it is asked for the return it is to reach,
and what it earns is taken off that. One step of the core reads all three of a time step, where the
transformer had a token for each. Without returns it is behaviour cloning.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq import fields
from rlseq.agents.acting import to_env
from rlseq.agents.conditioned import ConditionedEncoder, ConditionedInput, ConditionedPolicy
from rlseq.agents.metrics import no_episodes, training_metrics
from rlseq.agents.networks import ENCODERS, action_head, keeps_image, make_trunk
from rlseq.agents.observations import Observations
from rlseq.agents.offline import OfflineData, Window, load_data, sample_windows
from rlseq.agents.updates import gradient_step
from rlseq.cores.dtypes import around
from rlseq.data.minari import minari_scores
from rlseq.envs.spaces import flat_size, flatten
from rlseq.errors import InputError
from rlseq.nn.normalisers import RunningMoments, update_moments
from rlseq.rl.schedules import SCHEDULES, learning_rate
from rlseq.types import Carry, DataScores, Metrics, Params, PyTree, VecEnv


@dataclass(frozen=True)
class DecisionConfig:
    """Hyper-parameters. Sources: [DT] Chen et al. 2106.01345, table 9 (OpenAI Gym); [O] ours."""

    data: Annotated[str, fields.Text()] = ""  # a file of `rlseq record`, or a Minari data set
    condition: bool = True  # on returns; False: behaviour cloning
    target: Annotated[float | None, fields.Range(-1e9, 1e9)] = None  # [O] null: best of the data
    length: Annotated[int, fields.Range(1, 65_536)] = 20  # [DT] steps of a sequence, its K
    batch: Annotated[int, fields.Range(1, 65_536)] = 64  # [DT] sequences of an update
    lr: fields.LearningRate = 1e-3  # [O] recurrent cores learn faster so; [DT] 1e-4
    schedule: Annotated[str, fields.OneOf(SCHEDULES)] = "constant"  # [DT]
    warmup: fields.Warmup = 100  # [O] updates of linear warm-up; [DT] 100,000, of a tenth the lr
    weight_decay: fields.Weight = 1e-4  # [DT] of AdamW
    max_grad_norm: fields.GradNorm = 0.25  # [DT] of all gradients together
    normalize_observations: bool = True  # [DT] mean and variance of the data; vectors only
    encoder_kind: Annotated[str, fields.OneOf(ENCODERS)] = "auto"  # conv for bytes, else dense
    encoder: fields.Width = 128  # [DT] embedding
    head: fields.Width = 128  # [O] width of the layer after the core

    def __post_init__(self) -> None:
        fields.check_instance(self, "agent.")


class DecisionParams(NamedTuple):
    """All that acting needs."""

    network: Params
    moments: RunningMoments  # of the observations of the data
    scale: Array  # float32 [], the largest return of the data, by which returns are divided
    target: Array  # float32 [], the return that acting asks for


class DecisionState(NamedTuple):
    """All that training needs; every leaf is an array."""

    params: DecisionParams
    optimiser: optax.OptState
    updates: Array  # [] int32
    key: Array


class DecisionCarry(NamedTuple):
    """The memory of an episode under way."""

    core: Carry
    earned: Array  # float32 [B], the return so far
    action: Array  # float32 [B, A], the last action, flattened; 0 in a fresh episode


class Decision:
    """The agent: configuration and networks; progress lives in `DecisionState`.

    The data is read when training begins, so that a trained policy plays without it. Raises
    InputError for hyper-parameters out of range and spaces that have no head or encoder.
    """

    Config: ClassVar[type] = DecisionConfig
    needs_world_model: ClassVar[bool] = False
    steps_environment: ClassVar[bool] = False

    def __init__(
        self,
        env: VecEnv,
        config: DecisionConfig,
        core: dict[str, Any],
        num_updates: int,
        world_model: dict[str, Any] | None = None,
    ):
        del world_model  # `needs_world_model` is False: there is none
        self.config = config
        space, c = env.spec.obs_space, config
        normalized = c.normalize_observations and not keeps_image(c.encoder_kind, space)
        self.observations = Observations(env, c.encoder_kind, normalized=normalized)
        self.env = self.observations.wrap(env)
        self.action_space = env.spec.action_space
        encoders, cores = make_trunk(core, space, c.encoder_kind, c.encoder)
        dtype = around(cores[0].dtype)
        encoder = ConditionedEncoder(encoders[0], cores[0].features, c.condition, dtype)
        kind, sizes = action_head(self.action_space)
        self.network: Any = ConditionedPolicy((encoder,), cores, kind, sizes, (c.head,))
        rate = learning_rate(c.schedule, c.lr, num_updates, c.warmup)
        self.optimiser = optax.chain(
            optax.clip_by_global_norm(c.max_grad_norm),
            optax.adamw(rate, weight_decay=c.weight_decay),
        )
        self.steps_per_update = self.update_steps(config, env.num_envs)

    @staticmethod
    def update_steps(config: DecisionConfig, num_envs: int) -> int:
        """`batch` sequences of `length` recorded steps."""
        del num_envs  # none is stepped
        return config.batch * config.length

    @cached_property
    def data(self) -> OfflineData:
        """The recording, on the device. Raises InputError for one that is not there, is damaged,
        does not fit the spaces or is shorter than a sequence."""
        if not self.config.data:
            raise InputError("agent.data must be a file of `rlseq record` or a Minari data set")
        with jax.ensure_compile_time_eval():  # arrays, also where a program is traced around it
            data = load_data(self.config.data, self.observations, self.action_space)
        if data.steps < self.config.length:
            raise InputError(
                f"agent.length = {self.config.length} is longer than the {data.steps} steps of "
                f"{self.config.data!r}"
            )
        return data

    def data_scores(self) -> DataScores | None:
        """Those of a Minari data set that names its reference scores."""
        return minari_scores(Path(self.config.data)) if self.config.data else None

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array) -> DecisionState:
        """Fresh parameters; what they hold of the data, the first update fills in."""
        key, net_key = jax.random.split(key)
        fresh = self.init_carry(1)
        x = ConditionedInput(self.observations.nothing(1), fresh.earned, fresh.action)
        network = self.network.init(net_key, fresh.core, x, jnp.ones(1, bool), method="step")
        one = jnp.float32(1)
        params = DecisionParams(network, self.observations.init_moments(), one, one)
        return DecisionState(params, self.optimiser.init(network), jnp.int32(0), key)

    def init_carry(self, batch: int) -> DecisionCarry:
        """The memory of `batch` fresh episodes."""
        action = jnp.zeros((batch, flat_size(self.action_space)), jnp.float32)
        return DecisionCarry(self.network.init_carry(batch), jnp.zeros(batch, jnp.float32), action)

    def policy_params(self, state: DecisionState) -> DecisionParams:
        """What `act` needs of a state."""
        return state.params

    def batched(self, state: DecisionState) -> DecisionState:
        """False for every leaf: no environment is in the state."""
        return jax.tree.map(lambda _: False, state)

    def train(self, state: DecisionState, num_updates: int) -> tuple[DecisionState, Metrics]:
        """`num_updates` updates on random sequences of the data; losses are means over them."""
        return self.train_on(self.data, state, num_updates)

    @partial(jax.jit, static_argnums=(0, 3))
    def train_on(
        self, data: OfflineData, state: DecisionState, num_updates: int
    ) -> tuple[DecisionState, Metrics]:
        """`train` on data of its form, which need not be its own."""
        state = state._replace(params=self._described(state.params, data))
        body = partial(self._update, data)
        state, losses = lax.scan(body, state, None, num_updates)
        return state, training_metrics(no_episodes(), losses)

    def _described(self, params: DecisionParams, data: OfflineData) -> DecisionParams:
        """Parameters with what they hold of the data."""
        moments = params.moments
        if self.observations.normalized:
            moments = update_moments(self.observations.init_moments(), data.obs)
        returns = jnp.where(data.reset, data.to_go, data.to_go.min())
        target = returns.max() if self.config.target is None else jnp.float32(self.config.target)
        scale = jnp.maximum(jnp.abs(jnp.where(data.reset, data.to_go, 0)).max(), 1e-6)
        return params._replace(moments=moments, scale=scale, target=target)

    def _update(
        self, data: OfflineData, state: DecisionState, _: None
    ) -> tuple[DecisionState, Metrics]:
        key, window_key = jax.random.split(state.key)
        c, params = self.config, state.params
        window = sample_windows(data, c.length, c.batch, window_key)
        start = params.network, state.optimiser
        new = gradient_step(partial(self._loss, params), self.optimiser, *start, window)
        params = params._replace(network=new.params)
        losses = new.aux | {"grad_norm": new.norm}
        return DecisionState(params, new.optimiser, state.updates + 1, key), losses

    def _loss(
        self, params: DecisionParams, network: Params, window: Window
    ) -> tuple[Array, Metrics]:
        """The mean of -log pi(a[t]) over a window, whose memory is fresh at its start."""
        x = self._input(params, window.obs, window.to_go, window.previous)
        carry = self.network.init_carry(self.config.batch)
        _, policy = self.network.apply(network, carry, x, window.reset)
        loss = -policy.log_prob(window.action).mean()
        return loss, {"loss/policy": loss, "entropy": policy.entropy().mean()}

    def _input(
        self, params: DecisionParams, obs: Array, to_go: Array, previous: Array
    ) -> ConditionedInput:
        obs = self.observations.normalise(params.moments, obs)
        return ConditionedInput(obs, to_go / params.scale, previous)

    @partial(jax.jit, static_argnums=0, static_argnames="greedy")
    def act(
        self,
        params: DecisionParams,
        carry: DecisionCarry,
        obs: PyTree,
        reset: Array,
        key: Array,
        *,
        greedy: bool = False,
    ) -> tuple[DecisionCarry, PyTree]:
        """Actions for obs [B, ...], reset bool [B]: samples, or the modes when greedy."""
        earned = jnp.where(reset, 0, carry.earned)
        previous = jnp.where(reset[:, None], 0, carry.action)
        x = self._input(params, self.observations.flatten(obs), params.target - earned, previous)
        core, policy = self.network.apply(params.network, carry.core, x, reset, method="step")
        taken = to_env(self.env, policy.mode() if greedy else policy.sample(key))
        return DecisionCarry(core, earned, flatten(self.action_space, taken)), taken

    def rewarded(self, carry: DecisionCarry, reward: Array) -> DecisionCarry:
        """The memory after the last action earned reward float32 [B]."""
        return carry._replace(earned=carry.earned + reward)
