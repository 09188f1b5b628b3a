"""The twin of mlstm: the matrices of all heads without a running maximum, a step at a time."""

import numpy as np

from .common import dense, sigmoid
from .mamba2 import convolve


def blocks(weight, x):
    parts = x.reshape(*x.shape[:-1], *weight.shape[:2])
    return np.einsum("...ni,nij->...nj", parts, weight).reshape(x.shape)


def twin(layer, params, carry, x, reset):
    p = {
        key: np.asarray(params[key], np.float64)
        for key in params
        if not hasattr(params[key], "keys")
    }
    window, (m, sums) = carry
    value, z = np.split(dense(params["inputs"]["dense"], x), 2, axis=-1)
    key = convolve(params["window"], window, value, reset)
    q, k, v = (blocks(w, i) for w, i in zip(p["maps"], (key, key, value), strict=True))
    gates = np.concatenate([q, k, v], -1) @ p["gates"]
    write, forget = np.split(gates + np.concatenate([p["write_bias"], p["forget_bias"]]), 2, -1)
    heads = write.shape[-1]
    q, k, v = (a.reshape(*a.shape[:2], heads, -1) for a in (q, k, v))
    k = k / np.sqrt(k.shape[-1])
    unscaled = np.asarray(sums, np.float64) * np.exp(np.asarray(m, np.float64))[..., None, None]
    c, n, out = unscaled[..., :-1], unscaled[..., -1], []
    for t in range(len(x)):
        f, i = sigmoid(forget[t])[..., None], np.exp(write[t])[..., None]
        n = f * np.where(reset[t][:, None, None], 0, n) + i * k[t]
        c = f[..., None] * np.where(reset[t][:, None, None, None], 0, c)
        c = c + i[..., None] * k[t][..., None] * v[t][:, :, None]
        below = np.maximum(np.abs((n * q[t]).sum(-1)), 1)[..., None]
        h = (c * q[t][..., None]).sum(2) / below
        h = h - h.mean(-1, keepdims=True)
        out.append((h / np.sqrt((h**2).mean(-1, keepdims=True) + 1e-5)).reshape(len(h), -1))
    mixed = np.stack(out) * p["scale"] + p["skip"] * key
    return dense(params["output"]["dense"], mixed * z * sigmoid(z))
