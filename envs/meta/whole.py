"""Tasks of gymnax whose episodes are meta-episodes as they are."""

from typing import Annotated

from rlseq.envs.gymnax_adapter import Adapted
from rlseq.envs.gymnax_family import FAMILY, IDS
from rlseq.fields import OneOf, Range

Task = Annotated[str, OneOf(IDS)]
Limit = Annotated[int | None, Range(1, 1_000_000)]


def whole_episodes(task: Task, max_steps: Limit = None) -> Adapted:
    """gymnax's environment `task`: the agent must identify in the episode what its reset samples.

    Raises InputError for an unknown task.
    """
    limit = {} if max_steps is None else {"max_steps_in_episode": max_steps}
    return Adapted(*FAMILY.make(task, **limit))
