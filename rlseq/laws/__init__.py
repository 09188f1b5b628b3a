"""What every core, environment and agent keeps: the tests and `rlseq check` call these functions.

A law takes a `Case` of a core or an agent, or a rollout of an environment, returns nothing where it
holds and raises AssertionError that says where not.
"""


def hold(condition: object, broken: str) -> None:
    """Raise AssertionError with what is `broken` unless the condition is true; also under -O."""
    if not condition:
        raise AssertionError(broken)
