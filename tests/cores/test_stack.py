"""Gates and mixers around layers, and stacks of several kinds of layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq
from rlseq.errors import InputError
from rlseq.laws.core_cases import assert_close, case

from .twins.common import dense, sigmoid

MIXED = ["min_gru", "lstm", "s5"]


def weights(params, *path):
    for part in path:
        params = params[part]
    return np.asarray(params["kernel"], np.float64)


def test_the_gate_of_gtrxl_from_its_equations():
    c = case("gru", 6, layers=1, residual=True, gate="gtrxl")
    params = c.params["params"]
    _, y = c.fns.scan(c.params, *c[2:])
    x = dense(params["project"], np.asarray(c.x))
    alone = rlseq.make_core("gru", 8)
    layer = {"params": {"layers_0": params["layers_0"]}}
    _, inner = alone.apply(layer, c.carry, jnp.asarray(x, "float32"), c.reset)
    gate = params["residual_gates_0"]
    y_r, y_z, y_n = np.split(np.asarray(inner) @ weights(gate, "of_y"), 3, axis=-1)
    x_r, x_z = np.split(x @ weights(gate, "of_x"), 2, axis=-1)
    z = sigmoid(y_z + x_z - np.asarray(gate["b"]))
    n = np.tanh(y_n + (sigmoid(y_r + x_r) * x) @ weights(gate, "of_kept"))
    np.testing.assert_allclose(y, (1 - z) * x + z * n, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gate["b"], 2)


@pytest.mark.parametrize("mixer", ["glu", "mlp"])
@pytest.mark.parametrize("gate", ["none", "gtrxl"])
def test_blocks_step_as_they_scan(mixer, gate):
    c = case("gru", norm="pre", mixer=mixer, gate=gate, residual=True)
    assert_close(c.fns.scan(c.params, *c[2:]), c.fns.fold(*c[1:]))


def test_a_mixed_stack_steps_as_it_scans_and_stops_at_resets():
    core = rlseq.make_core("stack", 8, layers=MIXED, mixer="glu", gate="gtrxl")
    assert [type(layer).__name__ for layer in core.layers] == ["MinGRU", "LSTM", "S5"]
    x = jax.random.normal(jax.random.key(1), (9, 3, 5))
    reset = jnp.zeros((9, 3), bool).at[4].set(True)
    params = jax.jit(core.init)(jax.random.key(0), core.init_carry(3), x, reset)
    run = jax.jit(core.apply)
    whole = run(params, core.init_carry(3), x, reset)

    def step(carry, inputs):
        return core.apply(params, carry, *inputs, method="step")

    assert_close(whole, jax.lax.scan(step, core.init_carry(3), (x, reset)))
    fresh = run(params, core.init_carry(3), x[4:], jnp.zeros((5, 3), bool))
    assert_close((whole[0], whole[1][4:]), fresh)
    broken = run(params, core.init_carry(3), x.at[2].set(jnp.nan), reset)
    assert_close(broken[1][4:], fresh[1])


def test_the_layers_of_a_mixed_stack_share_width_and_dtype():
    core = rlseq.make_core("stack", 6, layers=("gru", "s5"), dtype="float32")
    assert {layer.features for layer in core.layers} == {6}
    assert core.norm == "pre" and core.residual


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("stack", {"layers": ["gru", "ltsm"]}, "unknown core 'ltsm'. Did you mean 'lstm'"),
        ("stack", {"layers": []}, "layers must be names of cores, got \\[\\]"),
        ("stack", {"layers": 2}, "layers must be names of cores, got 2"),
        ("stack", {"layers": ["stack"]}, "unknown core 'stack'"),
        ("stack", {"state_size": 2}, "option of core 'stack': 'state_size'"),
        ("stak", {}, "unknown core 'stak'. Did you mean 'stack'"),
        ("gru", {"gate": "gtrlx", "residual": True}, "Did you mean 'gtrxl'"),
        ("gru", {"gate": "gtrxl"}, "set residual"),
    ],
)
def test_bad_options(name, options, match):
    with pytest.raises(InputError, match=match):
        rlseq.make_core(name, 8, **options)
