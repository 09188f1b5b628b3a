"""A recording from wherever it lies."""

from pathlib import Path

from rlseq.data.minari import is_minari, load_minari
from rlseq.data.npz import load_npz
from rlseq.data.recording import Recording
from rlseq.errors import InputError


def load_recording(path: str | Path) -> Recording:
    """The recording of a file that `rlseq record` wrote, or of the folder of a Minari data set.

    Raises InputError for what is neither, is not there or is damaged.
    """
    path = Path(path)
    if is_minari(path):
        return load_minari(path)
    if path.is_dir():
        raise InputError(f"{str(path)!r} is a folder without data/main_data.hdf5, as Minari has it")
    if not path.exists():
        raise InputError(f"no such file: {str(path)!r}; `rlseq record RUN --out FILE` makes one")
    return load_npz(path)
