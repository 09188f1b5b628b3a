"""One side of a condition is computed, also under vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl.branches import unbatched, where_any


def test_a_shared_condition_stays_one_under_vmap():
    def choose(x):
        return jax.lax.cond(unbatched(x > 0), lambda: x + 1, lambda: x - 1)

    x = jnp.array([1.0, 1.0])
    assert "cond" in str(jax.make_jaxpr(jax.vmap(choose))(x))
    np.testing.assert_array_equal(jax.jit(jax.vmap(choose))(x), [2, 2])


@pytest.mark.parametrize("mask", ["000/000", "010/000", "000/001", "110/011"])
def test_values_are_computed_where_any_member_needs_them(mask):
    masks = np.array([[c == "1" for c in row] for row in mask.split("/")])
    computed = []

    def one(row, x):
        def compute():
            jax.debug.callback(computed.append, x)
            return jnp.where(row, 2 * x, x)

        return where_any(row, compute, x)

    x = jnp.arange(6, dtype=jnp.float32).reshape(2, 3)
    many = jax.jit(jax.vmap(one))(jnp.asarray(masks), x)
    jax.effects_barrier()
    np.testing.assert_array_equal(many, np.where(masks, 2 * x, x))
    assert len(computed) == (2 if masks.any() else 0)


def test_vmaps_within_vmaps_ask_all_members():
    def one(row, x):
        return where_any(row, lambda: jnp.where(row, 0, x), x)

    masks = jnp.zeros((2, 3, 4), bool).at[1, 2, 3].set(True)
    x = jnp.ones((2, 3, 4))
    twice = jax.vmap(jax.vmap(one))
    assert str(jax.make_jaxpr(twice)(masks, x)).count("cond[") == 1
    np.testing.assert_array_equal(twice(masks, x), jnp.where(masks, 0, x))
