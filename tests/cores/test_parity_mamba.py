"""The Mamba cores against mamba2-jax and mamba3-jax, given the same weights, without resets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import rlseq

WIDTH, STATE, HEAD, LENGTH, BATCH = 16, 8, 4, 45, 2
pytestmark = pytest.mark.usefixtures("loose_promotion")


@jax.jit
def randomised(params):
    """Other numbers than the initial ones and zeros, so that every parameter counts."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noise = (0.3 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True))
    return jax.tree.unflatten(tree, [p + n for p, n in zip(leaves, noise, strict=True)])


def compare(name, theirs, rename, **options):
    """Values, of steps too, and gradients of both: a fresh carry, over the chunks' borders.

    `rename` maps our layer's parameters to theirs, path -> array, linearly: gradients go the same
    way, but for parameters that are scaled.
    """
    fns = rlseq.functional(name, WIDTH, WIDTH, layers=1, norm="none", residual=False, **options)
    params = randomised(fns.init(jax.random.key(0))["params"]["layers_0"])
    x = jax.random.normal(jax.random.key(2), (LENGTH, BATCH, WIDTH))
    mix = jax.random.normal(jax.random.key(3), (LENGTH, BATCH, WIDTH))
    graph, state = nnx.split(theirs)
    like = nnx.to_pure_dict(state)

    def ours(params, x):
        carry, reset = fns.init_carry(BATCH), jnp.zeros((LENGTH, BATCH), bool)
        y = fns.scan({"params": {"layers_0": params}}, carry, x, reset)[1]
        return (y * mix).sum(), y

    def other(weights, x):
        y = nnx.merge(graph, weights)(jnp.moveaxis(x, 1, 0))[0]
        return (jnp.moveaxis(y, 0, 1) * mix).sum(), jnp.moveaxis(y, 0, 1)

    def steps(params, x):
        def body(carry, x_t):
            return fns.step({"params": {"layers_0": params}}, carry, x_t, jnp.zeros(BATCH, bool))

        return jax.lax.scan(body, fns.init_carry(BATCH), x)[1]

    weights = rename(params)
    assert jax.tree.map(jnp.shape, weights) == jax.tree.map(jnp.shape, like)
    nnx.replace_by_pure_dict(state, weights)
    (by_params, by_x), y = jax.jit(jax.grad(ours, (0, 1), has_aux=True))(params, x)
    (their_params, their_x), their_y = jax.jit(jax.grad(other, (0, 1), has_aux=True))(state, x)
    np.testing.assert_allclose(y, their_y, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(jax.jit(steps)(params, x), their_y, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(by_x, their_x, rtol=1e-3, atol=2e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=5e-4),
        rename(by_params),
        nnx.to_pure_dict(their_params),
    )


def kernel(projection):
    return {"kernel": projection["dense"]["kernel"]}


def test_mamba2():
    from mamba2_jax import Mamba2Config, Mamba2Mixer

    config = Mamba2Config(hidden_size=WIDTH, state_size=STATE, head_dim=HEAD, chunk_size=16)
    theirs = Mamba2Mixer(config, 0, rngs=nnx.Rngs(0))

    def rename(p):
        window = p["window"]  # theirs has the oldest step first
        return {
            "in_proj": kernel(p["inputs"]),
            "conv1d": {"conv": {"kernel": window["weight"][::-1, None], "bias": window["bias"]}},
            "dt_bias": p["step_bias"],
            "A_log": p["rate"],
            "D": p["skip"][:, 0],
            "norm": {"weight": p["norm"]["scale"]},
            "out_proj": kernel(p["output"]),
        }

    compare("mamba2", theirs, rename, state=STATE, head=HEAD)


@pytest.mark.parametrize("rank", [1, 3])
def test_mamba3(rank):
    from mamba3_jax import Mamba3Config, Mamba3Mixer

    config = Mamba3Config(
        hidden_size=WIDTH,
        state_size=STATE,
        head_dim=HEAD,
        chunk_size=32,
        is_mimo=rank > 1,
        mimo_rank=rank,
    )
    theirs = Mamba3Mixer(config, 0, rngs=nnx.Rngs(0))
    heads, inner = config.num_heads, config.intermediate_size
    # Ours turns the pairs (0, 2) and (1, 3) of a state's rows; theirs (0, 1) and (2, 3), or with a
    # rank (0, 4) and (1, 5). Which of our rows each of theirs is:
    order = np.array([0, 2, 1, 3, 4, 5, 6, 7] if rank == 1 else [0, 1, 4, 5, 2, 3, 6, 7])
    rows = (order[None] + STATE * np.arange(rank)[:, None]).ravel()
    first, second = 2 * inner, 2 * inner + rank * STATE
    columns = np.arange(config.d_in_proj)
    columns[first : second + rank * STATE] = np.concatenate([first + rows, second + rows])

    def rename(p):
        mimo = {"mimo_x": "spread", "mimo_z": "gates", "mimo_o": "gather"} if rank > 1 else {}
        return {
            "in_proj": {"kernel": p["inputs"]["dense"]["kernel"][:, columns]},
            "dt_bias": p["step_bias"],
            "B_bias": jnp.swapaxes(p["key_bias"], 0, 1)[..., order],
            "C_bias": jnp.swapaxes(p["query_bias"], 0, 1)[..., order],
            "B_norm": {"weight": p["key_norm"]["scale"][order]},
            "C_norm": {"weight": p["query_norm"]["scale"][order]},
            "D": p["skip"].reshape(heads),
            "out_proj": kernel(p["output"]),
            **{name: jnp.swapaxes(p[mine], 0, 1) for name, mine in mimo.items()},
        }

    compare("mamba3", theirs, rename, state=STATE, head=HEAD, rank=rank)
