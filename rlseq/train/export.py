"""What a run learned, written for others: arrays for NumPy, or a model folder to share."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlseq import config as configuration
from rlseq import config_plugins
from rlseq.config import Config
from rlseq.envs.spaces import describe
from rlseq.errors import InputError
from rlseq.train import (
    build,
    evaluate,
    files,
    logging,
    model_card,
    models,
    runs,
    stablehlo,
)
from rlseq.train import leaves as leaves_of
from rlseq.train.command import portable, train_command
from rlseq.train.policy import Policy
from rlseq.types import PyTree


def export_run(path: str | Path, out: Path, *, step: str | None = None) -> tuple[Path, Path]:
    """Write a run's weights, axis 0 the seeds: (.npz, .json). Raises InputError."""
    if out.suffix != ".npz":
        raise InputError(
            f"the weights need a file name that ends in .npz, got {str(out)!r}; a folder to share "
            "is --to FOLDER"
        )
    run = models.open_trained(path)
    _, params, at = evaluate.load_params(run, evaluate.checkpoint_step(run, step))
    about = {"step": at, "first_axis": "seed", "config": dataclasses.asdict(run.config)}
    write_arrays(out, params, about)
    return out, out.with_suffix(".json")


def write_arrays(path: Path, tree: PyTree, about: dict[str, Any]) -> None:
    """Arrays as a flat `.npz` (names with slashes) and beside it a `.json` that describes them.

    NumPy alone reads both; what it has no dtype for (bfloat16) is widened to float32. Raises
    InputError if either file exists, CannotWrite with neither written.
    """
    described = path.with_suffix(".json")
    for target in (path, described):
        files.check_new(target)
    arrays, leaves = leaves_of.to_host(tree)
    plain = {k: v if v.dtype.kind != "V" else v.astype(np.float32) for k, v in arrays.items()}
    listed = {k: {"shape": leaf.shape, "dtype": leaf.dtype} for k, leaf in leaves.items()}
    files.write_atomic(described, json.dumps({**about, "arrays": listed}, indent=2) + "\n")
    try:
        with files.replacing(path) as file:
            np.savez(file, allow_pickle=False, **plain)
    except BaseException:
        files.remove(described)
        raise


def export_model(
    path: str | Path,
    folder: Path,
    *,
    seed_index: int = 0,
    step: str | None = None,
    licence: str | None = None,
    program: bool = False,
    batch: int | None = None,
) -> list[Path]:
    """Write the policy of one seed as a model folder (`rlseq.train.models`); its files.

    Args:
        path: a run folder or a model folder.
        folder: a new one; it is there whole or not at all.
        seed_index: which of the run's seeds.
        step: of the checkpoint, or "best"; the newest without it.
        licence: an identifier of the Hugging Face Hub for the model card; none without it.
        program: also `policy.stablehlo` and `policy.json`.
        batch: the fixed number of observations that the program takes; any without it.

    Raises InputError for a folder that exists, as `rlseq.load_policy`, and for a policy that makes
    no program; and CannotWrite.
    """
    files.check_new(folder)
    licence = None if licence is None else model_card.licence_of(licence)
    if batch is not None and not program:
        raise InputError("--batch is of the program that --stablehlo writes")
    run = models.open_trained(path)
    job, params, at = evaluate.load_params(run, evaluate.checkpoint_step(run, step))
    evaluate.check_seed(job, seed_index)
    params = jax.tree.map(lambda leaf: leaf[seed_index], params)
    policy = Policy(job.agent, params, build.make_env(job.config.env, 1).spec.obs_space)
    texts: dict[str, str | bytes] = {**stablehlo.export(policy, batch)} if program else {}
    config = portable(run.config, seed_index)
    rows = _episodes(run, at, config.seed)
    facts = _facts(run, policy, config, at, seed_index, licence, rows, program)
    texts |= {runs.CONFIG_FILE: configuration.to_yaml(config), models.CARD: model_card.card(facts)}
    if (run.folder / runs.ENVIRONMENT_FILE).exists():
        texts[runs.ENVIRONMENT_FILE] = files.read(run.folder / runs.ENVIRONMENT_FILE)
    with files.new_folder(folder) as beside:
        models.write_weights(beside, params, at)
        for name, text in texts.items():
            files.write_atomic(beside / name, text)
        if rows:
            logging.append(beside / logging.EPISODES, rows)
    return sorted(folder.iterdir())


def _episodes(run: runs.Run, step: int, seed: int) -> list[logging.Row]:
    rows = logging.read(run.folder / logging.EPISODES)
    return [row for row in rows if (row["step"], row["seed"]) == (step, seed)]


def _facts(
    run: runs.Run, policy: Policy, config: Config, at: int, seed_index: int,
    licence: str | None, rows: list[logging.Row], program: bool,
) -> model_card.Facts:  # fmt: skip
    init_from = run.config.init_from
    raw: dict[str, Any] = dataclasses.asdict(config)
    return model_card.Facts(
        config=config,
        command=train_command(run.config),
        step=at,
        seed_index=seed_index,
        seeds=run.config.seeds,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(policy.params)),
        spaces=(
            describe(policy.obs_space),
            describe(policy.agent.env.spec.action_space),
        ),
        environment=runs.read_environment_info(run.folder),
        rows=rows,
        licence=licence,
        init_from=None if init_from is None else Path(init_from).name,
        plugins=config_plugins.modules(raw),
        program=program,
    )
