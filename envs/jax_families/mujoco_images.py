"""Images of MuJoCo's bodies by its own renderer, which needs OpenGL."""

import importlib
import warnings
from typing import Any, NamedTuple

import jax
import numpy as np

from rlseq.errors import InputError

HEIGHT, WIDTH = 240, 320  # as brax has them


class Pose(NamedTuple):
    """What moves in an image."""

    joints: jax.Array  # float32 [Q]
    targets: jax.Array  # float32 [M, 3], where bodies are that have no joints


def check_opengl(model: Any) -> None:
    """Raise InputError where the renderer of a model (mujoco.MjModel) finds no OpenGL."""
    mujoco = importlib.import_module("mujoco")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GLFW warns before MuJoCo raises
            mujoco.Renderer(model, 8, 8).close()
    except Exception as error:  # each way to OpenGL raises something else
        raise InputError(
            "MuJoCo's renderer needs OpenGL and finds none: on a machine without a screen, install "
            "EGL (libegl1) and set the environment variable MUJOCO_GL=egl"
        ) from error


def drawn(model: Any, poses: Pose) -> np.ndarray:
    """uint8 [T, H, W, 3] of poses [T, ...], by the model's first camera, which follows a body that
    walks away; where a model has none, by MuJoCo's free one."""
    mujoco = importlib.import_module("mujoco")
    data = mujoco.MjData(model)
    camera = 0 if model.ncam else -1
    images = []
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        for joints, targets in zip(*map(np.asarray, poses), strict=True):
            data.qpos[:], data.mocap_pos[:] = joints, targets
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, camera)
            images.append(renderer.render())
    return np.stack(images)
