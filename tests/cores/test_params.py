"""Parameters as files: the same values, nothing but arrays, no file in part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.cores import params as files
from rlseq.errors import InputError


@pytest.mark.parametrize("name", rlseq.core_names())
def test_what_is_loaded_is_what_was_saved(name, tmp_path):
    forms = jax.eval_shape(rlseq.functional(name, 3, 8).init, jax.random.key(0))
    chance = np.random.default_rng(0)
    params = jax.tree.map(lambda f: jnp.asarray(chance.normal(size=f.shape), f.dtype), forms)
    rlseq.save_params(tmp_path / "p.npz", params)
    loaded = rlseq.load_params(tmp_path / "p.npz")
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    for new, old in zip(jax.tree.leaves(loaded), jax.tree.leaves(params), strict=True):
        assert new.dtype == old.dtype
        np.testing.assert_array_equal(new, old)
    assert [path.name for path in tmp_path.iterdir()] == ["p.npz"]


def test_bfloat16_is_widened(tmp_path):
    rlseq.save_params(tmp_path / "p.npz", {"a": jnp.array([1.5], jnp.bfloat16)})
    loaded = rlseq.load_params(tmp_path / "p.npz")
    assert loaded["a"].dtype == np.float32 and loaded["a"] == 1.5


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("p.json", {}, "ends in .npz"),
        ("p.npz", {"a/b": np.ones(1)}, "without slashes"),
        ("p.npz", {"a": {1: np.ones(1)}}, "without slashes"),
        ("p.npz", {"a": {"b": [1.0]}}, "'a/b' is no array: list"),
    ],
)
def test_what_cannot_be_saved_is_refused(name, params, message, tmp_path):
    with pytest.raises(InputError, match=message):
        rlseq.save_params(tmp_path / name, params)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "p.npz"
    rlseq.save_params(path, {"a": np.ones(1)})

    def full(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(files.np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        rlseq.save_params(path, {"a": np.zeros(1)})
    assert [one.name for one in tmp_path.iterdir()] == ["p.npz"]
    assert rlseq.load_params(path)["a"] == 1


def test_what_is_no_parameter_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no file"):
        rlseq.load_params(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "object.npz", a=np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "single.npy", np.ones(2))
    for name in ("text.npz", "object.npz", "single.npy"):
        with pytest.raises(InputError, match="holds no parameters"):
            rlseq.load_params(tmp_path / name)
