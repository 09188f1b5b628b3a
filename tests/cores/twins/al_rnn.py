"""The twin of al_rnn."""

import numpy as np

from .common import dense


def twin(layer, params, carry, x, reset):
    z = np.asarray(carry, np.float64)
    p = {k: np.asarray(v, np.float64) for k, v in params.items() if k != "inputs"}
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        z = np.where(reset_t[:, None], 0, z)
        bent = z.copy()
        last = layer.features - layer.rectified
        bent[:, last:] = np.maximum(bent[:, last:], 0)
        z = p["diagonal"] * z + bent @ p["recurrent"] + p["bias"] + dense(params["inputs"], x_t)
        out.append(z)
    return np.stack(out)
