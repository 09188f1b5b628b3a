"""The twin of q_lstm."""

import numpy as np

from .common import dense, gelu, sigmoid


def twin(layer, params, carry, x, reset):
    window, h = (np.asarray(leaf, np.float64) for leaf in carry)
    weight, bias = (np.asarray(params["window"][k], np.float64) for k in ("weight", "bias"))
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        window = np.where(reset_t[:, None, None], 0, window)
        u, side = np.split(dense(params["inputs"]["dense"], x_t), 2, axis=-1)
        inputs = np.concatenate([window, u[:, None]], axis=1)
        window = inputs[:, 1:]
        u = (inputs * weight[::-1]).sum(1) + bias
        i, f, o = np.split(dense(params["gates"]["dense"], u), 3, axis=-1)
        h = sigmoid(f) * np.where(reset_t[:, None], 0, h) + sigmoid(i) * u
        out.append(dense(params["output"]["dense"], sigmoid(o) * h * gelu(side)))
    return np.stack(out)
