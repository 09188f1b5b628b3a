"""Where in the replay to train and to imagine from: uniformly, or by how often it was done before.

Dynamic frequency-based sampling (Drama, Wang et al. 2410.08893): v counts how often an entry began
a sequence of the world model, b how often one of imagination, on the scale of v. The model draws
by softmax(-v / temperature). The policy draws by softmax((v - b - max(0, v - b)) / temperature),
which is min(0, v - b): what the model knows at least as well as the policy is drawn evenly.
"""

import jax
import jax.numpy as jnp
from jax import Array

from rlseq.rl.selection import largest

TEMPERATURE = 10.0  # Drama's code, both draws
SAMPLING = ("dfs", "uniform")
_NEVER = -1e30  # below every score with its noise, and no infinity


def model_scores(model_draws: Array) -> Array:
    """Logits of the model's draw for counts int32 [...]."""
    return -model_draws.astype(jnp.float32) / TEMPERATURE


def policy_scores(model_draws: Array, policy_draws: Array, ratio: float) -> Array:
    """Logits of the policy's draw; `ratio` is its number of starts for one of the model's."""
    ahead = model_draws.astype(jnp.float32) - policy_draws.astype(jnp.float32) / ratio
    return jnp.minimum(0, ahead) / TEMPERATURE


def draw(key: Array, scores: Array, allowed: Array, count: int) -> Array:
    """int32 [count] distinct places of scores [N], by softmax over the allowed ones, one by one.

    Gumbel noise makes the largest scores such a draw without replacement, with no softmax that
    could underflow. Where fewer than `count` are allowed, the likeliest one fills up.
    """
    noisy = jnp.where(allowed, scores + jax.random.gumbel(key, scores.shape, scores.dtype), _NEVER)
    places = largest(noisy, count)
    return jnp.where(allowed[places], places, jnp.argmax(noisy).astype(jnp.int32))
