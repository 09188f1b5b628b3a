"""The twin of lru."""

import numpy as np


def twin(layer, params, carry, x, reset):
    """Orvieto et al. 2303.06349, section 3, a state at a time."""
    p = {k: np.asarray(v, np.float64) for k, v in params.items()}
    transition = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    b, c = (p[k][0] + 1j * p[k][1] for k in "bc")
    re, im = np.moveaxis(np.asarray(carry, np.float64), 1, 0)
    h = re + 1j * im
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        h = transition * np.where(reset_t[:, None], 0, h) + np.exp(p["scale"]) * (x_t @ b.T)
        out.append((h @ c.T).real + p["skip"] * x_t)
    return np.stack(out)
