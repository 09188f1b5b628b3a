"""Families that need no other package; the others have tests of their own in tests/families."""

from rlseq import registry
from rlseq.envs import env_ids

OWN = [name for name in registry.names("env") if not hasattr(registry.load("env", name), "extra")]


def own_ids() -> list[str]:
    """Every id of these families."""
    return [env_id for env_id in env_ids() if env_id.partition(":")[0] in OWN]
