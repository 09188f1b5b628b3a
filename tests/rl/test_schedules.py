"""Learning rates at the points that define them."""

import numpy as np
import pytest

from rlseq.errors import InputError
from rlseq.rl.schedules import SCHEDULES, learning_rate

PEAK, STEPS = 0.5, 100


def values(name, *steps, warmup=0):
    schedule = learning_rate(name, PEAK, STEPS, warmup)
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize(
    ("name", "start", "middle", "end"),
    [("constant", PEAK, PEAK, PEAK), ("linear", PEAK, PEAK / 2, 0), ("cosine", PEAK, PEAK / 2, 0)],
)
def test_start_middle_and_end(name, start, middle, end):
    got = values(name, 0, STEPS // 2, STEPS, 2 * STEPS)
    np.testing.assert_allclose(got, [start, middle, end, end], atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_rises_from_zero_to_the_peak_within_the_run(name):
    got = values(name, 0, 10, 20, warmup=20)
    np.testing.assert_allclose(got, [0, PEAK / 2, PEAK], atol=1e-6)
    end = PEAK if name == "constant" else 0
    np.testing.assert_allclose(values(name, STEPS, warmup=20), end, atol=1e-6)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_it_never_rises_after_the_warmup(name):
    got = values(name, *range(20, STEPS + 5), warmup=20)
    assert (np.diff(got) <= 1e-7).all()


def test_a_warmup_longer_than_the_run_still_rises():
    np.testing.assert_allclose(values("linear", 100, warmup=200), PEAK / 2, atol=1e-6)


def test_an_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown schedule 'cosin'.*'cosine'.*constant"):
        learning_rate("cosin", PEAK, STEPS)
