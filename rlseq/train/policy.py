"""Trained policies, to be called from other code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import spaces
from jax import Array
from jax.core import Tracer

from rlseq.agents.acting import rewarded_of
from rlseq.envs.spaces import describe, map_parts
from rlseq.errors import InputError
from rlseq.plugins import allow
from rlseq.train import build, evaluate, models
from rlseq.types import Agent, Carry, Params, PyTree


class Policy:
    """A trained policy of one seed: normalisers and preprocessing are inside, calls are jitted.

    ```python
    carry, action = policy(None, obs)  # a fresh episode
    carry, action = policy(carry, obs)  # and on
    ```
    """

    def __init__(self, agent: Agent, params: Params, obs_space: Any):
        self.agent = agent
        self.params = params
        self.obs_space = obs_space  # of the environment itself, before agents flatten it
        self._act = jax.jit(agent.act, static_argnames="greedy")
        rewarded = rewarded_of(agent)
        self._rewarded = None if rewarded is None else jax.jit(rewarded)
        self._init_carry = jax.jit(agent.init_carry, static_argnums=0)
        self._kinds: dict[int, Any] = {}  # of a carry, by its batch
        self._greedy_key = jax.random.key(0)  # not read

    def init_carry(self, batch: int = 1) -> Carry:
        """The memory of `batch` fresh episodes."""
        return self._init_carry(batch)

    def __call__(
        self,
        carry: Carry | None,
        obs: PyTree,
        reset: Any = False,
        key: Array | None = None,
        reward: Any = None,
    ) -> tuple[Carry, PyTree]:
        """(carry, actions [B]) for obs [B, ...], or (carry of one, action []) for one obs [...].

        Args:
            carry: the one that the last call returned; None begins B fresh episodes.
            obs: as the environment returns it, a JAX or NumPy array or numbers, in pytrees as its
                space has them. float64 becomes float32; integers may be of any size that fits.
            reset: bool [B], or one for all: obs is the first of an episode.
            key: samples from the policy; without it the likeliest actions.
            reward: float32 [B] or one number, of the action before: for agents that condition on
                returns, 0 without it; others do not read it.

        Raises InputError for observations that do not fit the space, a reset, a reward or a carry
        of another batch and a key that is none.
        """
        obs, batch, single = batched(self.obs_space, obs)
        carry = self._carry(carry, batch)
        reset = _per_episode("reset", reset, bool, batch)
        if self._rewarded is not None and reward is not None:
            carry = self._rewarded(carry, _per_episode("reward", reward, jnp.float32, batch))
        greedy = key is None
        key = self._greedy_key if key is None else _key(key)
        carry, action = self._act(self.params, carry, obs, reset, key, greedy=greedy)
        return carry, jax.tree.map(lambda x: x[0], action) if single else action

    def _carry(self, carry: Carry | None, batch: int) -> Carry:
        if carry is None:
            return self.init_carry(batch)
        if batch not in self._kinds:
            self._kinds[batch] = _kinds(jax.eval_shape(lambda: self.agent.init_carry(batch)))
        if _kinds(carry) != self._kinds[batch]:
            raise InputError(
                f"the carry is not one of {batch} episodes, as many as there are observations: "
                f"begin with None or policy.init_carry({batch}) and hand on what each call gives"
            )
        return carry


def load_policy(
    run: str | Path,
    *,
    seed: int = 0,
    checkpoint: int | None = None,
    plugins: Sequence[str] = (),
) -> Policy:
    """The policy of a run folder, or of a model folder (`rlseq export RUN --to FOLDER`).

    Args:
        run: the folder.
        seed: which of the run's seeds, counted from 0; a model has one.
        checkpoint: its step; the newest without it.
        plugins: modules and files that the folder names and that may be imported.

    Raises InputError for a folder that is neither, for a seed or checkpoint it does not have, for
    a plug-in that is not allowed or cannot be imported, and for a model that lacks a file, is
    damaged or whose weights do not fit its configuration; all before anything is compiled.
    """
    for module in plugins:
        allow(module)
    job, params, _ = evaluate.load_params(models.open_trained(run), checkpoint)
    evaluate.check_seed(job, seed)
    obs_space = build.make_env(job.config.env, 1).spec.obs_space
    return Policy(job.agent, jax.tree.map(lambda leaf: leaf[seed], params), obs_space)


def batched(space: spaces.Space, obs: PyTree) -> tuple[PyTree, int, bool]:
    """(observations [B, ...] in the dtypes of a space, B, whether `obs` was one without a batch).

    Raises InputError for what does not fit the space.
    """
    _check_structure(space, obs, "")
    leads: list[tuple[int, ...]] = []

    def taken(part: Any, values: Any) -> Array:
        array = _array(part, values)
        lead = array.ndim - len(part.shape)
        if lead not in (0, 1) or array.shape[lead:] != tuple(part.shape):
            raise _unfit(part, f"got shape {array.shape}")
        leads.append(array.shape[:lead])
        return array

    arrays = map_parts(taken, space, obs)
    if len(set(leads)) > 1:
        raise InputError(f"the parts of the observation have different batches: {leads}")
    single = leads[0] == ()
    arrays = jax.tree.map(lambda x: x[None], arrays) if single else arrays
    return arrays, 1 if single else leads[0][0], single


def _kinds(tree: PyTree) -> tuple[Any, list[tuple]]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(np.shape(x), getattr(x, "dtype", None)) for x in leaves]


def _check_structure(space: spaces.Space, obs: PyTree, name: str) -> None:
    where = f" at {name}" if name else ""
    match space:
        case spaces.Dict():
            if not isinstance(obs, Mapping) or set(obs) != set(space.spaces):
                got = sorted(obs) if isinstance(obs, Mapping) else type(obs).__name__
                raise InputError(f"observations{where} have the keys {[*space.spaces]}, got {got}")
            for key, part in space.spaces.items():
                _check_structure(part, obs[key], f"{name}[{key!r}]")
        case spaces.Tuple():
            if not isinstance(obs, Sequence) or len(obs) != len(space.spaces):
                got = len(obs) if isinstance(obs, Sequence) else type(obs).__name__
                raise InputError(f"observations{where} have {len(space.spaces)} parts, got {got}")
            for index, part in enumerate(space.spaces):
                _check_structure(part, obs[index], f"{name}[{index}]")


def _array(part: Any, obs: Any) -> Array:
    """The values of obs in the dtype of a part; more than rounding is refused."""
    dtype = np.dtype(part.dtype)
    if isinstance(obs, jax.Array) and obs.dtype == dtype:
        return obs
    if isinstance(obs, Tracer):
        if not np.can_cast(obs.dtype, dtype, "same_kind"):
            raise _unfit(part, f"got dtype {obs.dtype}")
        return obs.astype(dtype)
    try:
        values = np.asarray(obs)
        with np.errstate(invalid="ignore", over="ignore"):
            cast = values.astype(dtype)
    except (TypeError, ValueError) as error:
        raise _unfit(part, f"got {obs!r:.80}") from error
    if not _same(values, cast):
        raise _unfit(part, f"got {values.dtype} with values that do not fit")
    return jnp.asarray(cast)


def _same(values: np.ndarray, cast: np.ndarray) -> bool:
    """Whether a cast changed nothing but the last digits of fractions."""
    if cast.dtype.kind == "f" and values.dtype.kind == "f":
        return bool((np.isfinite(values) == np.isfinite(cast)).all())
    return np.array_equal(cast, values)


def _unfit(part: Any, got: str) -> InputError:
    inside = ", ".join(map(str, part.shape))
    return InputError(
        f"the policy takes observations of {describe(part)}, {np.dtype(part.dtype)} "
        f"[B{', ' * bool(inside)}{inside}], or one [{inside}]: {got}"
    )


def _per_episode(name: str, value: Any, dtype: Any, batch: int) -> Array:
    """One value of each of B episodes, given as such or as one for all."""
    if not isinstance(value, jax.Array):
        value = np.asarray(value)
    if value.shape not in ((), (batch,)):
        kind = jnp.dtype(dtype).name
        raise InputError(f"{name} is one {kind} or {kind} [{batch}], got shape {value.shape}")
    return jnp.broadcast_to(jnp.asarray(value, dtype), (batch,))


def _key(key: Any) -> Array:
    """A typed key, of one or of the two numbers of an older one."""
    if isinstance(key, jax.Array):
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and not key.shape:
            return key
        if key.dtype == jnp.uint32 and key.shape == (2,):
            return jax.random.wrap_key_data(key)
    raise InputError(f"key is a jax.random.key, another one in every call; got {key!r:.80}")
