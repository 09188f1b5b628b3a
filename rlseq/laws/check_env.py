"""All laws on one environment, one verdict a law: what `rlseq check env` prints."""

import functools
from collections.abc import Iterator

import numpy as np

from rlseq.envs import make_env
from rlseq.laws import envs as laws
from rlseq.laws.check import Verdict, described
from rlseq.types import VecEnv

COPIES, LONGEST, BEYOND = 3, 10_000, 30  # environments; steps of a rollout, and after an end
# Two programs may fuse floating-point arithmetic differently.
_near = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


def check_env(env_id: str) -> Iterator[Verdict]:
    """A verdict on each law, in order, of a rollout with random actions and default options.

    Raises InputError for an unknown environment and one whose spaces rlseq does not take.
    """
    venv = make_env(env_id, COPIES)
    limit = venv.spec.max_steps
    try:
        rollout = laws.roll(venv, min(limit or LONGEST, LONGEST) + BEYOND)
    except Exception as error:  # an environment of the user's own may raise anything
        yield Verdict(1, "it steps inside jit with random actions", False, described(error))
        return
    yield Verdict(1, "it steps inside jit with random actions", True)
    for law, (about, _) in LAWS.items():
        yield _verdict(law, about, venv, rollout)


def _verdict(law: int, about: str, venv: VecEnv, rollout: laws.Rollout) -> Verdict:
    limit, check = venv.spec.max_steps, LAWS[law][1]
    long = limit is None or limit > LONGEST
    if check is laws.reset_follows_each_end and long and not rollout.steps.reset.any():
        return Verdict(law, about, None, f"no episode ended in {LONGEST:,} steps")
    try:
        check(venv, rollout)
    except Exception as error:
        return Verdict(law, about, False, described(error))
    return Verdict(law, about, True)


def _final_obs(venv: VecEnv, rollout: laws.Rollout) -> None:
    laws.final_obs_is_obs_where_nothing_ended(venv, rollout, _near)


def _vmap(venv: VecEnv, rollout: laws.Rollout) -> None:
    laws.seeds_by_vmap_equal_single_ones(venv, _near)


LAWS = {
    2: ("a reset follows each end, and ends are of one kind", laws.reset_follows_each_end),
    3: ("no episode is longer than spec.max_steps", laws.episodes_end_within_the_limit),
    4: ("final_obs is obs where nothing ended", _final_obs),
    5: (
        "shapes and dtypes are those of the spaces",
        laws.shapes_and_dtypes_of_the_spaces,
    ),
    6: ("observations and rewards are finite", laws.numbers_are_finite),
    7: ("observations lie in their space", laws.observations_lie_in_the_space),
    8: ("rewards lie in reward_range", laws.rewards_lie_in_their_range),
    9: ("seeds by vmap equal single ones", _vmap),
}
