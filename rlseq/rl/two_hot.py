"""Two-hot regression: a number as a distribution over bins (DreamerV3, 2301.04104, section 5).

The bins lie at symexp of uniform numbers in [-limit, limit]. Pure functions over leading axes. What
a number is shared by, and what the mean is taken over, is the `form`:

- "symexp": the bins themselves, as in DreamerV3's later versions: the mean of the cross entropy's
  optimum is the mean of the numbers.
- "symlog": their symlogs, and symexp after, as in its first version and in Drama (Wang et al.
  2410.08893): numbers that come rarely and are large nearly vanish, of 0 and 100 with
  probabilities 0.9 and 0.1 remains 0.6.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax

BINS = 255  # DreamerV3 and Drama
LIMIT = 20.0  # both; symexp(20) = 4.9e8
FORMS = ("symexp", "symlog")


def symlog(x: Array) -> Array:
    """sign(x) log(1 + |x|)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Array) -> Array:
    """sign(x) (e^|x| - 1), the inverse of symlog."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def two_hot(x: Array, bins: int = BINS, limit: float = LIMIT, form: str = "symexp") -> Array:
    """x [...] -> weights [..., bins] of the two bins around x, nearer ones weigh more.

    The weights sum to 1 and their mean over the bins is x, cut at +-symexp(limit); of the form
    "symlog" their mean over the bins' symlogs is symlog(x).
    """
    place = (jnp.clip(symlog(x), -limit, limit) + limit) * ((bins - 1) / (2 * limit))
    if form == "symexp":
        below = jnp.clip(jnp.floor(place), 0, bins - 2)
        low, high = (_bin(below + i, bins, limit) for i in (0, 1))
        place = below + jnp.clip((x - low) / (high - low), 0, 1)
    number = lax.broadcasted_iota(place.dtype, (*place.shape, bins), place.ndim)
    return jnp.maximum(1 - jnp.abs(place[..., None] - number), 0)


def two_hot_mean(logits: Array, limit: float = LIMIT, form: str = "symexp") -> Array:
    """logits [..., bins] -> the number they stand for [...]: the mean over the bins.

    Of the form "symlog" it is symexp of the mean over their symlogs.
    """
    bins = logits.shape[-1]
    number = lax.broadcasted_iota(logits.dtype, logits.shape, logits.ndim - 1)
    value = _bin(number, bins, limit) if form == "symexp" else _uniform(number, bins, limit)
    weighed = jax.nn.softmax(logits) * value
    # Each bin with its mirror image first: symmetric logits then give exactly 0.
    mean = 0.5 * (weighed + jnp.flip(weighed, -1)).sum(-1)
    return mean if form == "symexp" else symexp(mean)


def two_hot_loss(logits: Array, x: Array, limit: float = LIMIT, form: str = "symexp") -> Array:
    """Cross entropy [...] between `two_hot(x)` and logits [..., bins]."""
    target = two_hot(x, logits.shape[-1], limit, form)
    return -(target * jax.nn.log_softmax(logits)).sum(-1)


def _uniform(number: Array, bins: int, limit: float) -> Array:
    """The symlogs of bins by their numbers 0 to bins - 1; mirror images are exact."""
    half = (bins - 1) / 2
    return (number - half) * (limit / half)


def _bin(number: Array, bins: int, limit: float) -> Array:
    return symexp(_uniform(number, bins, limit))
