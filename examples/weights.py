"""Parameters to a `.npz` file and back, and the same file read by NumPy alone.

Run: python examples/weights.py gru.npz
"""

import sys

import jax
import numpy as np

import rlseq

core = rlseq.functional("gru", in_features=3, features=8)


def main(path="gru.npz"):
    params = core.init(jax.random.key(0))
    rlseq.save_params(path, params)
    with np.load(path) as arrays:  # no pickle, no JAX: names joined by slashes
        for name in arrays.files:
            print(name, arrays[name].shape)

    loaded = rlseq.load_params(path)
    x, reset = jax.random.normal(jax.random.key(1), (5, 2, 3)), np.zeros((5, 2), bool)
    _, before = core.scan(params, core.init_carry(2), x, reset)
    _, after = core.scan(loaded, core.init_carry(2), x, reset)
    return bool((before == after).all())


if __name__ == "__main__":
    main(*sys.argv[1:])
