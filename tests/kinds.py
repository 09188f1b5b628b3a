"""Which cores a test of what goes around any core usually runs with: one of each kind.

That a core keeps the protocol, tests/cores/test_laws.py asserts of every one.
"""

from collections.abc import Iterable

import pytest

import rlseq

# A ring buffer, a gated vector, a matrix behind a convolution, a complex linear state.
EACH_KIND = ("attention", "gru", "mamba2", "s5")


def cores(usual: Iterable[str] = EACH_KIND) -> list:
    """Every registered core as a parameter; all but the usual ones are slow tests."""
    chosen = frozenset(usual)
    return [
        pytest.param(name, marks=() if name in chosen else pytest.mark.slow)
        for name in rlseq.core_names()
    ]
