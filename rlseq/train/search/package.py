"""Optuna, which comes with an extra."""

import importlib
from typing import Any

from rlseq.errors import missing_package


def optuna() -> Any:
    """The package, silent but for warnings. Raises InputError that names the extra."""
    try:
        found = importlib.import_module("optuna")
    except ImportError as error:
        raise missing_package("a search", "optuna", "optuna") from error
    found.logging.set_verbosity(found.logging.WARNING)
    return found
