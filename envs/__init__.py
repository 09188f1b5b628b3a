"""Environments: `make_env` builds any registered one, E of them side by side.

Everything heavy is imported on use, so that listing names is quick.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from rlseq.envs.family import env_ids, family_of
from rlseq.envs.options import check_options, checked, option_types
from rlseq.errors import InputError
from rlseq.fields import INT32, Length, NumEnvs, OneOf, Range, Share, Text
from rlseq.types import BatchedFamily, JaxFamily, VecEnv

Observe = Annotated[str, OneOf(("obs", "state", "both"))]
FrameSkips = Annotated[int, Range(1, 1000)]
Entries = Annotated[Sequence[int], Length(0, 1024), Range(0, 1_000_000)]
Sigma = Annotated[float, Range(0, 1e6)]
Delay = Annotated[int, Range(0, 4096)]
ActionLog = Annotated[int, Range(0, INT32)]

__all__ = ["check_options", "env_ids", "family_of", "make_env", "option_types"]


@checked
def make_env(
    id: Annotated[str, Text()],
    num_envs: NumEnvs = 1,
    *,
    observe: Observe = "obs",
    sticky_actions: Share = 0.0,
    frame_skip: FrameSkips = 1,
    debug: bool = False,
    obs_mask: Entries = (),
    obs_noise: Sigma = 0.0,
    obs_flicker: Share = 0.0,
    obs_delay: Delay = 0,
    previous_action: bool = False,
    start_flag: bool = False,
    flatten: bool = False,
    statistics: bool = False,
    action_log: ActionLog = 0,
    evaluation: bool = False,
    **options: Any,
) -> VecEnv:
    """E = num_envs copies of the environment "family:Name", usable inside jit.

    `options` go to the environment (`k=8`). `observe="state"` returns the hidden state instead of
    the observation, "both" a dict of the two under "obs" and "state", where there is one.
    The switches add wrappers, in this order from the inside: the last action is repeated with
    a probability; an action is taken several times; actions and discrete observations are checked
    (`rlseq.envs.checks`); entries of observations are masked, get noise of this sigma, are lost
    with a probability, or delayed by some steps; the previous action beside the observation, a
    flag on first observations, one flat float32 vector as observation, returns and lengths of
    episodes in the state (`rlseq.envs.wrappers.episode_stats`).

    Two more depend on the purpose and change only some environments: `action_log` is how many
    actions an environment outside JAX keeps in its state (`rlseq.envs.action_log`); `evaluation`
    plays as scores are counted, without clipped rewards for example.

    Raises InputError for an unknown family, name or option, for impossible option values, for
    num_envs below 1, and for an environment without a state to show; unknown names come with the
    nearest match.
    """
    inside = {"observe": observe, "sticky_actions": sticky_actions, "frame_skip": frame_skip}
    purpose = {"action_log": action_log, "evaluation": evaluation}
    venv = _with_choices(_built(id, num_envs, options, inside, purpose))

    from rlseq.envs import checks, wrappers

    venv = _wrapped(venv, (debug, checks.Checked))
    return _wrapped(
        _degraded(venv, tuple(obs_mask), obs_noise, obs_flicker, obs_delay),
        (previous_action, wrappers.PreviousAction),
        (start_flag, wrappers.StartFlag),
        (flatten, wrappers.FlattenObservation),
        (statistics, wrappers.EpisodeStatistics),
    )


def _built(
    id: str,
    num_envs: int,
    options: dict[str, Any],
    inside: dict[str, Any],
    purpose: dict[str, Any],
) -> VecEnv:
    """The environment of an id with what lies inside its batch, without batched wrappers."""
    family = family_of(id)
    if isinstance(family, BatchedFamily):
        return _batched(family, id, num_envs, options | purpose, **inside)
    return _vmapped(family, id, num_envs, options, **inside)


def _degraded(
    venv: VecEnv, mask: tuple[int, ...], noise: float, flicker: float, delay: int
) -> VecEnv:
    from rlseq.envs.observation_wrappers import Delayed, Flickering, Masked, Noisy

    return _wrapped(
        venv,
        (mask, partial(Masked, entries=mask)),
        (noise, partial(Noisy, sigma=noise)),
        (flicker, partial(Flickering, probability=flicker)),
        (delay, partial(Delayed, delay=delay)),
    )


def _wrapped(venv: VecEnv, *wrappers: tuple[Any, Callable[[VecEnv], VecEnv]]) -> VecEnv:
    """Add the wrappers that are switched on, the first innermost."""
    for wanted, wrap in wrappers:
        if wanted:
            venv = wrap(venv)
    return venv


def _with_choices(venv: VecEnv) -> VecEnv:
    """Wrap an environment whose actions are a bounded Box of whole numbers: they become choices.

    Raises InputError for spaces of more choices than an int32 can count.
    """
    from rlseq.envs.action_wrappers import ChosenIntegers
    from rlseq.envs.spaces import check_space, choices_of

    for space in (venv.spec.obs_space, venv.spec.action_space):
        check_space(space)
    return venv if choices_of(venv.spec.action_space) is None else ChosenIntegers(venv)


def _batched(
    family: BatchedFamily,
    id: str,
    num_envs: int,
    options: dict[str, Any],
    *,
    observe: str,
    sticky_actions: float,
    frame_skip: int,
) -> VecEnv:
    """From a family that builds all copies at once."""
    if observe != "obs":
        raise InputError(f"{id} has no state to show, got observe={observe!r}")
    if sticky_actions != 0 or frame_skip != 1:
        raise InputError(f"{id} has sticky actions and frame skip of its own: give it a preset")
    return family.make_batch(id.partition(":")[2], num_envs, **options)


def _vmapped(
    family: JaxFamily,
    id: str,
    num_envs: int,
    options: dict[str, Any],
    *,
    observe: str,
    sticky_actions: float,
    frame_skip: int,
) -> VecEnv:
    """Copies of a JAX environment by vmap."""
    env, params = family.make(id.partition(":")[2], **options)

    from rlseq.envs.action_wrappers import FrameSkip, StickyActions
    from rlseq.envs.base import Env
    from rlseq.envs.gymnax_adapter import Adapted
    from rlseq.envs.twin import Twin
    from rlseq.envs.vec import JaxVecEnv

    if not isinstance(env, Env):
        env = Adapted(env, params)
    inside = env
    if observe != "obs":
        env = Twin(env, both=observe == "both")
    if sticky_actions != 0:
        env = StickyActions(env, sticky_actions)
    if frame_skip != 1:
        env = FrameSkip(env, frame_skip)
    return inside.across_episodes(JaxVecEnv(env, params, num_envs, id))
