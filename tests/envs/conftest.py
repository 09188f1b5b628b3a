"""A rollout of any environment with random actions, as the laws have it."""

import pytest

from rlseq.laws import envs as laws


@pytest.fixture(name="compiled_quickly")
def _compiled_quickly():
    return laws.compiled_quickly


@pytest.fixture(name="roll")
def _roll():
    return laws.roll
