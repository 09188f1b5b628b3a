"""MuJoCo's renderer where OpenGL is and where it is not, and viewers that cannot draw."""

import os
import subprocess
import sys

import pytest

from rlseq.envs import make_env
from rlseq.errors import InputError

MODEL = """<mujoco><worldbody><light pos="0 0 3"/><body><joint type="slide" axis="1 0 0"/>
<geom size=".1"/></body><body mocap="true"><geom size=".2"/></body></worldbody></mujoco>"""
POSES = f"""
import mujoco, numpy as np
from rlseq.envs.jax_families.mujoco_images import Pose, check_opengl, drawn
model = mujoco.MjModel.from_xml_string({MODEL!r})
check_opengl(model)
targets = np.float32([[[0, 0.5, 0]], [[0, 0.5, 0]], [[0, 0.4, 0]]])
a, b, c = drawn(model, Pose(np.float32([[0.0], [0.1], [0.1]]), targets))
assert a.shape == (240, 320, 3) and a.dtype == np.uint8
assert (a != b).any() and (b != c).any()
"""


def run(code, gl):
    words, env = [sys.executable, "-c", code], os.environ | {"MUJOCO_GL": gl}
    return subprocess.run(words, capture_output=True, text=True, env=env)


def test_a_body_and_its_target_are_seen(needs):
    """In a process of its own, since MuJoCo chooses its OpenGL when it is imported."""
    needs("brax")
    done = run(POSES, "egl")
    if "needs OpenGL" in done.stderr or "import mujoco" in done.stderr:
        pytest.skip("EGL is not installed")
    assert done.returncode == 0, done.stderr


def test_without_opengl_the_error_names_it(needs):
    needs("brax")
    done = run(POSES, "off")
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("rlseq.errors.InputError: MuJoCo's renderer needs OpenGL and finds none")
    assert "MUJOCO_GL=egl" in said


def test_a_body_asks_for_opengl_before_it_is_drawn(needs, monkeypatch):
    needs("brax")
    import mujoco

    def fails(*given):
        raise mujoco.FatalError("no OpenGL")

    monkeypatch.setattr(mujoco, "Renderer", fails)
    with pytest.raises(InputError, match="needs OpenGL"):
        make_env("brax:inverted_pendulum").env.check_pictures()


def test_a_viewer_that_shows_an_empty_sheet_is_not_used(needs):
    needs("jumanji")
    with pytest.raises(InputError, match="viewer of MMST-v0 shows an empty sheet"):
        make_env("jumanji:MMST-v0").env.check_pictures()
