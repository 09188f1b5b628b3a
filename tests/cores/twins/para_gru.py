"""The twin of para_gru."""

import numpy as np

from .common import dense, sigmoid


def bounded(layer, params):
    """The recurrent weights, squashed into the bound."""
    return layer.bound * np.tanh(np.asarray(params["recurrent"], np.float64) / layer.bound)


def twin(layer, params, carry, x, reset):
    a_z, a_r, a_n = bounded(layer, params)
    h, out = np.asarray(carry, np.float64)[:, 0], []
    for x_t, reset_t in zip(x, reset, strict=True):
        h = np.where(reset_t[:, None], 0, h)
        x_z, x_r, x_n = np.split(dense(params["inputs"]["dense"], x_t), 3, axis=-1)
        z, r = sigmoid(x_z + a_z * h), sigmoid(x_r + a_r * h)
        h = (1 - z) * h + z * np.tanh(x_n + a_n * (r * h))
        out.append(h)
    return np.stack(out)
