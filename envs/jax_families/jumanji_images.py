"""Images of Jumanji's environments by its own viewers, which draw by matplotlib on the host."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.envs.gymnax_adapter import default_rules
from rlseq.types import PyTree

DPI = 40  # of viewers whose sheets have 10 inches, mostly
BLANK = ("MMST-v0",)  # its viewer shows an empty sheet: matplotlib does not count what it adds


def drawn(package: Any, states: PyTree) -> np.ndarray:
    """uint8 [T, H, W, 3] of the package's states [T, ...]."""
    times = range(len(jax.tree.leaves(states)[0]))
    with _off_screen() as plt:
        return np.stack([_image(plt, package, states, t) for t in times])


def _image(plt: Any, package: Any, states: PyTree, time: int) -> np.ndarray:
    # Arrays of JAX: some viewers write into them by `.at`.
    package.render(jax.tree.map(lambda x: jnp.asarray(x[time]), states))
    canvas = plt.gcf().canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


@contextlib.contextmanager
def _off_screen() -> Iterator[Any]:
    """pyplot, where the viewers open their windows, without windows."""
    plt = importlib.import_module("matplotlib.pyplot")
    backend, others = plt.get_backend(), plt.get_fignums()
    plt.switch_backend("agg")
    sheets = plt.rc_context({"figure.dpi": DPI})
    try:
        with plt.ioff(), sheets, default_rules(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each says that it opens no window
            yield plt
    finally:
        for number in set(plt.get_fignums()) - set(others):
            plt.close(number)
        plt.switch_backend(backend)
