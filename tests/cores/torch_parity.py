"""A layer of ours and a module of torch, given the same weights: outputs and gradients."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlseq

WIDTH, LENGTH, BATCH = 16, 64, 2  # two chunks of the scans


def imported(*names):
    """Modules of the extra `parity`, or a skipped test; their own warnings are no errors here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        modules = [pytest.importorskip(name) for name in names]
    modules[0].set_num_threads(1)  # names[0] is torch
    return modules


def compare(torch, name, theirs, rename, **options):
    """Both over a sequence without resets, from a fresh carry.

    Args:
        theirs: a torch module, x [B, T, D] -> y or (y, ...).
        rename: our layer's parameters -> {name of theirs: array}, all of them, linearly: gradients
            go the same way.
        options: of our layer.
    """
    around = {"layers": 1, "norm": "none", "mixer": "none", "residual": False}
    fns = rlseq.functional(name, WIDTH, WIDTH, **around, **options)
    start = fns.init(jax.random.key(0))["params"]["layers_0"]
    leaves, tree = jax.tree.flatten(start)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = (0.3 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True))
    params = jax.tree.unflatten(tree, [p + n for p, n in zip(leaves, noise, strict=True)])
    x, mix = jax.random.normal(jax.random.key(2), (2, LENGTH, BATCH, WIDTH))

    def ours(params, x):
        reset = jnp.zeros((LENGTH, BATCH), bool)
        y = fns.scan({"params": {"layers_0": params}}, fns.init_carry(BATCH), x, reset)[1]
        return (y * mix).sum(), y

    (by_params, by_x), y = jax.jit(jax.grad(ours, (0, 1), has_aux=True))(params, x)
    their_y, their_params, their_x = _run(torch, theirs, rename(params), x, mix)
    np.testing.assert_allclose(y, their_y, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(by_x, their_x, rtol=1e-3, atol=2e-4)
    by_params = rename(by_params)
    assert by_params.keys() == their_params.keys()
    for key, gradient in their_params.items():
        np.testing.assert_allclose(by_params[key], gradient, rtol=1e-3, atol=5e-4, err_msg=key)


def _run(torch, module, weights, x, mix):
    """y [T, B, D] of a torch module, its gradients by parameter name and by x."""
    weights = {key: torch.tensor(np.asarray(value)) for key, value in weights.items()}
    module.load_state_dict(weights, strict=True)
    x, mix = (torch.tensor(np.moveaxis(np.asarray(a), 0, 1)) for a in (x, mix))
    y = module(x.requires_grad_())
    y = y[0] if isinstance(y, tuple) else y
    (y * mix).sum().backward()
    gradients = {key: p.grad.numpy() for key, p in module.named_parameters()}
    return np.moveaxis(y.detach().numpy(), 1, 0), gradients, np.moveaxis(x.grad.numpy(), 1, 0)


def transposed(weight):
    """A flax kernel [in, out] as torch's weight [out, in]; also of blocks [..., in, out]."""
    return np.swapaxes(np.asarray(weight), -1, -2)


def conv_weight(weight):
    """Our window's weight [K, C], newest step first, as that of torch's depthwise Conv1d."""
    return np.ascontiguousarray(np.asarray(weight)[::-1].T[:, None])
