"""The 26 Atari games of the Atari100k benchmark (Kaiser et al., 1903.00374) on ALE's emulator.

Nothing here imports the emulator, so that names can be listed at once.
"""

import importlib.util
import re

from rlseq.envs.atari.presets import PRESETS
from rlseq.errors import InputError, unknown_name
from rlseq.types import VecEnv

GAMES = (
    "Alien", "Amidar", "Assault", "Asterix", "BankHeist", "BattleZone", "Boxing", "Breakout",
    "ChopperCommand", "CrazyClimber", "DemonAttack", "Freeway", "Frostbite", "Gopher", "Hero",
    "Jamesbond", "Kangaroo", "Krull", "KungFuMaster", "MsPacman", "Pong", "PrivateEye", "Qbert",
    "RoadRunner", "Seaquest", "UpNDown",
)  # fmt: skip
BACKENDS = ("ffi", "callback")


def snake_case(game: str) -> str:
    """ALE's own name of a game: "up_n_down" for "UpNDown"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", game).lower()


class AtariFamily:
    """Games by their usual names, "KungFuMaster" or "kung_fu_master"."""

    def ids(self) -> list[str]:
        """The names after "atari:"."""
        return list(GAMES)

    def make_batch(
        self,
        name: str,
        num_envs: int,
        *,
        preset: str = "atari100k",
        backend: str = "ffi",
        life_loss: bool | None = None,
        num_threads: int = 0,
    ) -> VecEnv:
        """E = num_envs copies of a game, played as `preset` says; 0 threads is one a core.

        `life_loss` replaces the preset's word on whether a lost life ends an episode for the
        learner. Raises InputError for an unknown game, preset or backend (naming the nearest),
        for num_envs below 1 or num_threads below 0, and when ale-py is not installed.
        """
        games = {snake_case(game): snake_case(game) for game in GAMES}
        games |= {game: snake_case(game) for game in GAMES}
        for kind, given, known in (
            ("atari environment", name, games),
            ("atari preset", preset, PRESETS),
            ("atari backend", backend, BACKENDS),
        ):
            if given not in known:
                raise unknown_name(kind, given, known)
        if num_envs < 1 or num_threads < 0:
            given = f"num_envs = {num_envs}, num_threads = {num_threads}"
            raise InputError(f"num_envs must be at least 1 and num_threads at least 0, got {given}")
        if importlib.util.find_spec("ale_py") is None:
            raise InputError("the atari environments need ale-py: pip install 'ale-py>=0.12,<0.13'")

        from rlseq.envs.atari.vec import AtariVecEnv

        chosen = PRESETS[preset]
        if life_loss is not None:
            chosen = chosen._replace(life_loss=life_loss)
        return AtariVecEnv(games[name], num_envs, chosen, backend, num_threads, f"atari:{name}")


FAMILY = AtariFamily()
