"""Rings in checkpoints: every row comes back, none is written twice, kills leave them whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.train import checkpoint
from rlseq.types import Ring
from tests.train.fake_job import assert_same_states

SEEDS, ENVS, LENGTH = 2, 3, 8


class Twin:
    """A state with a ring that NumPy fills, ragged as games are."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.rng = rng
        self.obs = np.zeros((SEEDS, ENVS, LENGTH, 2), np.uint8)
        self.reward = np.zeros((SEEDS, ENVS, LENGTH), np.float32)
        self.written = np.zeros((SEEDS, ENVS), np.int32)

    def play(self, steps):
        for _ in range(steps):
            for at in np.ndindex(SEEDS, ENVS):
                if self.rng.random() < 0.8:
                    place = (*at, self.written[at] % LENGTH)
                    self.obs[place] = self.rng.integers(0, 255, 2)
                    self.reward[place] = self.rng.normal()
                    self.written[at] += 1
        return self.state()

    def state(self):
        rows = {"obs": jnp.asarray(self.obs.copy()), "reward": jnp.asarray(self.reward.copy())}
        ring = Ring(rows, jnp.asarray(self.written.copy()))
        return {"ring": ring, "w": jnp.float32(self.written.sum()), "key": jax.random.key(3)}


def like():
    return jax.eval_shape(lambda: Twin().state())


def files(folder):
    return sorted(path.name for path in (folder / "rows").iterdir())


def rows_in(folder, name):
    with np.load(folder / "rows" / name) as stored:
        return len(stored["0/obs"])


def test_every_checkpoint_that_is_kept_comes_back_whole(tmp_path):
    twin, saved = Twin(), {}
    for step in range(1, 9):
        saved[step] = twin.play(2)
        checkpoint.save(tmp_path, step, saved[step], keep=3, score=-float(step))  # 1 is the best
        for kept in checkpoint.steps(tmp_path):
            assert_same_states(saved[kept], checkpoint.restore(tmp_path, like(), kept)[1])
    assert checkpoint.steps(tmp_path) == [1, 6, 7, 8]
    assert (twin.written > LENGTH).all()
    # Two steps a save: nothing older than what the kept ones hold is on the disk.
    assert len(files(tmp_path)) < 9 and not list(tmp_path.glob("rows/.*"))


def test_a_save_writes_only_what_is_new(tmp_path):
    twin = Twin()
    for step, steps in ((1, 4), (2, 1), (3, 0)):
        before = twin.written.sum()
        checkpoint.save(tmp_path, step, twin.play(steps))
        assert rows_in(tmp_path, files(tmp_path)[-1]) == twin.written.sum() - before
    checkpoint.save(tmp_path, 4, twin.play(50))
    assert rows_in(tmp_path, files(tmp_path)[-1]) == SEEDS * ENVS * LENGTH


@pytest.mark.parametrize("damage", ["rows", "gone"])
def test_damaged_rows_are_passed_over_and_not_built_on(tmp_path, damage, caplog):
    twin = Twin()
    first = twin.play(3)
    checkpoint.save(tmp_path, 1, first)
    checkpoint.save(tmp_path, 2, twin.play(1))
    newest = tmp_path / "rows" / files(tmp_path)[-1]
    if damage == "gone":
        newest.unlink()
    else:
        data = bytearray(newest.read_bytes())
        data[len(data) // 3] ^= 255
        newest.write_bytes(bytes(data))
    step, state = checkpoint.restore(tmp_path, like())
    assert step == 1 and "skipped" in caplog.text
    assert_same_states(first, state)
    third = twin.play(1)
    checkpoint.save(tmp_path, 3, third)
    assert_same_states(third, checkpoint.restore(tmp_path, like(), 3)[1])


def test_a_step_saved_again_after_going_back_replaces_it(tmp_path):
    twin = Twin()
    checkpoint.save(tmp_path, 1, twin.play(2))
    checkpoint.save(tmp_path, 2, twin.play(2))
    other = Twin()
    other.rng = np.random.default_rng(5)
    checkpoint.save(tmp_path, 1, other.play(3))
    again = other.play(2)
    checkpoint.save(tmp_path, 2, again)
    assert_same_states(again, checkpoint.restore(tmp_path, like(), 2)[1])


def test_a_ring_of_another_size_is_another_configuration(tmp_path):
    checkpoint.save(tmp_path, 1, Twin().play(1))
    fewer = like()
    fewer["ring"] = fewer["ring"]._replace(written=jax.ShapeDtypeStruct((SEEDS, 2), jnp.int32))
    with pytest.raises(ValueError, match=r"ring/written is \[2, 3\] int32 there"):
        checkpoint.restore(tmp_path, fewer)
