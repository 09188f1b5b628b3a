"""Slow NumPy twins in float64: loops over time written from the equations, core by core."""

import numpy as np


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _dense(p, x):
    bias = np.asarray(p["bias"], np.float64) if "bias" in p else 0.0
    return x @ np.asarray(p["kernel"], np.float64) + bias


def _stack(layer):
    """A twin of the stack around layer(core, params, carry, x, reset)."""

    def run(core, params, carry, x, reset):
        x = x.astype(np.float64)
        if "project" in params:
            x = _dense(params["project"], x)
        for i in range(len(core.layers)):
            y = layer(core.layers[i], params[f"layers_{i}"], carry[i], x, reset)
            if core.mixer == "full_glu":
                value, gate = np.split(_dense(params[f"gates_{i}"], _gelu(y)), 2, axis=-1)
                y = value * _sigmoid(gate)
            x = x + y if core.residual else y
        return x

    return run


def mlp(layer, params, carry, x, reset):
    return np.maximum(_dense(params["dense"], x), 0)


def lstm(layer, params, carry, x, reset):
    c, h = (np.asarray(leaf, np.float64) for leaf in carry)
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        c, h = (np.where(reset_t[:, None], 0, s) for s in (c, h))
        total = _dense(params["inputs"], x_t) + h @ np.asarray(params["recurrent"], np.float64)
        i, f, z, o = np.split(total + np.asarray(params["bias"], np.float64), 4, axis=-1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(z)
        h = _sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def gru(layer, params, carry, x, reset):
    h = np.asarray(carry, np.float64)
    out = []
    for x_t, reset_t in zip(x, reset, strict=True):
        h = np.where(reset_t[:, None], 0, h)
        x_r, x_z, x_n = np.split(_dense(params["inputs"], x_t), 3, axis=-1)
        product = h @ np.asarray(params["recurrent"], np.float64) + np.asarray(params["bias"])
        p_r, p_z, p_n = np.split(product, 3, axis=-1)
        z = _sigmoid(x_z + p_z)
        h = z * h + (1 - z) * np.tanh(x_n + _sigmoid(x_r + p_r) * p_n)
        out.append(h)
    return np.stack(out)


def s5(layer, params, carry, x, reset):
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


TWINS = {"gru": _stack(gru), "lstm": _stack(lstm), "mlp": _stack(mlp), "s5": _stack(s5)}
