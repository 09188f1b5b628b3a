"""The twin of rtu."""

import numpy as np


def twin(layer, params, carry, x, reset):
    """Elelimy et al. 2409.01449, section 3: two real states a unit, turned and shrunk."""
    rate = np.exp(np.asarray(params["nu"], np.float64))
    phase = np.exp(np.asarray(params["theta"], np.float64))
    radius = np.exp(-rate)
    cos, sin = radius * np.cos(phase), radius * np.sin(phase)
    first, second = np.split(np.asarray(params["inputs"]["kernel"], np.float64), 2, axis=1)
    gain = np.sqrt(1 - radius**2)
    one, two = np.moveaxis(np.asarray(carry, np.float64), 1, 0)
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        one, two = (np.where(reset_t[:, None], 0, h) for h in (one, two))
        one, two = (
            cos * one - sin * two + gain * (x_t @ first),
            sin * one + cos * two + gain * (x_t @ second),
        )
        y = np.concatenate([one, two], axis=-1)
        out.append({"relu": np.maximum(y, 0), "tanh": np.tanh(y), "none": y}[layer.activation])
    return np.stack(out)
