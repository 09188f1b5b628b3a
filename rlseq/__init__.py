"""rlseq: reinforcement learning with swappable memory in JAX.

This page is the table of contents; everything on it is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlseq.agents import make_agent as make_agent
    from rlseq.cores import core_names as core_names
    from rlseq.cores import functional as functional
    from rlseq.cores import make_core as make_core
    from rlseq.cores.params import load_params as load_params
    from rlseq.cores.params import save_params as save_params
    from rlseq.envs import make_env as make_env
    from rlseq.registry import register as register
    from rlseq.train.policy import load_policy as load_policy

__version__ = "0.1.0"

_PUBLIC = {
    "make_core": "rlseq.cores",
    "core_names": "rlseq.cores",
    "functional": "rlseq.cores",
    "save_params": "rlseq.cores.params",
    "load_params": "rlseq.cores.params",
    "make_env": "rlseq.envs",
    "make_agent": "rlseq.agents",
    "load_policy": "rlseq.train.policy",
    "register": "rlseq.registry",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rlseq' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
