"""What every core must keep, as functions: the tests and `rlseq check` call the same ones.

A law takes a `Case`, returns nothing where it holds and raises AssertionError that says where not.
"""


def hold(condition: object, broken: str) -> None:
    """Raise AssertionError with what is `broken` unless the condition is true; also under -O."""
    if not condition:
        raise AssertionError(broken)
