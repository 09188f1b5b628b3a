"""How an environment is drawn: what is kept of its steps, inside jit, and images of that."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from gymnax.environments import spaces

from rlseq.envs.base import Env
from rlseq.envs.batched import Wrapper
from rlseq.envs.env_wrapper import EnvWrapper
from rlseq.envs.vec import JaxVecEnv
from rlseq.errors import InputError
from rlseq.types import PyTree, TimeStep, VecEnv

PIXELS = 200  # of the longer side of an image, about
# Okabe and Ito's colours, one a channel: distinct with any colour vision.
CHANNELS = np.array(
    [
        (0, 114, 178), (213, 94, 0), (0, 158, 115), (230, 159, 0), (204, 121, 167),
        (86, 180, 233), (240, 228, 66), (150, 150, 150), (255, 255, 255), (120, 60, 0),
    ]
)  # fmt: skip
Keep = Callable[[Any, TimeStep], PyTree]


class Drawing(NamedTuple):
    """The two halves of drawing an environment."""

    keep: Keep  # (state, time step), [E, ...] -> what is drawn, [E, ...], inside jit
    images: Callable[[PyTree], np.ndarray]  # of that, [T, ...] -> uint8 [T, H, W, 3]


def drawing(env: VecEnv, say: Callable[[str], object] = lambda line: None) -> Drawing | None:
    """How an environment is drawn: its observations where they are images, else its own pictures of
    its states or of its observations. None where it has neither, or where something that they
    need is missing on this machine, which `say` is told."""
    if is_image(env.spec.obs_space):
        return Drawing(_seen, lambda obs: frames(np.asarray(obs)))
    found = _own(env)
    try:
        if found is not None:
            found[0].check_pictures()
    except InputError as missing:
        say(f"{env.spec.id} is shown as a strip over time: {missing}")
        return None
    if found is None:
        return None
    one, keep = found
    return Drawing(keep, lambda kept: frames(one.pictures(kept)))


def _own(env: VecEnv) -> tuple[Env, Keep] | None:
    """An environment with pictures inside `env`, and what is kept for them."""
    wrappers, inner = [], env
    while isinstance(inner, Wrapper):
        wrappers, inner = [*wrappers, inner], inner.inner
    if not isinstance(inner, JaxVecEnv):
        return None
    one = inner.env
    # Wrappers may change what is seen, and an environment knows its own observations alone.
    if type(one).pictures is not Env.pictures and type(one).to_draw is Env.to_draw:
        return (one, _seen) if env.spec.obs_space is inner.spec.obs_space else None
    while isinstance(one, EnvWrapper):
        wrappers, one = [*wrappers, one], one.inner
    if type(one).to_draw is Env.to_draw:
        return None

    def keep(state: Any, ts: TimeStep) -> PyTree:
        for wrapper in wrappers:
            state = wrapper.inside(state)
        return jax.vmap(one.to_draw)(state)

    return one, keep


def _seen(state: Any, ts: TimeStep) -> PyTree:
    return ts.obs


def frames(images: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 3], enlarged, of uint8 images or of channels [T, H, W(, C)] in 0 .. 1."""
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8:
        count = images.shape[-1]
        shown = np.clip(images, 0, 1)[..., None] * CHANNELS[np.arange(count) % len(CHANNELS)]
        images = shown.max(axis=-2).astype(np.uint8)
    elif images.shape[-1] != 3:  # grey frames, the newest last
        images = np.repeat(images[..., -1:], 3, axis=-1)
    scale = max(1, PIXELS // max(images.shape[1:3]))
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def is_image(space: Any) -> bool:
    """A Box of two or three axes whose first two are an image's."""
    return isinstance(space, spaces.Box) and len(space.shape) in (2, 3) and min(space.shape[:2]) > 1
