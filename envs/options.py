"""Types and ranges of the options of `make_env`, and their check."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from rlseq import fields
from rlseq.envs.family import family_of

Make = TypeVar("Make", bound=Callable[..., Any])


def option_types(id: str) -> dict[str, Any]:
    """Option -> declared type: those of every environment and those of this one.

    Raises InputError for an unknown family or environment.
    """
    from rlseq.envs import make_env

    own = family_of(id).options(id.partition(":")[2])
    known = fields.of(make_env)
    return own | {key: known[key] for key in known if key != "options"}


def check_options(id: str, values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values as `make_env` takes them; `prefix` goes before each name in messages.

    Raises InputError for an unknown environment and for the first value that does not fit. Names
    that are not known pass: the family refuses them.
    """
    return fields.check_all(option_types(id), values, prefix)


def checked(make: Make) -> Make:
    """`make_env` with all values checked before anything is built."""

    @functools.wraps(make)
    def call(id: Any, num_envs: Any = 1, **options: Any) -> Any:
        options = {"num_envs": num_envs, **options}
        id = fields.check("id", str, id)
        return make(id, **check_options(id, options))

    return cast(Make, call)
