"""The twin of universal."""

import importlib

from rlseq import registry

from .common import dense, sigmoid


def twin(layer, params, carry, x, reset):
    run = importlib.import_module(f".{layer.inner}", __package__).twin
    inner = registry.load("core", layer.inner)(features=layer.features)
    y, left = 0.0, 1.0
    for n, one in enumerate(carry):
        x = run(inner, params["layer"], one, x, reset)
        p = sigmoid(dense(params["halt"], x)) if n < len(carry) - 1 else 1.0
        y = y + left * p * x
        left = left * (1 - p)
    return y
