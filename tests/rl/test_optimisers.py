"""LaProp against its equations, one parameter at a time."""

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.rl.optimisers import laprop

B1, B2, EPS = 0.9, 0.999, 1e-20


def slow_laprop(p, gradients, lr, warmup, limit, decay):
    n = m = np.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        norm = np.sqrt((g**2).sum())
        g = g * min(1.0, limit / norm) if limit else g
        n = B2 * n + (1 - B2) * g**2
        m = B1 * m + (1 - B1) * g / (np.sqrt(n / (1 - B2**t)) + EPS)
        rate = lr * min(1.0, (t - 1) / warmup) if warmup else lr
        p = p - rate * m / (1 - B1**t) - decay * p
    return p


def check(**settings):
    rng = np.random.default_rng(0)
    start = rng.normal(size=3)
    gradients = rng.normal(size=(8, 3)) * np.array([1, 1e-6, 0])
    optimiser = laprop(0.01, **settings)
    params = {"w": jnp.asarray(start, jnp.float32)}
    state = optimiser.init(params)
    for g in gradients:
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update({"w": jnp.asarray(g, jnp.float32)}, state, params)
        params = {"w": params["w"] + updates["w"]}
    names = [settings.get(k, 0) for k in ("warmup", "max_grad_norm", "weight_decay")]
    np.testing.assert_allclose(
        params["w"], slow_laprop(start, gradients, 0.01, *names), rtol=1e-5, atol=1e-6
    )


def test_laprop():
    check()


def test_warm_up_clipping_and_weight_decay():
    check(warmup=4, max_grad_norm=0.5, weight_decay=0.02)
