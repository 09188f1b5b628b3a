"""The twin of slstm: cells without a running maximum, a step at a time."""

import numpy as np

from .common import dense, sigmoid
from .mamba2 import convolve


def twin(layer, params, carry, x, reset):
    names = ("maps", "recurrent", "bias", "scale")
    maps, recurrent, bias, scale = (np.asarray(params[name], np.float64) for name in names)
    window, state = carry
    x = dense(params["project"], x) if "project" in params else x
    mixed = convolve(params["window"], window, x, reset)
    heads, size = maps.shape[1:3]
    c, n, m, h = (np.array(s, np.float64).reshape(-1, heads, size) for s in state)
    c, n, out = c * np.exp(m), n * np.exp(m), []  # no longer relative to e^m
    bias = bias.reshape(4, heads, size)
    recurrent = recurrent.reshape(heads, size, 4, size)
    for t in range(len(x)):
        for s in (c, n, h):
            s[reset[t]] = 0
        a = []
        for g, source in enumerate((mixed[t], mixed[t], x[t], x[t])):
            source = source.reshape(-1, heads, size)
            from_x = np.einsum("bhi,hij->bhj", source, maps[g])
            a.append(from_x + np.einsum("bhi,hij->bhj", h, recurrent[:, :, g]) + bias[g])
        i, f = np.exp(a[0]), sigmoid(a[1])
        c, n = f * c + i * np.tanh(a[2]), f * n + i
        h = sigmoid(a[3]) * c / n
        centred = h - h.mean(-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        out.append(normed.reshape(len(h), -1) * scale)
    return np.stack(out)
