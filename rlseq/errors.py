"""Errors that a user can mend: each names what was given, what is allowed and the nearest match."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from the user; the command line prints it and exits with code 2."""


class OutsideFault(RuntimeError):
    """An environment outside JAX failed or cannot be brought back; exit code 1."""


def unknown_name(kind: str, given: object, known: Iterable[object]) -> InputError:
    """An InputError for a name that is not among the known ones, with the nearest match."""
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown {kind} {given!r}.{hint} Known: {', '.join(names) or 'none'}")


def check_names(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise InputError for the first given name that is not known."""
    allowed = list(known)
    for name in given:
        if name not in allowed:
            raise unknown_name(kind, name, allowed)
