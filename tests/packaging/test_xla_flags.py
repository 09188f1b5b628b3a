"""The flags of XLA that the tests set: only those that the installed one knows."""

import os

import jax

from tests import xla_flags

FLAG = "--xla_cpu_parallel_codegen_split_count=1"


def test_flags_that_no_xla_knows_are_left_out():
    assert xla_flags.known(["--xla_no_such_flag=1", FLAG]) == [FLAG]
    assert xla_flags.known([]) == []


def test_the_tests_run_under_the_flags_that_were_found():
    assert jax.device_count() == 4
    assert FLAG in os.environ["XLA_FLAGS"].split()
