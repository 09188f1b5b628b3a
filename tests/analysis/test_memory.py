"""Memory tools where the answer is known: no memory, linear recurrences, a fixed point."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.analysis.memory import collapse, fixed_points, influence
from rlseq.analysis.memory.flat import Layout
from rlseq.cores.s5 import block_spectrum, discretize
from rlseq.errors import InputError
from rlseq.types import CoreFns
from tests import kinds

BARE = {"layers": 1, "mixer": "none", "residual": False}
DECAY = 0.8


def leaky(decay=DECAY) -> CoreFns:
    """h = decay h + x, y = h, on one number."""

    def step(params, carry, x, reset):
        h = decay * jnp.where(reset[:, None], 0.0, carry) + x
        return h, h

    def scan(params, carry, x, reset):
        return jax.lax.scan(lambda h, inputs: step(params, h, *inputs), carry, (x, reset))

    return CoreFns(lambda key: {}, lambda batch: jnp.zeros((batch, 1)), scan, step)


def sequence(length, width=3, at=()):
    x = jax.random.normal(jax.random.key(0), (length, width))
    return x, jnp.zeros(length, bool).at[jnp.array(at, int)].set(True)


def test_influence_of_a_leaky_sum_is_a_power_of_its_decay():
    x, reset = sequence(7, 1, at=[4])
    got = influence.influence(leaky(), {}, x, reset)
    t, s = np.indices((7, 7))
    twin = np.where((t >= s) & ((t < 4) | (s >= 4)), DECAY ** (t - s).clip(0), 0.0)
    np.testing.assert_allclose(got, twin, rtol=1e-6)


def test_a_core_without_memory_has_influence_on_the_diagonal_only():
    fns = rlseq.functional("mlp", 3, 8)
    x, reset = sequence(6)
    got = influence.influence(fns, fns.init(jax.random.key(0)), x, reset)
    assert (np.diag(got) > 0).all()
    np.testing.assert_array_equal(got - np.diag(np.diag(got)), 0)


@pytest.mark.parametrize("name", kinds.cores())
def test_nothing_crosses_a_reset_or_comes_from_the_future(name):
    fns = rlseq.functional(name, 3, 8)
    x, reset = sequence(9, at=[4])
    got = influence.influence(fns, fns.init(jax.random.key(1)), x, reset)
    t, s = np.indices((9, 9))
    np.testing.assert_array_equal(got[(s > t) | ((t >= 4) & (s < 4))], 0)
    assert (np.diag(got) > 0).all()


def test_influence_wants_one_sequence():
    x, reset = sequence(4)
    with pytest.raises(InputError, match="x is"):
        influence.influence(leaky(), {}, x[None], reset)


def test_time_scales_of_a_leaky_sum_are_those_of_its_decay():
    x, reset = sequence(100, 1, at=[50])
    profile = influence.lag_profile(influence.influence(leaky(), {}, x, reset), np.array(reset))
    np.testing.assert_allclose(profile[:50], DECAY ** np.arange(50), rtol=1e-5)
    assert np.isnan(profile[50:]).all()
    np.testing.assert_allclose(influence.effective_memory(profile), DECAY / (1 - DECAY), rtol=1e-2)
    np.testing.assert_allclose(influence.time_scale(profile), -1 / np.log(DECAY), rtol=1e-4)
    assert influence.horizon(profile) == int(np.log(0.05) / np.log(DECAY))  # 1 - d^(k+1) >= 0.95


def test_profiles_without_memory_have_no_time_scale():
    none = np.array([1.0, 0.0, 0.0])
    assert influence.effective_memory(none) == influence.horizon(none) == 0
    assert influence.time_scale(none) == 0
    assert influence.time_scale(np.ones(5)) == np.inf
    with pytest.raises(InputError, match="no influence"):
        influence.effective_memory(np.zeros(3))


def test_the_map_is_drawn(tmp_path):
    x, reset = sequence(8, 1, at=[3])
    got = influence.influence(leaky(), {}, x, reset)
    influence.save(tmp_path / "map.png", got, np.array(reset))
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    influence.draw(np.zeros((3, 3)), np.zeros(3, bool))


def test_state_norms_of_a_sum_grow_and_are_warned_of():
    x = jnp.ones((40, 2, 1))
    np.testing.assert_allclose(collapse.state_norms(leaky(1.0), {}, x), np.arange(1, 41))
    with pytest.warns(collapse.StateCollapse, match="trained length 10"):
        found = collapse.check_collapse(leaky(1.0), {}, x, trained=10)
    assert found.collapsed and found.growth == 4.0
    with pytest.raises(InputError, match="past the trained length"):
        collapse.check_collapse(leaky(), {}, x, trained=40)


@pytest.mark.parametrize("name", ["gru", "mlp", "s5"])
def test_a_bounded_state_is_not_warned_of(name):
    fns = rlseq.functional(name, 3, 8)
    x = jax.random.normal(jax.random.key(0), (600, 4, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = collapse.check_collapse(fns, fns.init(jax.random.key(1)), x, trained=200)
    assert not found.collapsed and (found.norms.max() > 0) == (name != "mlp")


def test_marks_of_an_empty_state_do_not_count():
    def step(params, carry, x, reset):
        return carry, x

    fns = leaky()._replace(step=step, init_carry=lambda batch: jnp.full((batch, 4), -1e30))
    np.testing.assert_array_equal(collapse.state_norms(fns, {}, jnp.ones((3, 2, 1))), 0)


def test_the_fixed_point_of_a_leaky_sum():
    starts = jnp.array([[5.0], [-3.0]])
    found = fixed_points.fixed_points(leaky(), {}, starts, jnp.array([1.0]))
    np.testing.assert_allclose(found.carry, 1 / (1 - DECAY), rtol=1e-5)
    np.testing.assert_allclose(found.eigenvalues, DECAY, rtol=1e-6)
    np.testing.assert_allclose(fixed_points.time_scales(found.eigenvalues), -1 / np.log(DECAY))
    assert fixed_points.time_scales(np.array([1.0, 2.0, 0.0])).tolist() == [np.inf, np.inf, 0]


def test_a_gru_stays_at_its_fixed_points():
    fns = rlseq.functional("gru", 3, 8)
    params = fns.init(jax.random.key(0))
    starts = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(1), (4, *leaf.shape[1:])),
                          fns.init_carry(1))  # fmt: skip
    x = jnp.array([0.3, -0.2, 0.1])
    found = fixed_points.fixed_points(fns, params, starts, x)
    assert (found.q < 1e-10).any()
    fixed = found.q < 1e-10
    after, _ = fns.step(params, found.carry, jnp.tile(x, (4, 1)), jnp.zeros(4, bool))
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(found.carry), strict=True)
    for new, old in pairs:
        np.testing.assert_allclose(new[fixed], old[fixed], atol=2e-5)
    assert found.eigenvalues.shape == (4, 8)


def test_eigenvalues_of_s5_are_its_discretised_spectrum():
    fns = rlseq.functional("s5", 8, 8, **BARE)
    params = fns.init(jax.random.key(0))
    found = fixed_points.fixed_points(fns, params, fns.init_carry(1), jnp.ones(8))
    layer = params["params"]["layers_0"]
    step = np.exp(np.asarray(layer["log_step"], np.float64))
    a, _ = discretize(block_spectrum(8, 1)[0], step, "zoh")
    twin = np.concatenate([a, np.conj(a)])
    order = np.lexsort([np.imag(twin).round(5), np.real(twin).round(5)])
    mine = found.eigenvalues[0]
    got = mine[np.lexsort([np.imag(mine).round(5), np.real(mine).round(5)])]
    np.testing.assert_allclose(got, twin[order], atol=1e-5)
    assert found.q[0] < 1e-8


def test_a_core_without_a_state_has_no_fixed_points():
    fns = rlseq.functional("mlp", 3, 8)
    params = fns.init(jax.random.key(0))
    with pytest.raises(InputError, match="no state"):
        fixed_points.fixed_points(fns, params, fns.init_carry(2), jnp.ones(3))


def test_a_carry_goes_to_a_vector_and_back():
    carry = {
        "c": jnp.array([[1 + 2j, 3 - 1j]], jnp.complex64),
        "n": jnp.array([7]),
        "h": jnp.array([[4.0]]),
    }
    layout = Layout(carry)
    vector = layout.flatten(carry)
    np.testing.assert_array_equal(vector, [1, 3, 2, -1, 4])
    back = layout.restore(2 * vector)
    np.testing.assert_array_equal(back["c"], 2 * carry["c"])
    assert back["n"][0] == 7 and back["h"][0, 0] == 8
