"""The twin of mamba1: N numbers of every channel, a step at a time."""

import numpy as np

from .common import dense, sigmoid
from .mamba2 import convolve


def twin(layer, params, carry, x, reset):
    window, state = carry
    u, z = np.split(dense(params["inputs"]["dense"], x), 2, axis=-1)
    u = convolve(params["window"], window, u, reset)
    selected = dense(params["select"]["dense"], u)
    n = layer.state
    raw, b, c = selected[..., : -2 * n], selected[..., -2 * n : -n], selected[..., -n:]
    raw = dense(params["steps"]["dense"], raw)
    step = np.log1p(np.exp(raw + np.asarray(params["step_bias"], np.float64)))
    a = -np.exp(np.asarray(params["rates"], np.float64))
    h, out = np.asarray(state, np.float64), []
    for t in range(len(x)):
        h = np.where(reset[t][:, None, None], 0, h) * np.exp(step[t][:, None] * a)
        h = h + b[t][:, :, None] * (step[t] * u[t])[:, None]
        out.append((c[t][:, :, None] * h).sum(1))
    y = np.stack(out) + np.asarray(params["skip"], np.float64) * u
    return dense(params["output"]["dense"], y * z * sigmoid(z))
