"""Flags of XLA, as far as the installed one knows them."""

import os
import subprocess
import sys
from collections.abc import Sequence


def known(flags: Sequence[str]) -> list[str]:
    """Those of the flags with which a process starts.

    XLA ends a process that gives it a flag it does not know, and releases drop flags, so a process
    of its own tries them: all at once, and one by one where that fails.
    """
    if _starts(flags):
        return list(flags)
    return [flag for flag in flags if _starts([flag])]


def _starts(flags: Sequence[str]) -> bool:
    """XLA reads its flags when it looks for devices."""
    settings = {**os.environ, "XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return subprocess.run(command, env=settings, capture_output=True).returncode == 0
