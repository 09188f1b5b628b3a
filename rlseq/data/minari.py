"""Data sets in Minari's layout on disk (minari.farama.org, format "hdf5"), read as they are."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from rlseq.data.recording import Recording, check_recording
from rlseq.errors import InputError
from rlseq.types import DataScores, PyTree

_FILE = Path("data/main_data.hdf5")
_METADATA = Path("data/metadata.json")
_EPISODE = re.compile(r"episode_(\d+)")
_ENTRY = re.compile(r"_index_(\d+)")  # how Minari names the entries of a tuple
# What of metadata.json is of use to somebody who reads a recording.
_KEPT = ("dataset_id", "env_spec", "ref_min_score", "ref_max_score", "minari_version")


def is_minari(path: Path) -> bool:
    """Whether a path is the folder of a data set."""
    return (path / _FILE).is_file()


def load_minari(path: Path) -> Recording:
    """The recording of a data set's folder; an episode without an end counts as cut.

    The observation after the last action of an episode is left out. Raises InputError for a
    damaged data set, and where h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{str(path)!r} is a Minari data set, and reading it needs h5py: "
            "pip install 'rlseq[minari]'"
        ) from error
    try:
        about = json.loads((path / _METADATA).read_text())
        with h5py.File(path / _FILE) as stored:
            names = sorted(filter(_EPISODE.fullmatch, stored), key=lambda n: int(n[8:]))
            episodes = [_episode(stored[name]) for name in names]
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{str(path)!r} is no Minari data set: {error}") from error
    if not episodes:
        raise InputError(f"{str(path)!r} holds no episode")
    kept = {key: about[key] for key in _KEPT if key in about}
    return check_recording(_joined(episodes, kept), repr(str(path)))


def minari_scores(path: Path) -> DataScores | None:
    """The reference scores of a data set's folder; None where it names none or cannot be read."""
    try:
        about = json.loads((path / _METADATA).read_text())
        scores = DataScores(float(about["ref_min_score"]), float(about["ref_max_score"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return scores if math.isfinite(scores.high - scores.low) and scores.high > scores.low else None


def _episode(group: Any) -> Recording:
    rewards = np.asarray(group["rewards"], np.float32)
    steps = len(rewards)
    terminated = np.asarray(group["terminations"], bool)
    truncated = np.asarray(group["truncations"], bool)
    if steps and not terminated[-1]:
        truncated[-1] = True
    obs = _tree(group["observations"], steps)
    return Recording(obs, _tree(group["actions"], steps), rewards, terminated, truncated, {})


def _tree(stored: Any, steps: int) -> PyTree:
    """A data set's first rows, or those of a group as a dict or, by its names, a tuple."""
    if not hasattr(stored, "keys"):
        return np.asarray(stored[:steps])
    parts = {key: _tree(stored[key], steps) for key in stored}
    if parts and all(map(_ENTRY.fullmatch, parts)):
        return tuple(parts[f"_index_{i}"] for i in range(len(parts)))
    return parts


def _joined(episodes: list[Recording], about: dict[str, Any]) -> Recording:
    import jax

    bare = [episode._replace(about={}) for episode in episodes if episode.steps]
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *bare)
    return joined._replace(about=about)
