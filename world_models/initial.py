"""Initial scales of what the code released with Drama leaves to PyTorch's and Mamba's defaults.

"released" is as there; "fan_average" as everything else of the world model, and Mamba's layers as
they are in other agents.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
from jax import Array

from rlseq.cores.mamba1 import Mamba1
from rlseq.cores.mamba2 import Mamba2
from rlseq.nn.initialisers import fan_average

INITIAL = ("released", "fan_average")
_THIRD = 1 / 3  # variance of U(-1, 1)
_PROJECTIONS = ("inputs", "select", "output")  # those that a layer has


def dense_kernel(initial: str) -> Callable[..., Array]:
    """Of stem, posterior and prior; "released" is uniform within +-1 / sqrt(inputs), PyTorch's."""
    if initial == "fan_average":
        return fan_average()
    return nn.initializers.variance_scaling(_THIRD, "fan_in", "uniform")


def like_mamba(params: dict[str, Any], layers: Sequence[nn.Module]) -> dict[str, Any]:
    """A core's fresh parameters with the projections of Mamba layers as wide as its reference's.

    Kernels of variance 1 / inputs become those of 1 / (3 inputs), and the output projection's are
    divided by the square root of the number of layers too (Dao and Gu's initialisation of
    pre-norm residuals, which Drama keeps). Layers of other cores stay as they are.
    """
    scaled = dict(params)
    for i, layer in enumerate(layers):
        if not isinstance(layer, Mamba1 | Mamba2):
            continue
        name = f"layers_{i}"
        scaled[name] = dict(params[name])
        for part in set(_PROJECTIONS) & set(params[name]):
            variance = _THIRD / len(layers) if part == "output" else _THIRD
            kernel = math.sqrt(variance) * params[name][part]["dense"]["kernel"]
            scaled[name][part] = {"dense": params[name][part]["dense"] | {"kernel": kernel}}
    return scaled
