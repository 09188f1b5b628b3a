"""Cores against independent implementations, given the same weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.cores.s5 import hippo_normal
from rlseq.laws.core_cases import BATCH, FEATURES, WIDTH, case


def run_cell(cell, params, carry, x):
    out = []
    for x_t in x:
        carry, y = cell.apply({"params": params}, carry, x_t)
        out.append(y)
    return jnp.stack(out)


def lstm_weights(p):
    inputs = np.split(np.asarray(p["inputs"]["kernel"]), 4, axis=1)
    recurrent, bias = np.split(p["recurrent"], 4, axis=1), np.split(p["bias"], 4)
    params = {f"i{g}": {"kernel": w} for g, w in zip("ifgo", inputs, strict=True)}
    for gate, w, b in zip("ifgo", recurrent, bias, strict=True):
        params[f"h{gate}"] = {"kernel": w, "bias": b}
    return params


def gru_weights(p):
    inputs, biases = p["inputs"]["kernel"], p["inputs"]["bias"]
    parts = (np.split(np.asarray(a), 3, axis=-1) for a in (inputs, biases, p["recurrent"]))
    params = {}
    for gate, w, b, r in zip("rzn", *parts, strict=True):
        params[f"i{gate}"] = {"kernel": w, "bias": b}
        params[f"h{gate}"] = {"kernel": r}
    params["hn"]["bias"] = np.split(np.asarray(p["bias"]), 3)[2]
    return params


@pytest.mark.parametrize(
    ("name", "cell", "weights"),
    [
        ("lstm", nn.LSTMCell(FEATURES), lstm_weights),
        ("gru", nn.GRUCell(FEATURES), gru_weights),
    ],
)
def test_equals_the_cell_of_flax(name, cell, weights):
    c = case(name, 6, reset_rate=0.0, layers=1)
    layer = c.params["params"]["layers_0"]
    if name == "gru":  # flax has no recurrent bias on the gates, and ours starts at zero
        bias = jax.random.normal(jax.random.key(3), layer["bias"].shape)
        layer["bias"] = bias.at[: 2 * FEATURES].set(0)

    def loss(run):
        return lambda params, x: (run(params, x) ** 2).sum()

    ours = loss(lambda p, x: c.fns.scan({"params": {"layers_0": p}}, c.carry, x, c.reset)[1])
    theirs = loss(lambda p, x: run_cell(cell, p, c.carry[0], x))
    value, (by_p, by_x) = jax.value_and_grad(ours, argnums=(0, 1))(layer, c.x)
    other, (their_p, their_x) = jax.value_and_grad(theirs, argnums=(0, 1))(weights(layer), c.x)
    np.testing.assert_allclose(value, other, rtol=1e-5)
    np.testing.assert_allclose(by_x, their_x, rtol=1e-4, atol=1e-5)
    mine = weights(by_p)
    for gate in their_p:
        for part in their_p[gate]:
            np.testing.assert_allclose(mine[gate][part], their_p[gate][part], rtol=1e-4, atol=1e-5)
    assert c.x.shape == (6, BATCH, WIDTH)


@pytest.mark.parametrize("size", [2, 8, 64])
def test_hippo_normal_is_the_spectrum_of_its_matrix(size):
    n = np.arange(size)
    matrix = np.empty((size, size))  # HiPPO-N of S4D (2206.11893, section 3), entry by entry
    for i in n:
        for j in n:
            half = np.sqrt((2 * i + 1) * (2 * j + 1)) / 2
            matrix[i, j] = -0.5 if i == j else (-half if i > j else half)
    values, vectors = hippo_normal(size)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-8 * size**2)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(size // 2), atol=1e-9)
    assert (values.imag > 0).all()
    np.testing.assert_allclose(values.real, -0.5)
