"""Types and ranges of options that several cores share."""

from functools import partial
from typing import Annotated

from rlseq import registry
from rlseq.fields import Length, OneOf, Range

DTYPES = ("float32", "float64", "bfloat16", "float16")
MATMUL_DTYPES = ("", "float32", "bfloat16", "float16")

Features = Annotated[int, Range(1, 16_384)]
Layers = Annotated[int, Range(1, 32)]  # each is traced and compiled by itself
LayerNames = Annotated[list[str], Length(1, 32), OneOf(partial(registry.names, "core"), "core")]
Heads = Annotated[int, Range(1, 1024)]
AutoHeads = Annotated[int, Range(0, 1024)]  # 0: the core chooses
Size = Annotated[int, Range(0, 16_384)]  # of a head, a state, a part; 0: the core chooses
State = Annotated[int, Range(1, 4096)]
Rank = Annotated[int, Range(0, 4096)]
Blocks = Annotated[int, Range(1, 4096)]
Expand = Annotated[int, Range(1, 16)]
Kernel = Annotated[int, Range(1, 256)]  # steps that a convolution sees
WindowSize = Annotated[int, Range(1, 65_536)]  # steps kept in a carry
StepSize = Annotated[float, Range(1e-8, 100)]
Bias = Annotated[float, Range(-100, 100)]
Slope = Annotated[float, Range(0, 100, above=True)]
Dtype = Annotated[str, OneOf(DTYPES)]
MatmulDtype = Annotated[str, OneOf(MATMUL_DTYPES)]
