"""The twin of gru."""

import numpy as np

from .common import dense, sigmoid


def twin(layer, params, carry, x, reset):
    h = np.asarray(carry, np.float64)
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        h = np.where(reset_t[:, None], 0, h)
        x_r, x_z, x_n = np.split(dense(params["inputs"], x_t), 3, axis=-1)
        product = h @ np.asarray(params["recurrent"], np.float64) + np.asarray(params["bias"])
        p_r, p_z, p_n = np.split(product, 3, axis=-1)
        z = sigmoid(x_z + p_z)
        h = z * h + (1 - z) * np.tanh(x_n + sigmoid(x_r + p_r) * p_n)
        out.append(h)
    return np.stack(out)
