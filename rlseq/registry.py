"""Names of everything that can be swapped: id -> "module:attribute", imported on use.

A new core, environment family, agent or world model is one file and one line here. Strings keep
`rlseq list` fast and let a missing optional package fail only when its entry is asked for.
"""

import importlib
from typing import Any

from rlseq.errors import InputError, unknown_name

TABLES: dict[str, dict[str, str]] = {
    "core": {
        "aaren": "rlseq.cores.aaren:Aaren",
        "al_rnn": "rlseq.cores.al_rnn:ALRNN",
        "attention": "rlseq.cores.attention:Attention",
        "gated_deltanet": "rlseq.cores.gated_deltanet:GatedDeltaNet",
        "gru": "rlseq.cores.gru:GRU",
        "leaky_rnn": "rlseq.cores.leaky_rnn:LeakyRNN",
        "lru": "rlseq.cores.lru:LRU",
        "lstm": "rlseq.cores.lstm:LSTM",
        "m2rnn": "rlseq.cores.m2rnn:M2RNN",
        "mamba1": "rlseq.cores.mamba1:Mamba1",
        "mamba2": "rlseq.cores.mamba2:Mamba2",
        "mamba3": "rlseq.cores.mamba3:Mamba3",
        "min_gru": "rlseq.cores.min_gru:MinGRU",
        "mlp": "rlseq.cores.mlp:MLP",
        "mlstm": "rlseq.cores.mlstm:MLSTM",
        "para_gru": "rlseq.cores.para_gru:ParaGRU",
        "para_lstm": "rlseq.cores.para_lstm:ParaLSTM",
        "q_lstm": "rlseq.cores.q_lstm:QLSTM",
        "rtu": "rlseq.cores.rtu:RTU",
        "s4d": "rlseq.cores.s4d:S4D",
        "s5": "rlseq.cores.s5:S5",
        "slstm": "rlseq.cores.slstm:SLSTM",
        "universal": "rlseq.cores.universal:Universal",
        "window": "rlseq.cores.window:Window",
    },
    # A family builds the environments of one prefix: `rlseq.types.Family`.
    "env": {
        "atari": "rlseq.envs.atari:FAMILY",
        "gymnasium": "rlseq.envs.gymnasium_family:FAMILY",
        "gymnax": "rlseq.envs.gymnax_family:FAMILY",
        "memory": "rlseq.envs.memory:FAMILY",
        "meta": "rlseq.envs.meta:FAMILY",
        "minatar": "rlseq.envs.minatar:FAMILY",
        "popgym": "rlseq.envs.popgym:FAMILY",
        "probe": "rlseq.envs.probe:FAMILY",
    },
    "agent": {
        "decision": "rlseq.agents.decision:Decision",
        "imagination": "rlseq.agents.imagination:Imagination",
        "ppo": "rlseq.agents.ppo:PPO",
        "pqn": "rlseq.agents.pqn:PQN",
        "r2d2": "rlseq.agents.r2d2:R2D2",
        "sac": "rlseq.agents.sac:SAC",
        "stream": "rlseq.agents.stream:Stream",
    },
    "world_model": {
        "drama": "rlseq.world_models.drama:Drama",
    },
}


def names(kind: str) -> list[str]:
    """The registered ids of a kind, sorted. Raises InputError for an unknown kind."""
    return sorted(_table(kind))


def load(kind: str, name: str) -> Any:
    """The object behind an id, imported now. Raises InputError for an unknown kind or id."""
    table = _table(kind)
    if name not in table:
        raise unknown_name(kind, name, table)
    module, attribute = table[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def register(kind: str, name: str, target: str) -> None:
    """Add an id of your own: target is "module:attribute". An id keeps its target.

    Raises InputError for an unknown kind, a malformed target or an id that has another target.
    """
    table = _table(kind)
    if target.count(":") != 1:
        raise InputError(f"a target reads 'module:attribute', got {target!r}")
    if table.get(name, target) != target:
        raise InputError(f"{kind} {name!r} is registered already, as {table[name]!r}")
    table[name] = target


def _table(kind: str) -> dict[str, str]:
    if kind not in TABLES:
        raise unknown_name("registry kind", kind, TABLES)
    return TABLES[kind]
