"""Attention against plain attention, its blocks, and the halting weights of universal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.cores.attention import rotary
from rlseq.cores.universal import halting_weights
from rlseq.errors import InputError
from rlseq.laws.core_cases import LENGTH, assert_close, case


@pytest.mark.parametrize("window", [1, 2, 5, 30])
@pytest.mark.parametrize("length", [5, LENGTH])
def test_every_window_steps_as_it_attends(window, length):
    for name in ("attention", "window"):
        c = case(name, length, window=window, reset_rate=0.1)
        assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))


def test_rotary_products_depend_on_the_distance_alone():
    q, k = jax.random.normal(jax.random.key(0), (2, 1, 1, 8))

    def product(at, other):
        turned = (rotary(leaf, jnp.full((1,), float(p))) for leaf, p in ((q, at), (k, other)))
        return float(jnp.prod(jnp.stack(tuple(turned)), axis=0).sum())

    np.testing.assert_allclose(product(7, 4), product(103, 100), rtol=1e-4)
    assert abs(product(7, 4) - product(7, 6)) > 1e-3


def test_halting_weights_are_a_distribution():
    p = jnp.asarray([[0.5, 0.0], [0.5, 0.0], [0.1, 0.0]])
    np.testing.assert_allclose(halting_weights(p), [[0.5, 0], [0.25, 0], [0.25, 1]])


@pytest.mark.parametrize("inner", ["lstm", "s5", "attention"])
def test_universal_goes_around_any_core(inner):
    c = case("universal", inner=inner, depth=2)
    assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("attention", {"heads": 3}, "features 8 do not divide into 3 heads"),
        ("attention", {"heads": 8}, "of an even size"),
        ("attention", {"window": 0}, "window must be at least 1, got 0"),
        ("window", {"window": 0}, "window must be at least 1, got 0"),
        ("universal", {"inner": "ltsm"}, "Did you mean 'lstm'"),
        ("universal", {"depth": 0}, "depth must be at least 1, got 0"),
    ],
)
def test_bad_options(name, options, match):
    with pytest.raises(InputError, match=match):
        rlseq.make_core(name, 8, **options)
