"""Whole episodes one after the other, as NumPy arrays on the host."""

from typing import Any, NamedTuple

import jax
import numpy as np

from rlseq.errors import InputError
from rlseq.types import PyTree


class Recording(NamedTuple):
    """N steps of whole episodes; action n was taken at obs n, and the rest is what it brought."""

    obs: PyTree  # [N, ...], what the policy saw
    action: np.ndarray  # [N, ...]
    reward: np.ndarray  # [N] float32
    terminated: np.ndarray  # [N] bool, the last step of an episode that ended for good
    truncated: np.ndarray  # [N] bool, the last step of an episode that was cut
    about: dict[str, Any]  # where it comes from: plain values, as JSON has them

    @property
    def steps(self) -> int:
        """N."""
        return len(self.reward)

    @property
    def reset(self) -> np.ndarray:
        """bool [N]: obs begins an episode."""
        return np.concatenate([[True], (self.terminated | self.truncated)[:-1]])


def returns_to_go(reward: np.ndarray, reset: np.ndarray) -> np.ndarray:
    """float32 [N]: the sum of rewards from each step to the end of its episode, undiscounted."""
    total = np.cumsum(reward, dtype=np.float64)
    starts = np.flatnonzero(reset)
    ends = np.append(starts[1:], len(reward)) - 1
    at_end = np.repeat(total[ends], ends - starts + 1)
    return (at_end - total + reward).astype(np.float32)


def check_recording(recording: Recording, where: str) -> Recording:
    """The recording itself.

    Raises InputError, with `where` it comes from, for no step, arrays of different lengths, flags
    that are not bool, numbers that are not finite, and a last episode without an end.
    """
    steps = recording.steps
    if not steps:
        raise InputError(f"{where} holds no step")
    named = jax.tree_util.tree_flatten_with_path(recording._replace(about={}))[0]
    for path, leaf in named:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if leaf.shape[:1] != (steps,):
            raise InputError(
                f"{where}: {name} has shape {leaf.shape}, and {steps} rewards stand beside it"
            )
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            raise InputError(f"{where}: {name} holds numbers that are not finite")
    for name in ("terminated", "truncated"):
        flags = getattr(recording, name)
        if flags.dtype != bool or flags.ndim != 1:
            raise InputError(
                f"{where}: {name} must be bool [{steps}], got {flags.dtype} {flags.shape}"
            )
    if recording.reward.ndim != 1 or recording.reward.dtype != np.float32:
        got = f"{recording.reward.dtype} {recording.reward.shape}"
        raise InputError(f"{where}: reward must be float32 [{steps}], got {got}")
    if not (recording.terminated[-1] or recording.truncated[-1]):
        raise InputError(f"{where}: the last episode has no end; episodes are recorded whole")
    return recording
