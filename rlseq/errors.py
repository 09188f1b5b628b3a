"""Errors that a user can correct: each names the value, what is allowed and the nearest match."""

import difflib
from collections.abc import Iterable

_SHOWN = 80  # characters of a value in a message
_LISTED = 60  # names in a message; of more, the nearest
_NEAREST = 8
_COMMANDS = {"environment": " (`rlseq list envs` shows all)"}  # of kinds with more names than that


class InputError(ValueError):
    """Bad input from the user; the command line prints it and exits with code 2."""


class HostEnvError(RuntimeError):
    """An environment outside JAX failed or cannot be restored; exit code 1."""


class DistributedError(RuntimeError):
    """Another process of a run of several failed or died; exit code 1."""


class LauncherError(RuntimeError):
    """A launcher of Hydra failed, and not a job of it; exit code 1."""


class HubError(RuntimeError):
    """A server of models refused, failed or is out of reach; exit code 1."""


def unknown_name(kind: str, name: object, known: Iterable[object]) -> InputError:
    """An InputError for a name that is not among the known ones, with the nearest match."""
    names = sorted(str(name) for name in known)
    text = shown(name)
    close = _nearest(text, names, 1, 0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown {kind} {text}.{hint} Known: {_known(kind, text, names)}")


def _known(kind: str, text: str, names: list[str]) -> str:
    if len(names) <= _LISTED:
        return ", ".join(names) or "none"
    nearest = ", ".join(_nearest(text, names, _NEAREST, 0))
    return f"{nearest} and {len(names) - _NEAREST} others{_COMMANDS.get(kind, '')}"


def _nearest(text: str, names: list[str], count: int, cutoff: float) -> list[str]:
    return difflib.get_close_matches(text.strip("'"), names, count, cutoff)


def missing_package(needed_by: str, package: str, extra: str) -> InputError:
    """An InputError for a package that is not installed, with the extra it comes with."""
    return InputError(f"{needed_by} needs the package {package}: pip install 'rlseq[{extra}]'")


def shown(value: object) -> str:
    """A value in a message: one line, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python prints no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise InputError for the first of the names that is not known."""
    allowed = list(known)
    for name in names:
        if name not in allowed:
            raise unknown_name(kind, name, allowed)
