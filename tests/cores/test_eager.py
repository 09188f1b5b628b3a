"""Functional cores outside jit: one program for each shape."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from tests.compilations import again
from tests.kinds import cores

T, B, D = 5, 2, 3


@pytest.mark.parametrize("name", cores(["gru", "s5"]))
def test_eager_calls_compile_once(name):
    fns = rlseq.functional(name, D, 8)
    params, carry = fns.init(jax.random.key(0)), fns.init_carry(B)
    x, reset = jnp.ones((T, B, D)), jnp.zeros((T, B), bool)
    assert not again(lambda: fns.init(jax.random.key(0)))
    assert not again(lambda: fns.init_carry(B))
    assert not again(lambda: fns.scan(params, carry, x, reset))
    assert not again(lambda: fns.step(params, carry, x[0], reset[0]))
    jitted = jax.jit(fns.scan)(params, carry, x, reset)
    jax.tree.map(np.testing.assert_array_equal, fns.scan(params, carry, x, reset), jitted)


def test_inside_jit_a_core_is_inlined():
    fns = rlseq.functional("gru", D, 8)
    arguments = fns.init(jax.random.key(0)), fns.init_carry(B), jnp.ones((B, D)), jnp.zeros(B, bool)
    text = str(jax.make_jaxpr(fns.step)(*arguments))
    assert text == str(jax.make_jaxpr(fns.step.__wrapped__)(*arguments))
    assert "name=step" not in text
