"""Eligibility traces and ObGD against loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlseq.rl.obgd import accumulate, bounded_rate, step
from tests.draws import Draws


@pytest.mark.parametrize(("lr", "kappa"), [(1.0, 2.0), (1e-3, 2.0), (0.5, 0.0)])
def test_steps_along_the_traces_are_those_of_algorithm_3(lr, kappa):
    steps, envs, decay = 9, 2, 0.7
    draws = Draws(0)
    start = {"a": draws.normal(3, 2), "b": draws.normal(4)}
    gradients = {"a": draws.normal(steps, envs, 3, 2), "b": draws.normal(steps, envs, 4)}
    deltas = draws.normal(steps, envs, scale=2.0)

    def body(state, inputs):
        params, trace = state
        gradient, delta = inputs
        trace = accumulate(trace, gradient, decay)
        rate = bounded_rate(trace, delta, lr=lr, kappa=kappa)
        return (step(params, trace, rate * delta), trace), rate

    nothing = jax.tree.map(lambda p: jnp.zeros((envs, *p.shape)), start)
    (params, trace), rates = jax.lax.scan(body, (start, nothing), (gradients, deltas))

    w = {key: value.astype(float) for key, value in start.items()}
    z = {key: np.zeros((envs, *value.shape)) for key, value in start.items()}
    for t in range(steps):
        move = {key: np.zeros_like(value) for key, value in w.items()}
        for env in range(envs):
            size = 0.0
            for key in z:
                z[key][env] = decay * z[key][env] + gradients[key][t, env]
                size += np.abs(z[key][env]).sum()
            bound = kappa * max(abs(deltas[t, env]), 1) * size
            alpha = min(lr, 1 / bound) if bound else lr
            np.testing.assert_allclose(rates[t, env], alpha, rtol=1e-5)
            for key in z:
                move[key] += alpha * deltas[t, env] * z[key][env] / envs
        w = {key: w[key] + move[key] for key in w}
    for key in w:
        np.testing.assert_allclose(params[key], w[key], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(trace[key], z[key], rtol=1e-4, atol=1e-5)
