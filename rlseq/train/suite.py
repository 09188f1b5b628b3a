"""Many games and seeds of one experiment, one run folder each: missing runs are trained in turn.

The folders hold all progress: complete runs are skipped, unfinished ones resumed, so that the
same command continues after a kill at any moment.
"""

import copy
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from rlseq import config as configuration
from rlseq import plugins
from rlseq.config import Config
from rlseq.envs import env_ids
from rlseq.envs.atari import GAMES
from rlseq.envs.minatar import MOTION
from rlseq.errors import InputError, check_names
from rlseq.train import checkpoint, episodes, logging, loop, runs

# What `all` stands for: the games of Kaiser et al. 1903.00374 and of 1903.03176, seen whole.
WHOLE = {"atari": tuple(GAMES), "minatar": tuple(MOTION)}
_SET_HERE = {"env.id": "--games", "seeds": "--seeds", "run.dir": "--root", "run.root": "--root"}


class Entry(NamedTuple):
    """One game and seed."""

    config: Config
    folder: Path


class State(NamedTuple):
    """How far an entry is."""

    started: bool
    step: int  # of the newest checkpoint
    complete: bool  # trained to the end and evaluated

    def __str__(self) -> str:
        if self.complete:
            return "complete"
        return f"started, at step {self.step:,}" if self.started else "to run"


def plan(
    experiment: str,
    games: Sequence[str],
    seeds: int,
    root: Path | None = None,
    overrides: Sequence[str] = (),
) -> list[Entry]:
    """The entries in running order: the first seed of every game, then the next.

    Args:
        experiment: a name of `configs/experiment/`.
        games: names of the experiment's family, environment ids, or "all".
        seeds: how many for each game, counted on from the experiment's `seed`.
        root: the folder of the run folders; without it, `runs/<experiment>-<core>`.
        overrides: `key=value`, for every run.

    Raises InputError for unknown names and for keys that the other arguments set.
    """
    for text in overrides:
        key = text.partition("=")[0]
        if key in _SET_HERE:
            raise InputError(f"{key} is set by {_SET_HERE[key]} here, got {text!r}")
    composed = configuration.compose([f"experiment={experiment}", *overrides])
    ids = env_ids_of(games, composed.env.id.split(":")[0])
    core = plugins.bare(composed.core["name"]).replace(":", "-")
    root = root or Path("runs") / f"{experiment}-{core}"
    return [
        _entry(composed, env_id, composed.seed + index, root)
        for index in range(seeds)
        for env_id in ids
    ]


def env_ids_of(games: Sequence[str], family: str) -> list[str]:
    """Environment ids of games: "all", names of `family` or whole ids. Raises InputError."""
    names = list(dict.fromkeys(games))
    if names == ["all"]:
        if family not in WHOLE:
            raise InputError(f"`all` is known for {', '.join(WHOLE)}, not for {family}: name them")
        names = list(WHOLE[family])
    ids = [name if ":" in name else f"{family}:{name}" for name in names]
    check_names("game", ids, env_ids(missing=True))
    return ids


def state(entry: Entry) -> State:
    """The state of its folder.

    Raises InputError where it holds no run, or one of another configuration.
    """
    if _never_begun(entry.folder):
        return State(False, 0, False)
    run = runs.open_run(entry.folder)
    _check_same(entry, run)
    steps = checkpoint.steps(entry.folder / "checkpoints")
    step = steps[-1] if steps else 0
    rows = logging.read(entry.folder / logging.EPISODES)
    played = episodes.own_evaluation(rows, step, run.config.seed)
    evaluated = played >= run.config.run.eval_episodes
    return State(True, step, step >= run.config.total_steps and evaluated)


def run_all(entries: Sequence[Entry], show: Callable[[str], object] = print) -> list[str]:
    """Run or resume what is not complete; one line for each entry whose loss was not finite.

    An entry that another process is training is skipped, so that several may share a root.
    Raises what `loop.train` raises beside that.
    """
    failed = []
    for number, entry in enumerate(entries, 1):
        found = state(entry)
        env, seed = entry.config.env.id, entry.config.seed
        show(f"[{number} of {len(entries)}] {env}, seed {seed}: {found}")
        if found.complete:
            continue
        try:
            _go_on(entry, found)
        except runs.Busy as busy:
            show(f"skipped: {busy}")
        except loop.NonFinite as error:
            failed.append(f"{env}, seed {seed}: {error}")
        jax.clear_caches()  # the next game has programs and emulators of its own
        gc.collect()
    return failed


def _entry(composed: Config, env_id: str, seed: int, root: Path) -> Entry:
    own = copy.deepcopy(composed)
    folder = root / f"{env_id.replace(':', '-')}-seed{seed}"
    own.env.id, own.seed, own.seeds, own.run.dir = env_id, seed, 1, str(folder)
    return Entry(own, folder)


def _go_on(entry: Entry, found: State) -> None:
    if found.started:
        loop.resume(runs.open_run(entry.folder))
        return
    if entry.folder.exists() and not any(entry.folder.iterdir()):
        entry.folder.rmdir()
    loop.train(entry.config)


def _never_begun(folder: Path) -> bool:
    if not folder.is_dir():
        return not folder.exists()
    return not any(folder.iterdir()) or runs.never_begun(folder)


def _check_same(entry: Entry, run: runs.Run) -> None:
    asked, held = configuration.flat(entry.config), configuration.flat(run.config)
    keys = [key for key in {**asked, **held} if not key.startswith("run.")]
    other = [key for key in keys if asked.get(key) != held.get(key)]
    if other:
        key = other[0]
        raise InputError(
            f"{str(run.folder)!r} holds a run of another configuration: {key} is "
            f"{held.get(key)!r} there, {asked.get(key)!r} is asked for; name another --root"
        )
