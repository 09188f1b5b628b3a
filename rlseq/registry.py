"""Names of everything that can be swapped: id -> "module:attribute", imported on use.

A new core, environment family, agent, world model or logger is one file and one line here. Strings
keep `rlseq list` fast and let a missing optional package fail only when its entry is asked for.
Installed packages add theirs by entry points, everybody by `register`, the command line by `take`.
"""

import functools
from typing import Any

from rlseq import plugins
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
        "arcade": "rlseq.envs.jax_families.arcade:FAMILY",
        "atari": "rlseq.envs.atari:FAMILY",
        "brax": "rlseq.envs.jax_families.brax:FAMILY",
        "craftax": "rlseq.envs.jax_families.craftax:FAMILY",
        "gymnasium": "rlseq.envs.gymnasium_family:FAMILY",
        "gymnax": "rlseq.envs.gymnax_family:FAMILY",
        "jumanji": "rlseq.envs.jax_families.jumanji:FAMILY",
        "memory": "rlseq.envs.memory:FAMILY",
        "meta": "rlseq.envs.meta:FAMILY",
        "minatar": "rlseq.envs.minatar:FAMILY",
        "navix": "rlseq.envs.jax_families.navix:FAMILY",
        "pgx": "rlseq.envs.jax_families.pgx:FAMILY",
        "playground": "rlseq.envs.jax_families.playground:FAMILY",
        "popgym": "rlseq.envs.popgym:FAMILY",
        "probe": "rlseq.envs.probe:FAMILY",
        "xminigrid": "rlseq.envs.jax_families.xminigrid:FAMILY",
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
    # What a run's rows are passed to beside its files: `rlseq.train.logging.Logger`.
    "logger": {
        "mlflow": "rlseq.train.trackers:MLflow",
        "tensorboard": "rlseq.train.trackers:TensorBoard",
        "trackio": "rlseq.train.trackers:Trackio",
        "wandb": "rlseq.train.trackers:WeightsAndBiases",
    },
}


def names(kind: str) -> list[str]:
    """The registered ids of a kind, sorted. Raises InputError for an unknown kind."""
    return sorted(_table(kind))


def load(kind: str, name: str) -> Any:
    """The object behind an id, imported now.

    Raises InputError for an unknown kind or id, and for one of a plug-in that cannot be imported
    or has not what its target names.
    """
    table = _table(kind)
    if name not in table:
        raise unknown_name(kind, name, table)
    return plugins.attribute(table[name])


def register(kind: str, name: str, target: str) -> None:
    """Add an id of your own: target is "module:attribute". An id keeps its target.

    Raises InputError for an unknown kind, a malformed target or id, or an id that has another
    target.
    """
    table = _table(kind)
    if target.count(":") != 1:
        raise InputError(f"a target reads 'module:attribute', got {target!r}")
    if not name or ":" in name or "," in name:
        raise InputError(f"a registered name has no ':' and no ',', got {name!r}")
    if table.get(name, target) != target:
        raise InputError(f"{kind} {name!r} is registered already, as {table[name]!r}")
    table[name] = target


def take(kind: str, name: str) -> str:
    """Use "my_module:Mine" or "path/to/file.py:Mine" without a registered name; what it is called
    from here on, in configurations too.

    It is allowed by that (`rlseq.plugins`) and imported. Of an environment the module is the
    family. Raises InputError for one that is not there or cannot be imported.
    """
    module, attribute = plugins.parts(name)
    module = module if plugins.allowed(module) else plugins.allow(module)
    whole = f"{module}:{attribute}"
    table = _table(kind)
    key, target = (module, f"{module}:") if kind == "env" else (whole, whole)
    table[key] = target
    try:
        load(kind, key)
    except InputError:
        del table[key]
        raise
    return whole


def target(kind: str, name: str) -> str:
    """The "module:attribute" of a registered id."""
    return _table(kind)[name]


def of_plugins(kind: str) -> dict[str, str]:
    """Id -> target of those that are not rlseq's own."""
    table = _table(kind)
    return {name: table[name] for name in table if not table[name].startswith("rlseq.")}


def _table(kind: str) -> dict[str, str]:
    _add_entry_points()
    if kind not in TABLES:
        raise unknown_name("registry kind", kind, TABLES)
    return TABLES[kind]


@functools.cache
def _add_entry_points() -> None:
    """Raises InputError for one that names no kind, or an id that is taken."""
    for kind, name, target, package in plugins.entry_points():
        if kind not in TABLES or not name or target.count(":") != 1:
            raise InputError(
                f"{package} has an entry point {kind}.{name} = {target}: one of the group "
                f"{plugins.GROUP!r} reads KIND.NAME = 'module:attribute', KIND one of "
                f"{', '.join(TABLES)}"
            )
        if TABLES[kind].get(name, target) != target:
            raise InputError(
                f"{package} has an entry point for the {kind} {name!r}, which is "
                f"{TABLES[kind][name]!r} already: uninstall it or give it another name"
            )
        TABLES[kind][name] = target
