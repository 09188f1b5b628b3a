"""The twin of s5."""

import numpy as np


def twin(layer, params, carry, x, reset):
    """Smith et al. 2208.04933, section 2 and 3.1, a state at a time."""
    p = {k: np.asarray(v, np.float64) for k, v in params.items() if k != "b"}
    real = np.minimum(p["real"], -1e-4) if layer.clip_eigenvalues else p["real"]
    poles, step = real + 1j * p["imag"], np.exp(p["log_step"])
    b = np.asarray(params["b"]["b"], np.float64)
    b, c = b[0] + 1j * b[1], p["c"][0] + 1j * p["c"][1]
    if layer.discretization == "zoh":
        transition, factor = np.exp(poles * step), (np.exp(poles * step) - 1) / poles
    else:
        transition = (1 + poles * step / 2) / (1 - poles * step / 2)
        factor = step / (1 - poles * step / 2)
    re, im = np.moveaxis(np.asarray(carry, np.float64), 1, 0)
    h = re + 1j * im
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        h = transition * np.where(reset_t[:, None], 0, h) + (x_t @ b.T) * factor
        out.append(2 * (h @ c.T).real + p["skip"] * x_t)
    return np.stack(out)
