"""The twin of gated_deltanet: the state of every head as a product with a matrix, step by step."""

import numpy as np

from .common import dense, sigmoid
from .mamba2 import convolve


def twin(layer, params, carry, x, reset):
    window, state = carry
    state, y = np.array(state, np.float64), []
    heads, n, wide = state.shape[1], layer.features, layer.expand * layer.features
    cuts = np.cumsum([2 * n + wide, wide, heads])
    mixed, z, b, step = np.split(dense(params["inputs"]["dense"], x), cuts, axis=-1)
    no_bias = {"weight": params["window"]["weight"], "bias": np.zeros(2 * n + wide)}
    mixed = convolve(no_bias, window, mixed, reset)
    q, k, v = (a.reshape(*a.shape[:2], heads, -1) for a in np.split(mixed, [n, 2 * n], axis=-1))
    q, k = (a / np.sqrt((a**2).sum(-1, keepdims=True) + 1e-6) for a in (q, k))
    rate, bias = (np.asarray(params[name], np.float64) for name in ("rate", "step_bias"))
    a = np.exp(-np.exp(rate) * np.log1p(np.exp(step + bias)))
    b = sigmoid(b) * (2 if layer.allow_neg_eigval else 1)
    for t in range(len(x)):
        state[reset[t]] = 0
        outer = k[t][..., None] * k[t][:, :, None]
        turn = np.eye(k.shape[-1]) - b[t][..., None, None] * outer
        write = b[t][..., None, None] * k[t][..., None] * v[t][:, :, None]
        state = a[t][..., None, None] * turn @ state + write
        y.append((state * q[t][..., None]).sum(2) / np.sqrt(k.shape[-1]))
    y = np.stack(y)
    y = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5)
    y = (y * np.asarray(params["norm"]["scale"], np.float64)).reshape(z.shape)
    return dense(params["output"]["dense"], y * z * sigmoid(z))
