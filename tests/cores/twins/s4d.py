"""The twin of s4d."""

import numpy as np


def twin(layer, params, carry, x, reset):
    """Gu et al. 2206.11893, a channel at a time: its states are a row of [features, N / 2]."""
    p = {k: np.asarray(v, np.float64) for k, v in params.items()}
    re, im = np.moveaxis(np.asarray(carry, np.float64), 1, 0)
    h = (re + 1j * im).reshape(-1, *p["real"].shape)
    out = np.empty(x.shape)
    for t in range(len(x)):
        h[reset[t]] = 0
        for d in range(layer.features):
            pole = -np.exp(p["real"][d]) + 1j * p["imag"][d]
            transition = np.exp(np.exp(p["log_step"][d]) * pole)
            h[:, d] = transition * h[:, d] + (transition - 1) / pole * x[t, :, d, None]
            y = 2 * (h[:, d] @ (p["c"][0, d] + 1j * p["c"][1, d])).real
            out[t, :, d] = y + p["skip"][d] * x[t, :, d]
    return out
