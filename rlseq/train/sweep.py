"""Many runs from one command line, by Hydra's launchers and sweepers."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rlseq import config as configuration
from rlseq import config_plugins, overrides, schema
from rlseq.errors import InputError
from rlseq.train import loop


def multirun(words: list[str]) -> None:
    """One run for each combination of `key=a,b`, all below `<run.root>/sweep-<date-time>`.

    Raises InputError for a configuration that does not compose, whichever of the sweep's, before
    the first run starts, and what `loop.train` raises: the first run that fails or is interrupted
    ends the sweep.
    """
    split = config_plugins.take(overrides.split(words))
    schema.register_groups()
    if "run.dir" in split.paths:
        raise InputError("run.dir is one folder, and a sweep makes several: name run.root")
    if any(word.startswith("run.distributed=") for word in split.hydra):
        raise InputError("run.distributed joins processes for one run, and a sweep makes several")
    own = {key: value for key, value in split.paths.items() if key != "run.root"}
    for one in _each_value(split.hydra):
        configuration.compose(one)
    folder = Path(split.paths.get("run.root") or "runs") / f"sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    place = overrides.quoted(str(folder))
    ours = [f"hydra.sweep.dir={place}", "hydra.sweep.subdir=.", "hydra.output_subdir=null"]
    ours += ["hydra/job_logging=disabled", f"hydra.run.dir={place}"]
    main = hydra.main(f"pkg://{configuration.CONFIG_MODULE}", "config", version_base="1.3")
    entry = main(_job_with(own))
    arguments, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [arguments[0], "--multirun", *split.hydra, *ours]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors itself and exits with 1
    try:
        entry()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(" ".join(str(error).split())) from error
    finally:
        sys.argv = arguments
        os.environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _each_value(words: list[str]) -> Iterator[list[str]]:
    """Overrides without sweeps, such that every value of every sweep stands in one of them."""
    parsed = overrides.parse(words)
    choices = [
        [f"{one.key_or_group}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [word.removeprefix("++")]
        for one, word in zip(parsed, words, strict=True)
    ]
    first = [values[0] for values in choices]
    yield first
    for i, values in enumerate(choices):
        for value in values[1:]:
            yield [*first[:i], value, *first[i + 1 :]]


def _job_with(paths: dict[str, Any]) -> Callable[[DictConfig], None]:
    """One run of the sweep, with what Hydra does not parse put into each."""

    def job(composed: DictConfig) -> None:
        config = configuration.finish(composed, paths)
        configuration.name_experiment(config, list(HydraConfig.get().overrides.task))
        config.run.root = HydraConfig.get().sweep.dir
        loop.train(config)

    return job
