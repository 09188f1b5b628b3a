"""What the cores whose input chooses their step sizes share: initial values, checks, the norm."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rlseq.errors import InputError

SHORTEST = 1e-4  # floor of the initial step size, as in Mamba


def step_bias(key: Array, shape: tuple[int, ...], dtype: str, low: float, high: float) -> Array:
    """The bias whose softplus is log-uniform in [low, high]: softplus^-1(s) = s + log(1 - e^-s)."""
    log = jax.random.uniform(key, shape, jnp.dtype(dtype), math.log(low), math.log(high))
    size = jnp.maximum(jnp.exp(log), SHORTEST)
    return size + jnp.log(-jnp.expm1(-size))


def log_decay_rate(key: Array, shape: tuple[int, ...], dtype: str) -> Array:
    """log(-A) for -A uniform in [1, 16] (Mamba-2)."""
    return jnp.log(jax.random.uniform(key, shape, jnp.dtype(dtype), 1.0, 16.0))


def step_size(raw: Array, bias: Array) -> Array:
    """softplus(raw + bias), above 0: raw [..., H], bias [H] -> [..., H]."""
    return jax.nn.softplus(raw + jnp.broadcast_to(bias, raw.shape))


def rms_norm(dtype: str) -> nn.RMSNorm:
    """The norm of Mamba-2 and its kin: a scale without a bias, sums in float32 or better."""
    return nn.RMSNorm(
        epsilon=1e-5,
        dtype=dtype,
        param_dtype=dtype,
        force_float32_reductions=dtype != "float64",
    )


def check_head_width(core: str, width: int, option: int, head: int) -> None:
    """InputError unless a width divides into heads of `head`; `option` is its value, 0 for auto."""
    if width % head:
        raise InputError(f"{core}: a width of {width} does not divide into heads of {option}")


def check_step_range(core: str, low: float, high: float) -> None:
    """InputError unless step_min <= step_max."""
    if low > high:
        raise InputError(f"{core}: step_min <= step_max, got {low}, {high}")
