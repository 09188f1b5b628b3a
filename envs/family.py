"""A family of environments as a table: name -> where its class is and with which options.

Nothing here imports gymnax or jax, so that listing names is quick.
"""

import importlib
import inspect
from typing import Any, NamedTuple

from rlseq import fields
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

    def options(self, name: str) -> dict[str, Any]:
        """Option -> declared type. Raises InputError for an unknown name."""
        return fields.of(self._load(self._entry(name)))

    def make(self, name: str, **options: Any) -> tuple[Any, Any]:
        """(environment, its params); options replace those of the table.

        Raises InputError for an unknown name or option, and for impossible values.
        """
        entry = self._entry(name)
        build = self._load(entry)
        known = inspect.signature(build).parameters
        check_names(f"option of {self.prefix}:{name}", options, known)
        env = build(**{**entry.options, **options})
        return env, env.default_params

    def _entry(self, name: str) -> Entry:
        canonical = self.aliases.get(name, name)
        if canonical not in self.table:
            raise unknown_name(f"{self.prefix} environment", name, [*self.table, *self.aliases])
        return self.table[canonical]

    @staticmethod
    def _load(entry: Entry) -> Any:
        module, attribute = entry.target.split(":")
        return getattr(importlib.import_module(module), attribute)
