"""What every core and environment must keep: the tests and `rlseq check` call the same functions.

A law takes a `Case` of a core or a rollout of an environment, returns nothing where it holds and
raises AssertionError that says where not.
"""


def hold(condition: object, broken: str) -> None:
    """Raise AssertionError with what is `broken` unless the condition is true; also under -O."""
    if not condition:
        raise AssertionError(broken)
