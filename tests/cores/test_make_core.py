"""Names, options and errors of `make_core`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.cores import core_options
from rlseq.errors import InputError
from rlseq.laws.core_cases import assert_close, case


def test_unknown_core_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown core 'ltsm'. Did you mean 'lstm'"):
        rlseq.make_core("ltsm")


def test_unknown_option_names_the_nearest():
    with pytest.raises(InputError, match=r"'state_sise'. Did you mean 'state_size'"):
        rlseq.make_core("s5", state_sise=8)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("gru", {"features": 0}, "features must be at least 1, got 0"),
        ("gru", {"layers": 0}, "layers must be at least 1, got 0"),
        ("gru", {"features": 8.0}, "features must be a whole number, got 8.0"),
        ("s5", {"clip_eigenvalues": 1}, "clip_eigenvalues must be true or false, got 1"),
        ("s5", {"features": 7}, "state_size 7 does not divide into 1 blocks"),
        ("s5", {"features": 8, "blocks": 3}, "state_size 8 does not divide into 3 blocks"),
        ("s5", {"discretization": "zho"}, "Did you mean 'zoh'"),
        ("s5", {"step_min": 0.2}, "step_min <= step_max"),
        ("lstm", {"norm": "layer"}, "unknown norm 'layer'"),
        ("lstm", {"mixer": "ful_glu"}, "Did you mean 'full_glu'"),
        ("s5", {"method": "asociative"}, "Did you mean 'associative'"),
    ],
)
def test_bad_options(name, options, match):
    with pytest.raises(InputError, match=match):
        rlseq.make_core(name, **options)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": jnp.zeros((4, 5))}, r"x must be \[T, B, D\], got shape \(4, 5\)"),
        ({"x": jnp.zeros((4, 3, 5), int)}, "x must be float32, got int32"),
        ({"reset": jnp.zeros((4, 3))}, r"reset must be bool \(4, 3\), got float32"),
        ({"reset": jnp.zeros((4, 2), bool)}, r"reset must be bool \(4, 3\), got bool \(4, 2\)"),
    ],
)
def test_bad_arrays(change, match):
    core = rlseq.make_core("gru", 8)
    args = {"carry": core.init_carry(3), "x": jnp.zeros((4, 3, 5))}
    args |= {"reset": jnp.zeros((4, 3), bool)} | change
    with pytest.raises(ValueError, match=match):
        core.init(jax.random.key(0), *args.values())


@pytest.mark.parametrize("other", [("gru", 2), ("lstm", 3)])
def test_the_carry_of_another_core_or_batch(other):
    name, batch = other
    carry = rlseq.make_core(name, 8).init_carry(batch)
    core = rlseq.make_core("gru", 8)
    with pytest.raises(ValueError, match="the carry must be"):
        core.init(jax.random.key(0), carry, jnp.zeros((4, 3, 5)), jnp.zeros((4, 3), bool))


@pytest.mark.parametrize("name", rlseq.core_names())
def test_options_are_listed_with_types_and_defaults(name):
    options = core_options(name)
    assert options["features"] == (int, 128)
    assert {"layers", "norm", "mixer", "residual", "dtype"} <= set(options)
    defaults = {key: default for key, (_, default) in options.items()}
    assert rlseq.make_core(name) == rlseq.make_core(name, **defaults)


# No code sees both a norm and a mixer: usually each once, all pairs in slow tests.
BLOCKS = [
    pytest.param(norm, mixer, marks=() if norm == "pre" or mixer == "gelu" else pytest.mark.slow)
    for norm in ("none", "pre", "post")
    for mixer in ("none", "gelu", "half_glu1", "half_glu2", "full_glu")
]


@pytest.mark.parametrize(("norm", "mixer"), BLOCKS)
def test_every_block_keeps_the_laws(norm, mixer):
    c = case("gru", norm=norm, mixer=mixer, residual=True)
    carry, y = c.fns.scan(c.params, *c[2:])
    assert_close((carry, y), c.fns.fold(*c[1:]))
    if norm == "post":
        np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_every_form_of_s5_steps_as_it_scans(rule, blocks):
    c = case("s5", discretization=rule, blocks=blocks, state_size=16)
    assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))


def test_the_rules_of_discretisation_agree_for_small_steps():
    small = {"step_min": 1e-4, "step_max": 1e-4, "layers": 1, "reset_rate": 0.0}
    zoh = case("s5", 20, discretization="zoh", **small)
    bilinear = case("s5", 20, discretization="bilinear", **small)
    y, other = (c.fns.scan(zoh.params, zoh.carry, zoh.x, zoh.reset)[1] for c in (zoh, bilinear))
    np.testing.assert_allclose(y, other, rtol=1e-4, atol=1e-5)


def test_clipped_eigenvalues_never_grow():
    c = case("s5", 2)
    params = jax.tree.map(lambda leaf: leaf, c.params)
    params["params"]["layers_0"]["real"] = jnp.full(4, 3.0)
    x, reset = jnp.zeros((4096, 3, 5)), jnp.zeros((4096, 3), bool)
    assert np.isfinite(np.asarray(c.fns.scan(params, c.carry, x, reset)[1])).all()
