"""Games and seeds of one experiment, as benchmarks of Atari have them: a campaign of one core."""

from collections.abc import Sequence
from pathlib import Path

from rlseq import config as configuration
from rlseq import plugins
from rlseq.envs import env_ids
from rlseq.envs.atari import GAMES
from rlseq.envs.minatar import MOTION
from rlseq.errors import InputError, check_names
from rlseq.train.campaign import plan
from rlseq.train.campaign.plan import Entry

# What `all` stands for: the games of Kaiser et al. 1903.00374 and of 1903.03176, seen whole.
WHOLE = {"atari": tuple(GAMES), "minatar": tuple(MOTION)}
_SET_HERE = {"env.id": "--games", "seeds": "--seeds", "run.dir": "--root", "run.root": "--root"}


def entries(
    experiment: str,
    games: Sequence[str],
    seeds: int,
    root: Path | None = None,
    overrides: Sequence[str] = (),
) -> list[Entry]:
    """The jobs in running order: the first seed of every game, then the next.

    Args:
        experiment: a name of `configs/experiment/`.
        games: names of the experiment's family, environment ids, or "all".
        seeds: how many for each game, counted on from the experiment's `seed`.
        root: the folder of the run folders; without it, `runs/<experiment>-<core>`.
        overrides: `key=value`, for every run.

    Raises InputError for unknown names and for keys that the other arguments set.
    """
    plan.refuse(overrides, _SET_HERE)
    words = [f"experiment={experiment}", *overrides]
    composed = configuration.compose(words)
    ids = env_ids_of(games, composed.env.id.split(":")[0])
    core = plugins.bare(composed.core["name"]).replace(":", "-")
    root = root or Path("runs") / f"{experiment}-{core}"
    counted = range(composed.seed, composed.seed + seeds)
    return plan.entries(words, ids, [plan.Variant((), [])], counted, root)


def env_ids_of(games: Sequence[str], family: str) -> list[str]:
    """Environment ids of games: "all", names of `family` or whole ids. Raises InputError."""
    names = list(dict.fromkeys(games))
    if names == ["all"]:
        if family not in WHOLE:
            raise InputError(f"`all` is known for {', '.join(WHOLE)}, not for {family}: name them")
        names = list(WHOLE[family])
    ids = [name if ":" in name else f"{family}:{name}" for name in names]
    check_names("game", ids, env_ids(missing=True))
    return plan.matching(ids)  # which names the extra of a family that is not installed
