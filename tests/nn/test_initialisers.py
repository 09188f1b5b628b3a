"""Orthogonal initialisation, alone and under vmap, and sparse initialisation."""

import jax
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from rlseq.nn.initialisers import orthogonal, sparse


@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12)])
def test_rows_or_columns_are_orthogonal(shape):
    w = np.asarray(orthogonal(2.0)(jax.random.key(0), shape))
    assert w.shape == shape
    gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 4 * np.eye(min(shape)), atol=1e-5)


@pytest.mark.parametrize(("rows", "zeros"), [(20, 18), (3, 2), (1, 0)])
def test_sparse_columns_have_their_share_of_zeros(rows, zeros):
    w = np.asarray(sparse(0.9)(jax.random.key(0), (rows, 200)))
    assert ((w == 0).sum(0) == zeros).all()
    left = w[w != 0] * np.sqrt(rows)
    assert np.abs(left).max() <= 1
    spread = 4.5 / np.sqrt(3 * left.size)  # a uniform number's deviation is 1 / sqrt(3)
    assert abs(left.mean()) < spread and abs(left.std() - 3**-0.5) < spread
    places = (w != 0).sum(1)
    assert rows == 1 or (np.abs(places / 200 - (rows - zeros) / rows) < 0.2).all()


def test_under_vmap_matrices_are_factored_one_at_a_time():
    """XLA's batched QR hung for ever on two CPU threads with matrices of 128 x 128."""
    keys = jax.random.split(jax.random.key(0), 3)
    draw = jax.vmap(lambda key: orthogonal()(key, (6, 6)))
    batched = [v.aval.shape for eqn in _qr_calls(jax.make_jaxpr(draw)(keys).jaxpr) for v in eqn]
    assert batched
    assert all(shape == (6, 6) for shape in batched)
    one_by_one = np.stack([orthogonal()(key, (6, 6)) for key in keys])
    np.testing.assert_allclose(draw(keys), one_by_one, rtol=1e-6, atol=1e-6)


def _qr_calls(jaxpr):
    """The inputs of every factorisation in a program."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("geqrf", "geqrf_p", "qr"):
            yield eqn.invars
        for sub in jaxprs_in_params(eqn.params):
            yield from _qr_calls(sub)
