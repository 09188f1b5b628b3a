"""Forms that options give to lstm, gru, slstm, leaky_rnn, rtu, al_rnn, s4d and gated_deltanet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.cores.al_rnn import symbolic_code
from rlseq.cores.s4d import initial_spectrum
from rlseq.errors import InputError
from rlseq.laws.core_cases import FEATURES, assert_close, case

from .twins import twin_of


def dense_matrix(blocks):
    """[heads, d, gates, d] as the [n, gates n] matrix with zeros between the heads."""
    heads, size, gates, _ = blocks.shape
    full = np.zeros((heads, size, gates, heads, size), blocks.dtype)
    for head in range(heads):
        full[head, :, :, head] = blocks[head]
    return full.reshape(heads * size, -1)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_heads_are_a_block_diagonal_matrix(name):
    blocks, dense = (case(name, 7, layers=1, heads=heads) for heads in (4, 1))
    layer = dict(blocks.params["params"]["layers_0"])
    full = {**layer, "recurrent": jnp.asarray(dense_matrix(np.asarray(layer["recurrent"])))}

    def run(c, params):
        return c.fns.scan({"params": {"layers_0": params}}, blocks.carry, blocks.x, blocks.reset)

    assert_close(run(blocks, layer), run(dense, full))
    assert_close(run(blocks, layer), blocks.fns.fold(*blocks[1:]))
    ours, theirs = (
        jax.grad(lambda p, c=c: (run(c, p)[1] ** 2).sum())(p)
        for c, p in ((blocks, layer), (dense, full))
    )
    there = dense_matrix(np.ones_like(layer["recurrent"])) > 0
    np.testing.assert_allclose(
        dense_matrix(np.asarray(ours.pop("recurrent"))),
        np.where(there, theirs.pop("recurrent"), 0),
        rtol=1e-4,
        atol=1e-5,
    )
    assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_heads_of_slstm_step_as_they_scan():
    c = case("slstm", 7, layers=1, heads=2)
    assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))
    assert rlseq.make_core("slstm", 32).layers[0]._heads() == 4
    assert rlseq.make_core("slstm", 30).layers[0]._heads() == 2


def test_a_beta_of_two_reflects_and_steps_as_it_scans():
    c = case("gated_deltanet", 40, layers=1, head=4, allow_neg_eigval=True, reset_rate=0.05)
    assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_heads_that_do_not_divide(name):
    with pytest.raises(InputError, match="features 8 do not divide into 3 heads"):
        rlseq.make_core(name, 8, heads=3)
    with pytest.raises(InputError, match="heads must be at least 1, got 0"):
        rlseq.make_core(name, 8, heads=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [("leaky_rnn", {"diagonal": True}), ("rtu", {"activation": "tanh"}),
     ("rtu", {"activation": "none"})],
)  # fmt: skip
def test_options_of_units_that_see_themselves_alone(name, options):
    c = case(name, 40, layers=2, **options)
    core = rlseq.make_core(name, FEATURES, layers=2, **options)
    carry, y = c.fns.scan(c.params, *c[2:])
    twin = twin_of(name)(core, c.params["params"], c.carry, np.asarray(c.x), np.asarray(c.reset))
    np.testing.assert_allclose(y, twin, rtol=1e-4, atol=1e-5)
    assert_close((carry, y), c.fns.fold(*c[1:]))


def test_the_symbols_of_al_rnn_name_its_linear_regions():
    z = jnp.asarray([[9.0, -1.0, -1.0], [-9.0, 1.0, -1.0], [0.0, -1.0, 1.0], [0.0, 2.0, 3.0]])
    np.testing.assert_array_equal(symbolic_code(z, 2), [0, 1, 2, 3])
    with pytest.raises(InputError, match=r"rectified must lie in \[0, 8\], got 9"):
        rlseq.make_core("al_rnn", FEATURES, rectified=9)


@pytest.mark.parametrize("spectrum", ["lin", "inv", "legs"])
def test_every_spectrum_of_s4d_is_stable_and_steps_as_it_scans(spectrum):
    values = initial_spectrum(spectrum, 8)
    assert values.shape == (4,)
    np.testing.assert_allclose(values.real, -0.5)
    c = case("s4d", 40, spectrum=spectrum, state_size=8)  # longer than a chunk
    assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("lru", {"radius_min": 1.0}, "radius_min < radius_max"),
        ("lru", {"phase_max": 0.0}, "phase_max"),
        ("rtu", {"radius_min": 1.0}, "rtu: 0 <= radius_min < radius_max"),
        ("rtu", {"features": 7}, "rtu: features must be even, got 7"),
        ("rtu", {"activation": "rely"}, "Did you mean 'relu'"),
        ("s4d", {"state_size": 3}, "state_size must be even, got 3"),
        ("s4d", {"spectrum": "lim"}, "Did you mean 'lin'"),
        ("min_gru", {"method": "asociative"}, "Did you mean 'associative'"),
        ("q_lstm", {"conv": 0}, "conv must be at least 1, got 0"),
        ("slstm", {"heads": 3}, "features 8 do not divide into 3 heads"),
        ("slstm", {"forget_slope": 0.0}, "forget_slope must be above 0, got 0.0"),
        ("gated_deltanet", {"head": 3}, "a width of 8 does not divide into heads of 3"),
        ("gated_deltanet", {"expand": 0}, "expand must be at least 1, got 0"),
        ("gated_deltanet", {"method": "chunk"}, "Did you mean 'chunked'"),
    ],
)
def test_bad_options(name, options, match):
    with pytest.raises(InputError, match=match):
        rlseq.make_core(name, **({"features": 8} | options))
