"""The twin of m2rnn: the matrix of every head, a step at a time."""

import numpy as np

from .common import dense, sigmoid
from .mamba2 import convolve


def twin(layer, params, carry, x, reset):
    window, state = carry
    p = {name: np.asarray(params[name], np.float64) for name in ("weight", "rate", "step_bias")}
    inner, key = layer.expand * layer.features, layer.key
    projected = dense(params["inputs"]["dense"], x)
    z, mixed, step = np.split(projected, [inner, 2 * inner + 2 * key], axis=-1)
    mixed = convolve(params["window"], window, mixed, reset)
    q, k, v = np.split(mixed, [key, 2 * key], axis=-1)
    keep = np.exp(-np.exp(p["rate"]) * np.log1p(np.exp(step + p["step_bias"])))
    state, y = np.array(state, np.float64), np.empty_like(v)
    heads, width = state.shape[1], state.shape[3]
    for t in range(len(x)):
        for row in range(x.shape[1]):
            if reset[t, row]:
                state[row] = 0
            for head in range(heads):
                at = slice(head * width, (head + 1) * width)
                h, f = state[row, head], keep[t, row, head]
                new = np.tanh(h @ p["weight"][head] + np.outer(k[t, row], v[t, row, at]))
                state[row, head] = f * h + (1 - f) * new
                y[t, row, at] = state[row, head].T @ q[t, row]
    y = (y + v * np.asarray(params["skip"], np.float64)) * z * sigmoid(z)
    y = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5)
    return dense(params["output"]["dense"], y * np.asarray(params["norm"]["scale"], np.float64))
