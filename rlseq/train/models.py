"""Model folders: one policy in the form of the Hugging Face Hub, to share and to act with.

`model.safetensors` holds what acting needs, an array a name, with the step of its checkpoint and a
checksum; `config.yaml` the configuration, without paths of a machine. Beside them are `README.md`,
the model card, `env.txt` and `episodes.jsonl` of the run, and perhaps `policy.stablehlo` and
`policy.json` (`rlseq.train.stablehlo`). Reading them runs no code but plug-ins that were allowed.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlseq import config as configuration
from rlseq.errors import InputError
from rlseq.train import build, files, runs
from rlseq.train import leaves as leaves_of
from rlseq.train.logging import EPISODES
from rlseq.train.runs import CONFIG_FILE, ENVIRONMENT_FILE, MODEL_FILE, Run
from rlseq.types import Params

CARD, PROGRAM, SIGNATURE = "README.md", "policy.stablehlo", "policy.json"
NEEDED = (CONFIG_FILE, MODEL_FILE)
FILES = (*NEEDED, CARD, ENVIRONMENT_FILE, EPISODES, PROGRAM, SIGNATURE)
_FORMAT = {"format": "rlseq", "version": "1"}


class Weights(NamedTuple):
    """The arrays of a model by their names in the agent's policy parameters."""

    arrays: dict[str, np.ndarray]
    step: int  # environment steps of the checkpoint


def is_model(folder: Path) -> bool:
    """Whether a folder is a model, perhaps one that lacks a file, and no run."""
    found = [(folder / name).is_file() for name in (MODEL_FILE, CARD)]
    return any(found) and not (folder / "checkpoints").is_dir()


def open_trained(path: str | Path) -> Run:
    """A run folder or a model folder, to act with. Raises InputError for what is neither."""
    folder = Path(path)
    if not is_model(folder):
        return runs.open_run(folder)
    check_files(folder)
    run = Run(folder, configuration.load(folder / CONFIG_FILE))
    if run.config.seeds != 1:
        raise InputError(
            f"{folder / CONFIG_FILE}: a model is the policy of one seed, got {run.config.seeds}"
        )
    return run


def check_files(folder: Path) -> None:
    """Raise InputError for a model that lacks a file that acting needs."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise InputError(f"the model in {str(folder)!r} lacks {' and '.join(missing)}")


def load(run: Run, step: int | None = None) -> tuple[build.Job, Params, int]:
    """(job, policy parameters [1, ...], step) of a model.

    Raises InputError for weights that are damaged, do not fit the configuration or are of another
    step than asked for; nothing is compiled.
    """
    weights = read_weights(run.folder)
    if step not in (None, weights.step):
        raise InputError(
            f"the model in {str(run.folder)!r} is of step {weights.step}, not of step {step}"
        )
    job = build.build_to_act(run.config)
    like = jax.eval_shape(jax.vmap(job.agent.policy_params), build.abstract_state(job))
    wanted = leaves_of.flatten(like)
    _check_fit(run.folder, weights.arrays, wanted)
    loaded = [jnp.asarray(weights.arrays[name])[None] for name in wanted]
    return job, jax.tree.unflatten(jax.tree.structure(like), loaded), weights.step


def write_weights(folder: Path, params: Params, step: int) -> None:
    """Policy parameters as the folder's `model.safetensors`. Raises CannotWrite."""
    from safetensors.numpy import save

    arrays, _ = leaves_of.to_host(params)
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    about = {**_FORMAT, "step": str(step), "sha256": _checksum(arrays, str(step))}
    files.write_atomic(folder / MODEL_FILE, save(arrays, about))


def read_weights(folder: Path) -> Weights:
    """Those of a model folder. Raises InputError where they are missing, damaged or not ours."""
    from safetensors import SafetensorError, safe_open

    path = folder / MODEL_FILE
    check_files(folder)
    try:
        with safe_open(path, framework="np") as opened:
            about = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        fault = str(error).strip().split("\n")[0]
        raise InputError(f"{str(path)!r} is damaged or no safetensors file: {fault}") from None
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {files.reason(error)}") from None
    if {key: about.get(key) for key in _FORMAT} != _FORMAT:
        raise InputError(
            f"{str(path)!r} was not written by `rlseq export --to`: its metadata lack "
            f"{', '.join(f'{key}={value}' for key, value in _FORMAT.items())}"
        )
    step = about.get("step", "")
    if not (step.isascii() and step.isdigit()) or about.get("sha256") != _checksum(arrays, step):
        raise InputError(f"{str(path)!r} is damaged: the checksum of its weights is wrong")
    return Weights(arrays, int(step))


def _checksum(arrays: dict[str, np.ndarray], step: str) -> str:
    """SHA-256 of names, shapes, dtypes, bytes and the step: safetensors itself keeps none."""
    digest = hashlib.sha256(step.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype.name} {list(array.shape)}\n".encode())
        digest.update(np.asarray(array, order="C").tobytes())
    return digest.hexdigest()


def _check_fit(folder: Path, arrays: dict[str, np.ndarray], wanted: dict[str, Any]) -> None:
    for name in [*wanted, *(name for name in arrays if name not in wanted)]:
        here = (
            f"{list(wanted[name].shape[1:])} {wanted[name].dtype}" if name in wanted else "absent"
        )
        there = f"{list(arrays[name].shape)} {arrays[name].dtype}" if name in arrays else "absent"
        if here != there:
            raise InputError(
                f"the weights in {str(folder)!r} do not fit its {CONFIG_FILE}: {name} is {there} "
                f"in {MODEL_FILE} and {here} in the configured agent"
            )
