"""The jobs of a campaign: environments x cores x agents x seeds, a run folder each."""

import copy
import dataclasses
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from rlseq import config as configuration
from rlseq import config_plugins, config_yaml, plugins
from rlseq.config import Config
from rlseq.envs import env_ids, make_env
from rlseq.errors import InputError, shown
from rlseq.schema import LAST_SEED
from rlseq.train import runs

_EVERY = "run.checkpoint_every="
JOBS = "jobs"  # in the root: locks, logs and failures of jobs


class Entry(NamedTuple):
    """One job: a configuration with a single seed, and the run folder it is trained in."""

    config: Config
    folder: Path

    def __str__(self) -> str:
        return self.folder.name

    def file(self, ending: str) -> Path:
        """A file about the job that is not the run's: its lock, its log."""
        return self.folder.parent / JOBS / f"{self.folder.name}.{ending}"


class Variant(NamedTuple):
    """One core and agent: what folders call them, and the words of a command line."""

    labels: tuple[str, ...]
    words: list[str]


def entries(
    base: list[str],
    ids: Sequence[str],
    variants: Sequence[Variant],
    seeds: Sequence[int],
    root: Path,
) -> list[Entry]:
    """The jobs in running order: the first seed of everything, then the next.

    Args:
        base: `key=value` words of every job.
        ids: environment ids, checked before.
        variants: cores and agents.
        seeds: of the jobs of each environment, core and agent.
        root: the folder of the run folders.

    Raises InputError as `config.compose`, for a seed that no key holds, and for two jobs of one
    name.
    """
    for seed in seeds:
        if not 0 <= seed <= LAST_SEED:
            raise InputError(f"seeds are whole numbers from 0 to {LAST_SEED}, got {shown(seed)}")
    composed = _composed(base, ids, variants)
    found = [_entry(config, labels, seed, root) for seed in seeds for labels, config in composed]
    first: dict[Path, Entry] = {}
    for entry in found:
        if first.setdefault(entry.folder, entry) is not entry:
            raise InputError(f"two jobs of the campaign are called {entry.folder.name!r}")
    return found


def matching(patterns: Sequence[str]) -> list[str]:
    """Environment ids of ids and patterns (`popgym:*Easy`). Raises InputError."""
    found: list[str] = []
    for pattern in patterns:
        if any(sign in pattern for sign in "*?["):
            ids = [one for one in env_ids() if fnmatchcase(one, pattern)]
            if not ids:
                raise InputError(f"no environment matches {pattern!r}: see `rlseq list envs`")
            found += ids
            continue
        own = config_plugins.env_id_of(pattern)
        if own not in env_ids():  # an alias, a plug-in's, gymnasium's: building it tells
            make_env(own)
        found.append(own)
    return list(dict.fromkeys(found))


def refuse(overrides: Sequence[str], elsewhere: dict[str, str]) -> None:
    """Raise InputError for an override whose key is given in another place."""
    for text in overrides:
        key = text.partition("=")[0]
        if key in elsewhere:
            raise InputError(f"{key} is set by {elsewhere[key]} here, got {text!r}")


def saving_every_chunk(words: Sequence[str]) -> list[str]:
    """The words of a job, and that it saves after every chunk unless they say how often: a kill
    then costs the chunk in flight and no more."""
    named = any(word.startswith(_EVERY) for word in words)
    return [*words, *([] if named else [f"{_EVERY}1"])]


def check_same(entry: Entry) -> None:
    """Raise InputError where the folder holds no run, or one of another configuration.

    What is set below `run` may differ.
    """
    if begun(entry.folder) and not _plainly_same(entry):
        run = runs.open_run(entry.folder)
        asked, held = configuration.flat(entry.config), configuration.flat(run.config)
        keys = [key for key in {**asked, **held} if not key.startswith("run.")]
        for key in keys:
            if asked.get(key) != held.get(key):
                raise InputError(
                    f"{str(run.folder)!r} holds a run of another configuration: {key} is "
                    f"{held.get(key)!r} there, {asked.get(key)!r} is asked for; name another root"
                )


def begun(folder: Path) -> bool:
    """Whether there is anything but what a kill leaves before a run begins."""
    if not folder.is_dir():
        return folder.exists()
    return any(folder.iterdir()) and not runs.never_begun(folder)


def _composed(
    base: list[str], ids: Sequence[str], variants: Sequence[Variant]
) -> list[tuple[list[str], Config]]:
    """Labels and configuration of each environment and variant, environments outermost.

    Composing takes most of a second, so environments share it where no option is theirs.
    """
    own_options = any(word.startswith("env.options.") for word in base)
    found = []
    for labels, words in variants:
        shared = None
        for env_id in ids:
            if shared is None or own_options:
                shared = configuration.compose([*base, *words, f"env.id={env_id}"])
            config = copy.deepcopy(shared)
            config.env.id = env_id
            found.append(([plugins.bare(env_id), *labels], config))
    return sorted(found, key=lambda one: ids.index(one[1].env.id))


def _entry(composed: Config, labels: Sequence[str], seed: int, root: Path) -> Entry:
    own = copy.deepcopy(composed)
    name = "-".join([*labels, f"seed{seed}"]).replace(":", "-").replace("/", "-")
    own.seed, own.seeds, own.run.dir = seed, 1, str(root / name)
    return Entry(own, root / name)


def _plainly_same(entry: Entry) -> bool:
    """Whether the saved text is the configuration; quicker than loading it, and may say no."""
    file = entry.folder / runs.CONFIG_FILE
    if not file.is_file():
        return False
    raw: dict[str, Any] = config_yaml.read(file)
    return _lasting(raw) == _lasting(dataclasses.asdict(entry.config))


def _lasting(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tree.items() if key != "run"}
