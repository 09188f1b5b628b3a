"""What the twins share: dense layers, activations and the stack around a layer, in float64."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def dense(p, x):
    bias = np.asarray(p["bias"], np.float64) if "bias" in p else 0.0
    return x @ np.asarray(p["kernel"], np.float64) + bias


def layer_norm(p, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    return scaled * np.asarray(p["scale"], np.float64) + np.asarray(p["bias"], np.float64)


def stack(layer):
    """A twin of the stack around layer(core, params, carry, x, reset)."""

    def run(core, params, carry, x, reset):
        x = x.astype(np.float64)
        if "project" in params:
            x = dense(params["project"], x)
        for i in range(len(core.layers)):
            inside = layer_norm(params[f"norms_{i}"], x) if core.norm == "pre" else x
            y = layer(core.layers[i], params[f"layers_{i}"], carry[i], inside, reset)
            if core.mixer in ("full_glu", "glu"):
                active = gelu(y) if core.mixer == "full_glu" else y
                value, gate = np.split(dense(params[f"gates_{i}"], active), 2, axis=-1)
                y = value * sigmoid(gate)
            x = x + y if core.residual else y
        return x

    return run
