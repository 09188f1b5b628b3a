"""Checkpoints keep every bit, survive kills and damage, and refuse another configuration."""

import os
import random
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.errors import InputError
from rlseq.train import checkpoint, export


def make_state(seed: int = 0, features: int = 3):
    keys = jax.random.split(jax.random.key(seed), 2)
    return {
        "keys": keys,
        "rbg": jax.random.key(seed, impl="rbg"),
        "w": jax.random.normal(keys[0], (features, 2)),
        "half": jnp.arange(4, dtype=jnp.bfloat16),
        "complex": jnp.array([1 + 2j, jnp.nan], jnp.complex64),
        "flags": jnp.array([True, False]),
        "empty": jnp.zeros((0, 3)),
        "count": (jnp.int32(seed), jnp.float32(-0.0), jnp.uint8(255)),
    }


def assert_same(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def like(state):
    return jax.eval_shape(lambda: state)


def test_every_bit_comes_back(tmp_path):
    state = make_state()
    checkpoint.save(tmp_path, 7, state)
    step, restored = checkpoint.restore(tmp_path, like(state))
    assert step == 7
    assert_same(state, restored)


def test_newest_and_best_stay(tmp_path):
    state = make_state()
    for step, score in ((1, 0.1), (2, 0.9), (3, None), (4, float("nan")), (5, 0.2)):
        checkpoint.save(tmp_path, step, state, keep=2, score=score)
    assert checkpoint.steps(tmp_path) == [2, 4, 5]
    assert checkpoint.best(tmp_path) == 2
    assert not list(tmp_path.glob(".*"))


def test_saving_a_step_again_replaces_it(tmp_path):
    checkpoint.save(tmp_path, 1, make_state(0))
    checkpoint.save(tmp_path, 1, make_state(1))
    assert_same(checkpoint.restore(tmp_path, like(make_state()))[1], make_state(1))


@pytest.mark.parametrize("damage", ["flip", "truncate", "index", "arrays", "missing"])
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, damage, caplog):
    state = {"w": jnp.arange(40_000, dtype=jnp.float32)}
    checkpoint.save(tmp_path, 1, state)
    checkpoint.save(tmp_path, 2, state)
    newest = tmp_path / f"{2:012d}"
    files = [p for p in newest.glob("arrays/**/*") if p.is_file()]
    largest = max(files, key=lambda p: p.stat().st_size)
    if damage == "flip":
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 255
        largest.write_bytes(bytes(data))
    elif damage == "truncate":
        largest.write_bytes(largest.read_bytes()[:100])
    elif damage == "index":
        (newest / "index.json").write_text('{"step": 2, "lea')
    elif damage == "arrays":
        for file in files:
            file.unlink()
    else:
        (newest / "index.json").unlink()
    step, restored = checkpoint.restore(tmp_path, like(state))
    assert step == 1
    assert_same(restored, state)
    assert "skipped" in caplog.text


def test_another_configuration_is_named(tmp_path):
    checkpoint.save(tmp_path, 1, make_state(features=3))
    with pytest.raises(InputError, match=r"w is \[3, 2\] float32 there and \[5, 2\] float32 here"):
        checkpoint.restore(tmp_path, like(make_state(features=5)))
    fewer = make_state()
    del fewer["flags"]
    with pytest.raises(InputError, match=r"flags is .* there and absent here"):
        checkpoint.restore(tmp_path, like(fewer))


def test_missing_checkpoints_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no readable checkpoint"):
        checkpoint.restore(tmp_path, like(make_state()))
    checkpoint.save(tmp_path, 3, make_state())
    with pytest.raises(InputError, match=r"no checkpoint of step 4.*Known: 3"):
        checkpoint.restore(tmp_path, like(make_state()), step=4)


def test_export_reads_without_us(tmp_path):
    state = make_state()
    del state["keys"], state["rbg"]
    export.write_arrays(tmp_path / "w.npz", state, {"env": "x"})
    with np.load(tmp_path / "w.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["w"], state["w"])
        assert arrays["count/2"] == 255 and arrays["half"].dtype == np.float32
    assert '"env": "x"' in (tmp_path / "w.json").read_text()
    with pytest.raises(InputError, match="not overwritten"):
        export.write_arrays(tmp_path / "w.npz", state, {})


_SAVER = """
import sys
from pathlib import Path
import jax.numpy as jnp
from rlseq.train import checkpoint

folder, step = Path(sys.argv[1]), int(sys.argv[2])
while True:
    checkpoint.save(folder, step, {"step": jnp.int32(step), "w": jnp.full(20_000, step)}, keep=2)
    print(step, flush=True)
    step += 1
"""


def test_kill_at_any_moment_leaves_a_checkpoint(tmp_path):
    """Ten kills at random moments of a process that saves all the time."""
    chance, done = random.Random(0), 0
    state = {"step": jnp.int32(0), "w": jnp.full(20_000, 0)}
    script = tmp_path / "saver.py"
    script.write_text(_SAVER)
    folder = tmp_path / "checkpoints"
    for _ in range(10):
        command = [sys.executable, str(script), str(folder), str(done + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            done = int(process.stdout.readline())
            time.sleep(chance.uniform(0, 0.1))
            os.kill(process.pid, signal.SIGKILL)
            said = process.stdout.read().split()
        done = int(said[-1]) if said else done
        step, restored = checkpoint.restore(folder, like(state))
        assert step in (done, done + 1) and restored["step"] == step
        assert (np.asarray(restored["w"]) == step).all()
        done = step
