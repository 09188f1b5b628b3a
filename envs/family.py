"""Families of environments: by id, and as a table of classes with their options.

Nothing here imports gymnax or jax, so that listing names is quick.
"""

import importlib
import inspect
from types import ModuleType
from typing import Any, NamedTuple

from rlseq import fields, plugins, registry
from rlseq.docstrings import first_sentence
from rlseq.errors import InputError, check_names, unknown_name
from rlseq.types import BatchedFamily, JaxFamily


class Entry(NamedTuple):
    """One environment: "module:class" and the options that make it this one."""

    target: str
    options: dict[str, Any]


class TableFamily:
    """A `JaxFamily` of a table: name -> entry; `aliases` maps other names to names of the table."""

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

    def about(self, name: str) -> str:
        """The first sentence about the module of the environment."""
        return first_sentence(self._entry(name).target.partition(":")[0])

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

    def _load(self, entry: Entry) -> Any:
        module, attribute = entry.target.split(":")
        return getattr(importlib.import_module(module), attribute)


class ModuleFamily(TableFamily):
    """The environments of a plug-in: the classes of environments that its module defines."""

    def __init__(self, prefix: str, module: ModuleType):
        from gymnax.environments.environment import Environment

        # Classes of environments alone: a name in a configuration must not call anything else.
        self.classes = plugins.classes(module)
        envs = [name for name, one in self.classes.items() if issubclass(one, Environment)]
        super().__init__(prefix, {name: Entry(f"{prefix}:{name}", {}) for name in envs}, {})

    def about(self, name: str) -> str:
        """The first line of the docstring of the class."""
        self._entry(name)
        return (self.classes[name].__doc__ or "").strip().split("\n")[0].rstrip(".")

    def _entry(self, name: str) -> Entry:
        if name not in self.table and name in self.classes:
            raise InputError(
                f"{self.prefix}:{name} lacks the class rlseq.envs.base.Env, or gymnax's "
                "Environment, among its bases"
            )
        return super()._entry(name)

    def _load(self, entry: Entry) -> Any:
        return self.classes[entry.target.rpartition(":")[2]]


def env_ids(*, missing: bool = False) -> list[str]:
    """Every id "family:Name", family by family; also of families whose package is `missing`."""
    families = [name for name in registry.names("env") if missing or not lacks(name)]
    return [f"{prefix}:{name}" for prefix in families for name in _load(prefix).ids()]


def lacks(prefix: str) -> Any | None:
    """The `Extra` of a family whose package is not installed; None where nothing is missing."""
    extra = getattr(_load(prefix), "extra", None)
    return None if extra is None or extra.installed() else extra


def family_of(env_id: str) -> JaxFamily | BatchedFamily:
    """The family of an id "family:Name". Raises InputError for an unknown or incomplete one."""
    prefix, colon, _ = env_id.partition(":")
    if not colon:
        raise unknown_name("environment", env_id, env_ids())
    return _load(prefix)


def _load(prefix: str) -> JaxFamily | BatchedFamily:
    family = registry.load("env", prefix)
    if isinstance(family, ModuleType):  # a plug-in
        family = getattr(family, "FAMILY", None) or ModuleFamily(prefix, family)
    if not isinstance(family, JaxFamily | BatchedFamily):
        raise InputError(
            f"the family {prefix!r} has not all methods of rlseq.types.JaxFamily or BatchedFamily"
        )
    return family
