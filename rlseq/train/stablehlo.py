"""The step of a policy as StableHLO (`jax.export`): JAX alone runs it, without rlseq's code.

The weights are inputs, those of `model.safetensors` by their names, so that the program is small
and serves every model of its shapes. `policy.json` lists what goes in and out.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax import export as jax_export

from rlseq.agents.acting import rewarded_of
from rlseq.envs.spaces import map_parts
from rlseq.errors import InputError, missing_package
from rlseq.train import leaves as leaves_of
from rlseq.train.models import PROGRAM, SIGNATURE
from rlseq.train.policy import Policy
from rlseq.types import PyTree

PLATFORMS = ("cpu", "cuda")
_BATCH = "B"
_GENERATOR = "threefry2x32"
_ABOUT = (
    "step(weights, carry, obs, reset, key, greedy) -> (carry, action), every group of arrays a "
    "dict by name; where a policy reads rewards, the inputs end with reward. To begin, pass zeros "
    "as the carry and reset true: where reset is true the carry is not read."
)


def export(policy: Policy, batch: int | None = None) -> dict[str, bytes | str]:
    """The files `policy.stablehlo` and `policy.json`, for CPUs and CUDA.

    Args:
        policy: whose step it is.
        batch: the number of observations; any number, symbolic in the program, without it.

    Raises InputError without the package flatbuffers, and for a policy whose step cannot be traced
    with a symbolic batch; then a fixed one may do.
    """
    _require()
    size = jax_export.symbolic_shape(_BATCH)[0] if batch is None else batch
    inputs = _inputs(policy, size)
    try:
        exported = jax_export.export(jax.jit(_step(policy)), platforms=PLATFORMS)(*inputs.values())
    except Exception as error:  # JAX has many kinds for what cannot be decided symbolically
        fault = (str(error).strip() or type(error).__name__).split("\n")[0]
        hint = "; a fixed number of observations may do: --batch 1" if batch is None else ""
        raise InputError(f"this policy makes no StableHLO program: {fault}{hint}") from error
    carry, action = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    about = {
        "about": _ABOUT,
        "platforms": list(exported.platforms),
        "batch": _BATCH if batch is None else batch,
        "inputs": {name: _described(tree) for name, tree in inputs.items()},
        "outputs": {"carry": _described(carry), "action": _described(action)},
        "jax": jax.__version__,
        "calling_convention": exported.calling_convention_version,
    }
    text = json.dumps(about, indent=2) + "\n"
    return {PROGRAM: bytes(exported.serialize()), SIGNATURE: text}


def _step(policy: Policy) -> Callable[..., tuple[dict[str, Array], dict[str, Array]]]:
    """`Policy.__call__` on dicts of arrays."""
    agent, rewarded = policy.agent, rewarded_of(policy.agent)
    weights_of = _from_names("", policy.params)
    carry_of = _from_names("carry", jax.eval_shape(lambda: agent.init_carry(1)))
    obs_of = _from_names("obs", _observations(policy, 1))

    def step(
        weights: dict[str, Array],
        carry: dict[str, Array],
        obs: dict[str, Array],
        reset: Array,
        key: Array,
        greedy: Array,
        *reward: Array,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        params, memory, seen = weights_of(weights), carry_of(carry), obs_of(obs)
        if rewarded is not None:
            memory = rewarded(memory, *reward)
        key = jax.random.wrap_key_data(key, impl=_GENERATOR)

        def act(likeliest: bool) -> tuple[PyTree, PyTree]:
            return agent.act(params, memory, seen, reset, key, greedy=likeliest)

        memory, action = jax.lax.cond(greedy, lambda: act(True), lambda: act(False))
        return _named("carry", memory), _named("action", action)

    return step


def _inputs(policy: Policy, batch: Any) -> dict[str, PyTree]:
    """Shapes and dtypes by the names of the arguments."""

    def of_batch(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((batch, *x.shape[1:]), x.dtype), tree)

    carry = of_batch(jax.eval_shape(lambda: policy.agent.init_carry(1)))
    inputs: dict[str, PyTree] = {
        "weights": _named("", jax.tree.map(_shape, policy.params)),
        "carry": _named("carry", carry),
        "obs": _named("obs", of_batch(_observations(policy, 1))),
        "reset": jax.ShapeDtypeStruct((batch,), jnp.bool_),
        "key": jax.ShapeDtypeStruct((2,), jnp.uint32),
        "greedy": jax.ShapeDtypeStruct((), jnp.bool_),
    }
    if rewarded_of(policy.agent) is not None:
        inputs["reward"] = jax.ShapeDtypeStruct((batch,), jnp.float32)
    return inputs


def _observations(policy: Policy, batch: int) -> PyTree:
    return map_parts(
        lambda part: jax.ShapeDtypeStruct((batch, *part.shape), jnp.dtype(part.dtype)),
        policy.obs_space,
    )


def _shape(leaf: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)


def _named(group: str, tree: PyTree) -> dict[str, Any]:
    """Arrays by names as "carry/0/h"; a single array has the name of its group."""
    pairs = leaves_of.flatten(tree).items()
    return {"/".join(part for part in (group, path) if part): leaf for path, leaf in pairs}


def _from_names(group: str, like: PyTree) -> Callable[[dict[str, Array]], PyTree]:
    """What puts the arrays of `_named` into the structure of `like`."""
    names, structure = list(_named(group, like)), jax.tree.structure(like)
    return lambda arrays: jax.tree.unflatten(structure, [arrays[name] for name in names])


def _described(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _described(leaf) for name, leaf in tree.items()}
    shape = [size if isinstance(size, int) else str(size) for size in tree.shape]
    return {"shape": shape, "dtype": jnp.dtype(tree.dtype).name}


def _require() -> None:
    try:
        import flatbuffers  # noqa: F401
    except ImportError as error:
        raise missing_package("a StableHLO program", "flatbuffers", "hub") from error
