"""The twin of para_lstm."""

import numpy as np

from .common import dense, sigmoid
from .para_gru import bounded


def twin(layer, params, carry, x, reset):
    a_f, a_n, a_o, p_f, p_o = bounded(layer, params)
    c, h = np.moveaxis(np.asarray(carry, np.float64), 1, 0)
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        c, h = (np.where(reset_t[:, None], 0, s) for s in (c, h))
        x_f, x_n, x_o = np.split(dense(params["inputs"]["dense"], x_t), 3, axis=-1)
        f = sigmoid(x_f + a_f * h + p_f * c)
        c = f * c + (1 - f) * np.tanh(x_n + a_n * h)
        h = sigmoid(x_o + a_o * h + p_o * c) * np.tanh(c)
        out.append(h)
    return np.stack(out)
