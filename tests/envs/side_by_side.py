"""Several players in one rollout: each has copies of its own, and one program serves all."""

import jax
import jax.numpy as jnp
import numpy as np


def together(*players):
    """(policy, number of copies, the slice of each player) of (policy, number of copies) each."""
    ends = np.cumsum([copies for _, copies in players])
    who = np.repeat(np.arange(len(players)), [copies for _, copies in players])

    def policy(key, state, ts):
        keys = jax.random.split(key, len(players))
        actions = [play(k, state, ts) for (play, _), k in zip(players, keys, strict=True)]
        stacked = jnp.stack(actions)
        return stacked[who, np.arange(len(who))]

    starts = [0, *ends[:-1]]
    return policy, int(ends[-1]), [slice(a, b) for a, b in zip(starts, ends, strict=True)]
