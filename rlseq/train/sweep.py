"""Many runs from one command line, by Hydra's launchers and sweepers."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from omegaconf import DictConfig

from rlseq import config as configuration
from rlseq import config_plugins, overrides, plugins, schema
from rlseq.errors import InputError
from rlseq.train import loop
from rlseq.train.campaign import launchers
from rlseq.train.campaign.plan import Entry

_HYDRA = ("hydra.", "hydra/")  # begin keys of Hydra itself
_SEARCHPATH = "hydra.searchpath="


def multirun(words: list[str]) -> list[str]:
    """One run for each combination of `key=a,b`, all below `<run.root>/sweep-<date-time>`.

    With `hydra/launcher=NAME` they are jobs of that launcher, and what is returned are the names
    and errors of those that failed. Without one they run here, one after another: the first that
    fails or is interrupted ends the sweep.

    Raises InputError for a configuration that does not compose, whichever of the sweep's, before
    the first run starts, what `loop.train` raises, and with a launcher what `launchers.run` does.
    """
    split = config_plugins.take(overrides.split(words))
    schema.register_groups()
    if "run.dir" in split.paths:
        raise InputError("run.dir is one folder, and a sweep makes several: name run.root")
    if any(word.startswith("run.distributed=") for word in split.hydra):
        raise InputError("run.distributed joins processes for one run, and a sweep makes several")
    root = split.paths.pop("run.root", None) or "runs"
    folder = Path(root) / f"sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    launcher = _launcher(split.hydra)
    if launcher is not None:
        entries = _entries(words, folder)
        return launchers.run(entries, launcher, f"rlseq resume {folder}/NAME")
    for one in _each_value(split.hydra):
        configuration.compose(one)
    asked = [*split.hydra, *launchers.folder_words(folder)]
    launchers.hydra_multirun(_job_with(split.paths), "config", asked)
    return []


def _launcher(words: list[str]) -> launchers.Launcher | None:
    """The launcher that words of a command line name, but for Hydra's basic one."""
    named = [word.partition("=")[2] for word in words if word.startswith(f"{launchers.GROUP}=")]
    if not named or named[-1] == launchers.BASIC:
        return None
    own = [word for word in words if word.startswith("hydra.") and not _is_path(word)]
    return launchers.find(named[-1], own)


def _entries(words: list[str], folder: Path) -> list[Entry]:
    """The jobs of a sweep: every combination, the last key first, as Hydra's sweeper has it."""
    own = [word for word in words if not word.startswith(_HYDRA) or _is_path(word)]
    own = [word for word in own if not word.startswith("run.root=")]
    split = overrides.split(own)
    typed = [word for word in own if word.partition("=")[0] in split.paths]
    choices = [_values(one, word) for one, word in _parsed(split.hydra)]
    found = []
    for number, chosen in enumerate(itertools.product(*choices)):
        config = configuration.compose([*chosen, *typed])
        names = map(plugins.bare, (config.env.id, config.core["name"], config.agent["name"]))
        stem = "-".join([*names, str(number)]).replace(":", "-").replace("/", "-")
        config.run.dir = str(folder / stem)
        found.append(Entry(config, folder / stem))
    return found


def _is_path(word: str) -> bool:
    """Whether a word says where configurations are, which launchers need not know."""
    return word.startswith(_SEARCHPATH)


def _each_value(words: list[str]) -> Iterator[list[str]]:
    """Overrides without sweeps, such that every value of every sweep stands in one of them."""
    choices = [_values(one, word) for one, word in _parsed(words)]
    first = [values[0] for values in choices]
    yield first
    for i, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:i], value, *first[i + 1 :]]


def _parsed(words: list[str]) -> Iterator[tuple[Override, str]]:
    return zip(overrides.parse(words), words, strict=True)


def _values(one: Override, word: str) -> list[str]:
    """The words of a sweep's values, or the word itself where it is no sweep."""
    if one.is_sweep_override():
        if isinstance(one.value(), IntervalSweep | Glob):
            raise InputError(f"{one.input_line}: a sweep needs single values; see `rlseq search`")
        return [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()]
    return [word.removeprefix("++")]


def _job_with(paths: dict[str, Any]) -> Callable[[DictConfig], None]:
    """One run of the sweep, with what Hydra does not parse put into each."""

    def job(composed: DictConfig) -> None:
        config, own = configuration.finish(composed, paths), HydraConfig.get()
        words = list(own.overrides.task)
        configuration.name_experiment(config, words)
        config.run.root = own.sweep.dir
        if not config.run.quiet:
            print(f"#{own.job.num}: {' '.join(words)}", flush=True)
        loop.train(config)

    return job
