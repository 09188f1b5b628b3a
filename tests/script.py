"""A module of tests/ as a process of its own, around the rlseq that these tests run with."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# rlseq is imported before the checkout is on the path: the checkout's folder of that name lacks
# what pyproject.toml maps from elsewhere, and an installed rlseq is what is to be tested.
# Background jobs of a shell ignore SIGINT and nohup SIGHUP, which children inherit: not these.
_RUN = """
import runpy, signal, sys, rlseq
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def command(module: str, *words) -> list[str]:
    """The command line that runs a dotted module of tests/, from any folder."""
    return [sys.executable, "-P", "-c", _RUN, str(ROOT), module, *map(str, words)]
