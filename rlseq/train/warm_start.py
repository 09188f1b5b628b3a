"""Warm starts: the parameters of another run, or of a model, in the first state of a new run.

What fits is taken by path, shape and dtype; all else of the state is fresh: optimisers, replay,
schedules, environments. What of a state are parameters is the agent's to say
(`rlseq.agents.types.AgentWithParameters`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.agents.types import AgentWithParameters
from rlseq.errors import InputError
from rlseq.nn.normalisers import RunningMoments
from rlseq.train import build, checkpoint, files, models, runs
from rlseq.train import leaves as leaves_of
from rlseq.train.build import Job
from rlseq.types import PyTree

REPORT = "init_from.json"  # in the folder of the new run
_SHOWN = 10  # paths in a message


class WarmStart(NamedTuple):
    """What a run begins with."""

    source: str  # folder
    step: int  # of its checkpoint
    seeds: int  # of the source
    arrays: dict[str, np.ndarray]  # path in the new state -> [seeds, ...]
    missing: dict[str, str]  # path in the new state -> why it is not taken

    def lines(self) -> list[str]:
        """What to print."""
        whole = len(self.arrays) + len(self.missing)
        size = sum(array[0].size for array in self.arrays.values())
        lines = [
            f"init_from {self.source}, step {self.step:,}: {len(self.arrays)} of {whole} arrays "
            f"taken, {size:,} numbers a seed"
        ]
        lines += [f"  taken: {path}" for path in _prefixes(self.arrays, self.missing)]
        lines += [f"  not taken: {path}: {why}" for path, why in self.missing.items()]
        return lines


def load(job: Job) -> WarmStart | None:
    """What `init_from` of a job's configuration gives it; None without one.

    Raises InputError for a folder that is no run and no model or cannot be read, for one with
    several seeds but fewer than the job, and where nothing fits. Nothing is compiled.
    """
    if job.config.init_from is None:
        return None
    folder = Path(job.config.init_from)
    wanted, statistics = _wanted(job)
    if models.is_model(folder):
        found = _from_model(job, folder, wanted)
    else:
        found = _from_run(folder, wanted)
    found = _without_parts(found, statistics)
    learned = [path for path in found.arrays if wanted[path].shape and not _in(path, statistics)]
    if not learned:
        shown = [f"{path}: {why}" for path, why in found.missing.items()][:_SHOWN]
        raise InputError(
            f"init_from {str(folder)!r}: nothing in it fits this run. {'; '.join(shown)}"
        )
    if 1 < found.seeds < job.config.seeds:
        raise InputError(
            f"init_from {str(folder)!r} has {found.seeds} seeds and this run {job.config.seeds}: "
            "seed i begins with seed i, or all with a single one"
        )
    return found


def report(found: WarmStart, folder: Path) -> None:
    """`init_from.json` of the run's folder, which says what was taken. Raises CannotWrite."""
    facts = found._asdict() | {"arrays": {k: list(v.shape[1:]) for k, v in found.arrays.items()}}
    files.write_atomic(folder / REPORT, json.dumps(facts, indent=2) + "\n")


def put(job: Job, state: PyTree, found: WarmStart) -> PyTree:
    """A fresh state [S, ...] with what was found, and with copies of it where the agent keeps
    some."""
    seeds = np.arange(job.config.seeds) if found.seeds > 1 else np.zeros(job.config.seeds, int)
    flat = leaves_of.flatten(state)
    taken = {path: jnp.asarray(array[seeds]) for path, array in found.arrays.items()}
    state = jax.tree.unflatten(jax.tree.structure(state), list((flat | taken).values()))
    if isinstance(job.agent, AgentWithParameters):
        state = jax.jit(jax.vmap(job.agent.with_copies))(state)
    return state


def _wanted(job: Job) -> tuple[dict[str, Any], list[list[str]]]:
    """Path in a state of one seed -> shape and dtype of each parameter, and the paths of every
    running statistic, which is taken whole or not at all."""
    agent = job.agent
    select = agent.parameters if isinstance(agent, AgentWithParameters) else agent.policy_params
    flat, selected = _selected(job, select)
    nodes = jax.tree.leaves(selected, is_leaf=lambda node: isinstance(node, RunningMoments))
    statistics: list[Any] = [list(node) for node in nodes if isinstance(node, RunningMoments)]
    return {path: flat[path] for path in jax.tree.leaves(selected)}, statistics


def _selected(job: Job, select: Any) -> tuple[dict[str, Any], PyTree]:
    """(all leaves of a state by path, what `select` makes of a state of these paths)."""
    state = jax.eval_shape(job.agent.init, build.seed_keys(job.config)[0])
    flat = leaves_of.flatten(state)
    try:
        selected = select(jax.tree.unflatten(jax.tree.structure(state), list(flat)))
        if set(jax.tree.leaves(selected)) <= set(flat):
            return flat, selected
    except (TypeError, AttributeError, ValueError):  # of arithmetic on what is no array
        pass
    raise InputError(
        f"init_from: the agent {job.config.agent['name']!r} computes its policy's parameters "
        "instead of selecting them from its state: it needs rlseq.agents.types.AgentWithParameters"
    )


def _from_run(folder: Path, wanted: dict[str, Any]) -> WarmStart:
    """The newest readable checkpoint of a run, whose configuration is not read."""
    if not (folder / "checkpoints").is_dir():
        runs.open_run(folder)  # says what is wrong with it
    missing: dict[str, str] = {}

    def choose(leaves: dict[str, checkpoint.Leaf]) -> Iterable[str]:
        missing.clear()
        there = {path: (tuple(leaf.shape[1:]), leaf.dtype) for path, leaf in leaves.items()}
        missing.update(_unfit(wanted, there))
        return [path for path in wanted if path not in missing]

    step, arrays = checkpoint.read_leaves(folder / "checkpoints", choose)
    seeds = next((len(array) for array in arrays.values()), 1)
    return WarmStart(str(folder), step, seeds, arrays, missing)


def _from_model(job: Job, folder: Path, wanted: dict[str, Any]) -> WarmStart:
    """The policy's parameters, by the paths that they have in a state."""
    weights = models.read_weights(folder)
    paths = leaves_of.flatten(_selected(job, job.agent.policy_params)[1])
    arrays = {paths[name]: a[None] for name, a in weights.arrays.items() if name in paths}
    missing = _unfit(wanted, {path: (a.shape[1:], a.dtype.name) for path, a in arrays.items()})
    taken = {path: arrays[path] for path in wanted if path not in missing}
    return WarmStart(str(folder), weights.step, 1, taken, missing)


def _unfit(wanted: dict[str, Any], there: dict[str, tuple[tuple, str]]) -> dict[str, str]:
    """Path -> why it is not taken."""
    found = {}
    for path, leaf in wanted.items():
        here = tuple(leaf.shape), jnp.dtype(leaf.dtype).name
        if path not in there:
            found[path] = "missing there"
        elif there[path][0] != here[0]:
            found[path] = f"shape {list(there[path][0])} there, {list(here[0])} here"
        elif there[path][1] != here[1]:
            found[path] = f"{there[path][1]} there, {here[1]} here"
    return found


def _without_parts(found: WarmStart, statistics: list[list[str]]) -> WarmStart:
    """Without statistics of which only a part fits: a mean is nothing without its count."""
    arrays, missing = dict(found.arrays), dict(found.missing)
    for paths in statistics:
        if any(path in missing for path in paths):
            for path in paths:
                if arrays.pop(path, None) is not None:
                    missing[path] = "the rest of its statistics does not fit"
    return found._replace(arrays=arrays, missing=missing)


def _in(path: str, groups: list[list[str]]) -> bool:
    return any(path in group for group in groups)


def _prefixes(taken: Iterable[str], missing: Iterable[str]) -> list[str]:
    """The fewest beginnings of paths that hold all that is taken and nothing that is missing."""
    others = [path.split("/") for path in missing]
    found: dict[str, int] = {}
    for path in (one.split("/") for one in taken):
        ends = range(1, len(path) + 1)
        whole = (n for n in ends if not any(other[:n] == path[:n] for other in others))
        prefix = "/".join(path[: next(whole, len(path))])
        found[prefix] = found.get(prefix, 0) + 1
    return [
        f"{prefix} ({count} arrays)" if count > 1 else prefix for prefix, count in found.items()
    ]
