"""A family of environments as a table: name -> where its class is and with which options.

Nothing here imports gymnax or jax, so that names can be listed at once.
"""

import importlib
import inspect
from typing import Any, NamedTuple

from rlseq.errors import check_names, unknown_name


class Entry(NamedTuple):
    """One environment: "module:class" and the options that make it this one."""

    target: str
    options: dict[str, Any]


class Family:
    """The environments of one prefix; `aliases` maps other names to names of the table."""

    def __init__(self, prefix: str, table: dict[str, Entry], aliases: dict[str, str]):
        self.prefix = prefix
        self.table = table
        self.aliases = aliases

    def ids(self) -> list[str]:
        """The names after the prefix, in the order of the table, without aliases."""
        return list(self.table)

    def make(self, name: str, **options: Any) -> tuple[Any, Any]:
        """(environment, its params); options replace those of the table.

        Raises InputError for an unknown name or option, and for impossible values.
        """
        canonical = self.aliases.get(name, name)
        if canonical not in self.table:
            raise unknown_name(f"{self.prefix} environment", name, [*self.table, *self.aliases])
        entry = self.table[canonical]
        module, attribute = entry.target.split(":")
        build = getattr(importlib.import_module(module), attribute)
        known = inspect.signature(build).parameters
        check_names(f"option of {self.prefix}:{name}", options, known)
        env = build(**{**entry.options, **options})
        return env, env.default_params
