"""Many runs from one command line, by Hydra's launchers and sweepers."""

import os
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rlseq import config as configuration
from rlseq.errors import InputError
from rlseq.train import loop


def multirun(overrides: list[str]) -> None:
    """One run for each combination of `key=a,b`, all below `<run.root>/sweep-<date-time>`.

    Raises InputError for a configuration that does not compose, and what `loop.train` raises: the
    first run that fails or is interrupted ends the sweep.
    """
    configuration.register_groups()
    root = next((text[9:] for text in overrides if text.startswith("run.root=")), "runs")
    folder = Path(root) / f"sweep-{time.strftime('%Y%m%d-%H%M%S')}"
    ours = [f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=.", "hydra.output_subdir=null"]
    ours += ["hydra/job_logging=disabled", f"hydra.run.dir={folder}"]
    entry = hydra.main(f"pkg://{configuration.CONFIG_MODULE}", "config", version_base="1.3")(_job)
    arguments, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [arguments[0], "--multirun", *configuration.opened(overrides), *ours]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors itself and exits with 1
    try:
        entry()
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(str(error).strip()) from error
    finally:
        sys.argv = arguments
        os.environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _job(composed: DictConfig) -> None:
    config = configuration.finish(composed)
    config.run.root = HydraConfig.get().sweep.dir
    loop.train(config)
