"""Drama (Wang et al. 2410.08893): a discrete autoencoder and a sequence model of any core.

z[t] ~ q(. | o[t]);  d[t] = f(z[0..t], a[0..t]);  z[t+1] ~ p(. | d[t]);  r[t], e[t] | d[t]

The posterior q does not see d, so that encoding, decoding and the core run over all of a sequence
at once. In imagination p takes the place of q and the core goes step by step.
"""

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from rlseq.cores.dtypes import around
from rlseq.errors import InputError
from rlseq.programs import compiled_once
from rlseq.rl.optimisers import laprop
from rlseq.rl.two_hot import two_hot_loss, two_hot_mean
from rlseq.types import Metrics, Params, PyTree, Sequences
from rlseq.world_models.autoencoder import Autoencoder, in_groups, make_autoencoder
from rlseq.world_models.initial import like_mamba
from rlseq.world_models.latents import entropy, sample
from rlseq.world_models.losses import balanced_kl, termination_loss
from rlseq.world_models.network import DramaNetwork
from rlseq.world_models.sequence import sequence_core
from rlseq.world_models.settings import PRESETS, DramaConfig
from rlseq.world_models.types import Imagined, Observed, Perceived, WorldCarry

PARTS = ("reconstruction", "reward", "termination", "dynamics", "representation")


class Drama:
    """The world model: configuration and networks. `rlseq.world_models.types.WorldModel` documents
    its methods, which compile once when they are called outside jit.

    Raises InputError for settings out of range, an observation that the encoder cannot divide, or
    a core that cannot step.
    """

    Config: ClassVar[type] = DramaConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def __init__(self, obs_space: Any, num_actions: int, config: DramaConfig, core: dict):
        if num_actions < 1:
            raise InputError(f"num_actions must be at least 1, got {num_actions}")
        self.config = config
        self.obs_space = obs_space
        self.num_actions = num_actions
        self.two_hot = config.two_hot
        self.core = sequence_core(config, core)
        self.autoencoder = _autoencoder(obs_space, config, around(self.core.dtype))
        self.network = DramaNetwork(
            self.autoencoder.encoder, self.autoencoder.decoder, self.core, num_actions, config
        )
        self.latent_size = config.latents * config.classes
        self.hidden_size = self.core.features

    def optimiser(self) -> optax.GradientTransformation:
        """LaProp with warm-up, clipping and weight decay as configured."""
        c = self.config
        return laprop(
            c.lr, warmup=c.warmup, max_grad_norm=c.max_grad_norm, weight_decay=c.weight_decay
        )

    @compiled_once()
    def init(self, key: Array) -> Params:
        """Fresh parameters."""
        x = self.autoencoder.preprocess(_zeros_like_batch(self.obs_space))
        action, reset = jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1), bool)
        params: Any = self.network.init(key, self.core.init_carry(1), x, action, reset)
        if self.config.initial != "released":
            return params
        parts = params["params"]
        return {"params": parts | {"core": like_mamba(parts["core"], self.core.layers)}}

    def init_carry(self, batch: int) -> WorldCarry:
        """The memory of `batch` fresh episodes; needs no parameters."""
        hidden = jnp.zeros((batch, self.hidden_size), jnp.float32)
        return WorldCarry(self.core.init_carry(batch), hidden)

    @compiled_once()
    def loss(
        self, params: Params, batch: Sequences, key: Array
    ) -> tuple[Array, tuple[Metrics, Observed]]:
        """The loss of a batch from a fresh memory: (scalar, (its parts, what was observed))."""
        key, drop_key = jax.random.split(key)
        x = self.autoencoder.preprocess(batch.obs)
        carry = self.init_carry(batch.action.shape[1])
        _, seen = self._observe(params, carry, x, batch.action, batch.reset, key, drop_key)
        mask = jnp.ones_like(batch.reset) if self.config.cross_episodes else ~batch.reset
        mask = mask.at[0].set(False)  # nothing foresaw the first step of a fresh memory
        parts = self._parts(params, batch, x, seen, mask)
        c = self.config
        weights = {
            "reward": c.reward,
            "dynamics": c.dynamics,
            "representation": c.representation,
        }
        total = sum((parts[k] * weights.get(k, 1.0) for k in PARTS), jnp.float32(0))
        parts["loss"] = total
        return total, (parts, seen)

    def _parts(
        self, params: Params, batch: Sequences, x: Array, seen: Observed, mask: Array
    ) -> Metrics:
        c = self.config
        error = self.autoencoder.error(self._decoded(params, seen.latent), x)
        hidden = seen.next_hidden
        logits = self._run(params, hidden, method="reward")
        reward = two_hot_loss(logits, batch.reward, form=self.two_hot)
        termination = termination_loss(
            self._run(params, hidden, method="termination_logit"), batch.terminated
        )
        kl = balanced_kl(
            seen.posterior, seen.prior, mask, free=c.free_bits, per_element=c.free_bits_per_element
        )
        return {
            "reconstruction": error.reshape(*batch.action.shape, -1).sum(-1).mean(),
            "reward": reward.mean(),
            "termination": termination.mean(),
            "dynamics": kl.dynamics,
            "representation": kl.representation,
            "kl": kl.kl,
            "entropy": lax.stop_gradient(entropy(seen.posterior).mean()),
        }

    @compiled_once()
    def encode(self, params: Params, obs: PyTree, key: Array) -> Array:
        """Observations [..., *obs] -> latents [..., L] drawn from their posteriors."""
        x = self.autoencoder.preprocess(obs)
        return sample(self._posterior(params, x), key)

    @compiled_once()
    def decode(self, params: Params, latent: Array) -> Array:
        """Latents [..., L] -> observations, float32 in the units of the observation space."""
        return self.autoencoder.postprocess(self._decoded(params, latent))

    def _posterior(self, params: Params, x: Array) -> Array:
        """Log-probabilities [..., K, C]; x [..., *obs] as the encoder reads it."""
        encode = partial(self._run, params, method="features")
        if not self.autoencoder.grouped:
            return self._run(params, encode(x), method="posterior")
        features = in_groups(encode, x.reshape(-1, *x.shape[-3:]))
        features = features.reshape(*x.shape[:-3], features.shape[-1])
        return self._run(params, features, method="posterior")

    def _decoded(self, params: Params, latent: Array) -> Array:
        """Latents [..., L] -> [..., *obs] as the loss compares them."""
        if not self.autoencoder.grouped:
            return self._run(params, latent, method="decode")
        x = self._run(params, latent.reshape(-1, latent.shape[-1]), method="project")
        x = in_groups(partial(self._run, params, method="upsample"), x)
        return x.reshape(*latent.shape[:-1], *x.shape[1:])

    @compiled_once()
    def observe(
        self,
        params: Params,
        carry: WorldCarry,
        obs: PyTree,
        action: Array,
        reset: Array,
        key: Array,
    ) -> tuple[WorldCarry, Observed]:
        """Whole sequences obs [T, B, ...], action and reset [T, B], parallel over time."""
        return self._observe(params, carry, self.autoencoder.preprocess(obs), action, reset, key)

    def _observe(
        self,
        params: Params,
        carry: WorldCarry,
        x: Array,
        action: Array,
        reset: Array,
        key: Array,
        drop_key: Array | None = None,
    ) -> tuple[WorldCarry, Observed]:
        posterior = self._posterior(params, x)
        latent = sample(posterior, key)
        reset = self._effective_reset(reset)
        rngs = None if drop_key is None else {"dropout": drop_key}
        core, after = self._run(params, carry.core, latent, action, reset, method="scan", rngs=rngs)
        hidden = jnp.concatenate([carry.hidden[None], after[:-1]])
        hidden = jnp.where(reset[..., None], 0, hidden)
        prior = self._run(params, hidden, method="prior")
        return WorldCarry(core, after[-1]), Observed(latent, hidden, after, prior, posterior)

    @compiled_once("every")
    def remember(
        self,
        params: Params,
        carry: WorldCarry,
        latent: Array,
        action: Array,
        reset: Array,
        every: int = 1,
    ) -> WorldCarry:
        """The carries before steps 0, every, 2 every, ... of a sequence, [T / every, B, ...].

        Imagination may begin at any of them, with latent[t] and reset[t], which `hidden`
        fits already. Nothing is encoded or dropped out, and no gradient flows. Raises InputError
        if `every` does not divide T.
        """
        if every < 1 or latent.shape[0] % every:
            raise InputError(f"every must divide {latent.shape[0]} steps, got {every}")
        inputs = (latent, action, self._effective_reset(reset))
        parts = jax.tree.map(lambda leaf: leaf.reshape(-1, every, *leaf.shape[1:]), inputs)

        def body(carry, part):
            core, after = self._run(params, carry.core, *part, method="scan")
            is_start = part[-1][0, :, None]
            start = carry._replace(hidden=jnp.where(is_start, 0, carry.hidden))
            return WorldCarry(core, after[-1]), start

        return lax.stop_gradient(lax.scan(body, carry, parts)[1])

    @compiled_once()
    def perceive(
        self, params: Params, carry: WorldCarry, obs: PyTree, reset: Array, key: Array
    ) -> Perceived:
        """What to act on: obs [B, ...] arrives, reset bool [B]. The carry does not move."""
        key, guess_key = jax.random.split(key)
        latent = self.encode(params, obs, key)
        reset = self._effective_reset(reset)[:, None]
        hidden = jnp.where(reset, 0, carry.hidden)
        guess = sample(self._run(params, hidden, method="prior"), guess_key)
        return Perceived(latent, jnp.where(reset, latent, guess), hidden)

    @compiled_once()
    def advance(
        self, params: Params, carry: WorldCarry, latent: Array, action: Array, reset: Array
    ) -> WorldCarry:
        """The memory after latent [B, L] and action int32 [B]; one step of the core, O(1).

        reset bool [B]: the latent is the first of an episode, what came before is forgotten.
        """
        reset = self._effective_reset(reset)
        core, hidden = self._run(params, carry.core, latent, action, reset, method="step")
        return WorldCarry(core, hidden)

    @compiled_once()
    def imagine_step(
        self,
        params: Params,
        carry: WorldCarry,
        latent: Array,
        action: Array,
        reset: Array,
        key: Array,
    ) -> tuple[WorldCarry, Imagined]:
        """`advance`, then reward, end and the next latent as the model foresees them."""
        before = carry.hidden
        carry = self.advance(params, carry, latent, action, reset)
        source = before if self.config.reward_before_action else carry.hidden
        reward = two_hot_mean(self._run(params, source, method="reward"), form=self.two_hot)
        termination_logit = self._run(params, source, method="termination_logit")
        following = sample(self._run(params, carry.hidden, method="prior"), key)
        return carry, Imagined(following, carry.hidden, reward, termination_logit)

    def _effective_reset(self, reset: Array) -> Array:
        return jnp.zeros_like(reset) if self.config.cross_episodes else reset

    def _run(self, params: Params, *args: Any, **kwargs: Any) -> Any:
        return self.network.apply(params, *args, **kwargs)


def _autoencoder(obs_space: Any, c: DramaConfig, dtype: str) -> Autoencoder:
    return make_autoencoder(
        obs_space,
        c.encoder,
        channels=tuple(c.channels),
        kernel=c.kernel,
        patch=c.patch,
        widths=tuple(c.widths),
        dtype=dtype,
    )


def _zeros_like_batch(space: Any) -> PyTree:
    """Zeros like a batch of one step of one observation, [1, 1, ...]."""
    like = jax.eval_shape(space.sample, jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.zeros((1, 1, *leaf.shape), leaf.dtype), like)
