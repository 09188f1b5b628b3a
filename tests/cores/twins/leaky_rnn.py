"""The twin of leaky_rnn."""

import numpy as np

from .common import dense


def twin(layer, params, carry, x, reset):
    h = np.asarray(carry, np.float64)
    tau = np.maximum(np.asarray(params["tau"], np.float64), 1)
    weight = np.zeros((layer.features, layer.features))
    if not layer.diagonal:
        weight += np.asarray(params["recurrent"], np.float64)
    np.fill_diagonal(weight, 0)
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        h = np.where(reset_t[:, None], 0, h)
        total = h @ weight + dense(params["inputs"], x_t) + np.asarray(params["bias"])
        h = (1 - 1 / tau) * h + total / tau
        h = np.where(h > 0, h, 0.01 * h)
        out.append(h)
    return np.stack(out)
