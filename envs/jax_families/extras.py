"""What a family of another package needs, and the family itself: names listed without it."""

import importlib.util
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, NamedTuple

from rlseq.envs.family import Entry, TableFamily
from rlseq.errors import InputError, check_names


class Extra(NamedTuple):
    """An extra of rlseq and the package behind it; a test compares both with pyproject.toml.

    Where pip must not bring what the package asks for, `lists` holds what the extra has in its
    place, and the package is installed alone.
    """

    name: str  # of the extra
    requirement: str  # as pip reads it, "craftax>=1.6.1,<2"
    module: str  # what is imported
    lists: tuple[str, ...] = ()
    spoiler: str = ""  # a package that writes over files of gymnax

    def installed(self) -> bool:
        """Whether the package is there; imports nothing."""
        return importlib.util.find_spec(self.module) is not None

    def command(self) -> str:
        """What installs it."""
        own = f"pip install 'rlseq[{self.name}]'"
        return f"{own} && pip install --no-deps '{self.requirement}'" if self.lists else own

    def check(self, needed_by: str) -> None:
        """Raise InputError where the package is missing or of another version, or where another
        one spoils gymnax."""
        from packaging.requirements import Requirement

        wanted = Requirement(self.requirement)
        if not self.installed():
            raise InputError(f"{needed_by} needs the package {wanted.name}: {self.command()}")
        found = metadata.version(wanted.name)
        if not wanted.specifier.contains(found, prereleases=True):
            raise InputError(
                f"{needed_by} needs {self.requirement}, {found} is installed: {self.command()}"
            )
        if self.spoiler and list(metadata.distributions(name=self.spoiler)):
            raise InputError(
                f"{self.spoiler} is installed and has written over files of gymnax: pip uninstall "
                f"{self.spoiler} && pip install --force-reinstall --no-deps 'gymnax>=1.0.1,<2'"
            )


class ExtraFamily(TableFamily):
    """The environments of an extra: one class or several, constructed by a name.

    `target` is the "module:class" of the names for which `targets` has no other.
    """

    def __init__(
        self,
        prefix: str,
        extra: Extra,
        target: str,
        names: Sequence[str],
        targets: Mapping[str, str] | None = None,
    ):
        targets = targets or {}
        table = {name: Entry(targets.get(name, target), {"name": name}) for name in names}
        super().__init__(prefix, table, {})
        self.extra = extra

    def options(self, name: str) -> dict[str, Any]:
        """Option -> declared type. Raises InputError for an unknown name."""
        declared = super().options(name)
        return {key: kind for key, kind in declared.items() if key != "name"}

    def make(self, name: str, **options: Any) -> tuple[Any, Any]:
        """(environment, its params).

        Raises InputError for an unknown name or option, for a package that is missing or of another
        version, and for impossible values.
        """
        check_names(f"option of {self.prefix}:{name}", options, self.options(name))
        self.extra.check(f"{self.prefix}:{name}")
        import jax

        # Packages make arrays when they are imported, which a trace around this must not hold.
        with jax.ensure_compile_time_eval():
            return super().make(name, **options)
