"""Which dtypes a core may have, and what of it they are.

`dtype` is that of a core's results. In half precision it is also that of what lies between layers,
of mixers and, by `matmul_dtype`, of the factors of projections: of every dense matrix that reads
inputs or writes outputs, B and C of state spaces with them. As flax has it, parameters stay in
float32. So do norms, carries, scans and products with recurrent matrices: rounded at every step, a
memory would drift, and sequences would differ from their steps. A convolution over time, whose
weights are one number a channel, is no product of matrices and stays too.
"""

from typing import Any

from rlseq.errors import InputError

HALF = ("bfloat16", "float16")


def check_dtype(name: str, dtype: str) -> None:
    """Raises InputError for a dtype that is wider than JAX is set to."""
    import jax

    if dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError(f"core {name!r}: dtype float64 needs JAX_ENABLE_X64=1")


def held_in(dtype: str) -> str:
    """The dtype of parameters and carries of a core of `dtype`."""
    return "float32" if dtype in HALF else dtype


def around(dtype: str) -> str:
    """The dtype of products in networks around a core of `dtype`."""
    return dtype if dtype in HALF else "float32"


def of_layer(dtype: str, options: dict[str, Any]) -> dict[str, Any]:
    """A layer's options within a core of `dtype`; its own `dtype` is that of its carry."""
    inside = options | {"dtype": held_in(dtype)}
    if dtype in HALF and options.get("matmul_dtype") == "":
        inside["matmul_dtype"] = dtype
    return inside
