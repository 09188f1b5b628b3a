"""A core in your own lax.scan: it learns to repeat what it saw three steps ago.

Training runs whole sequences with `scan`; the check at the end feeds single steps, as an agent that
acts does. Both give the same outputs. Run: python examples/bare_scan.py
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax

import rlseq

DELAY, LENGTH, BATCH, SYMBOLS = 3, 32, 32, 4

core = rlseq.functional("gru", in_features=SYMBOLS, features=32)
optimiser = optax.adam(1e-2)


def batch(key):
    """Random symbols, resets, and the symbol of DELAY steps ago where the episode has one."""
    keys = jax.random.split(key)
    symbols = jax.random.randint(keys[0], (LENGTH, BATCH), 0, SYMBOLS)
    reset = jax.random.bernoulli(keys[1], 0.05, (LENGTH, BATCH)).at[0].set(True)
    begun = lax.associative_scan(jnp.maximum, jnp.where(reset, jnp.arange(LENGTH)[:, None], 0))
    known = jnp.arange(LENGTH)[:, None] - begun >= DELAY
    return jax.nn.one_hot(symbols, SYMBOLS), reset, jnp.roll(symbols, DELAY, axis=0), known


def loss(params, key):
    x, reset, target, known = batch(key)
    _, y = core.scan(params["core"], core.init_carry(BATCH), x, reset)
    errors = optax.softmax_cross_entropy_with_integer_labels(y @ params["read"], target)
    return jnp.where(known, errors, 0).sum() / known.sum()


@jax.jit
def update(params, state, key):
    value, gradient = jax.value_and_grad(loss)(params, key)
    changes, state = optimiser.update(gradient, state)
    return optax.apply_updates(params, changes), state, value


@jax.jit
def accuracy(params, key):
    """Step by step in a bare lax.scan: the carry is all that goes from step to step."""
    x, reset, target, known = batch(key)

    def body(carry, inputs):
        carry, y = core.step(params["core"], carry, *inputs)
        return carry, (y @ params["read"]).argmax(-1)

    _, guess = lax.scan(body, core.init_carry(BATCH), (x, reset))
    return jnp.where(known, guess == target, 0).sum() / known.sum()


def main(updates=300):
    keys = jax.random.split(jax.random.key(0), updates + 2)
    params = {"core": core.init(keys[0]), "read": jnp.zeros((32, SYMBOLS))}
    state = optimiser.init(params)
    for key in keys[2:]:
        params, state, value = update(params, state, key)
    right = float(accuracy(params, keys[1]))
    print(f"loss {float(value):.3f}, right in single steps {right:.3f}")
    return right


if __name__ == "__main__":
    main()
