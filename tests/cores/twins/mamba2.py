"""The twin of mamba2: the state of every head, a step at a time."""

import numpy as np

from .common import dense, sigmoid


def convolve(p, window, x, reset):
    """silu of the causal convolution, with the inputs of this episode only."""
    weight, bias = (np.asarray(p[name], np.float64) for name in ("weight", "bias"))
    past, out = np.asarray(window, np.float64), []
    for x_t, reset_t in zip(x, reset, strict=True):
        past = np.where(reset_t[:, None, None], 0, past)
        past = np.concatenate([past, x_t[:, None]], axis=1)
        y = (past * weight[::-1]).sum(1) + bias
        out.append(y * sigmoid(y))
        past = past[:, 1:]
    return np.stack(out)


def twin(layer, params, carry, x, reset):
    window, state = carry
    inner = layer.expand * layer.features
    projected = dense(params["inputs"]["dense"], x)
    z, mixed, step = np.split(projected, [inner, 2 * (inner + layer.state)], axis=-1)
    mixed = convolve(params["window"], window, mixed, reset)
    v, k, q = np.split(mixed, [inner, inner + layer.state], axis=-1)
    step = np.log1p(np.exp(step + np.asarray(params["step_bias"], np.float64)))
    decay = np.exp(-step * np.exp(np.asarray(params["rate"], np.float64)))
    s, out = np.asarray(state, np.float64), []
    v = v.reshape(*v.shape[:2], s.shape[1], s.shape[3])
    for t in range(len(x)):
        s = np.where(reset[t][:, None, None, None], 0, s) * decay[t][..., None, None]
        s = s + k[t][:, None, :, None] * (step[t][..., None] * v[t])[:, :, None]
        y = (s * q[t][:, None, :, None]).sum(2) + np.asarray(params["skip"]) * v[t]
        out.append(y.reshape(len(y), inner))
    y = np.stack(out) * z * sigmoid(z)
    y = y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-5)
    return dense(params["output"]["dense"], y * np.asarray(params["norm"]["scale"], np.float64))
