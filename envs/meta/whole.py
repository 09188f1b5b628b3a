"""Tasks of gymnax whose episodes are meta-episodes as they are."""

from rlseq.envs.gymnax_adapter import Adapted
from rlseq.envs.gymnax_family import FAMILY
from rlseq.errors import InputError


def whole_episodes(task: str, max_steps: int | None = None) -> Adapted:
    """gymnax's environment `task`: what is drawn at its reset is to be found out in the episode.

    Raises InputError for an unknown task and max_steps below 1.
    """
    if max_steps is not None and max_steps < 1:
        raise InputError(f"max_steps must be at least 1, got {max_steps}")
    limit = {} if max_steps is None else {"max_steps_in_episode": max_steps}
    return Adapted(*FAMILY.make(task, **limit))
