"""Random arrays by NumPy: JAX compiles a program for every shape, also to make arrays of these."""

import numpy as np


class Draws:
    """Arrays, one after the other, from one seed."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0, dtype: str = "float32") -> np.ndarray:
        """Of variance scale ** 2; a complex number has half of it in each part."""
        x = self.rng.normal(size=shape)
        if np.issubdtype(dtype, np.complexfloating):
            x = (x + 1j * self.rng.normal(size=shape)) / np.sqrt(2)
        return np.asarray(scale * x, dtype)

    def log_decay(self, *shape: int) -> np.ndarray:
        """The logarithm of a decay between 0 and 1."""
        return np.asarray(-np.logaddexp(0, 2 * self.rng.normal(size=shape)), "float32")

    def happens(self, rate: float, *shape: int) -> np.ndarray:
        """Resets, say: True with that rate."""
        return self.rng.random(shape) < rate
