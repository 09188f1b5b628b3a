"""The 26 Atari games of the Atari100k benchmark (Kaiser et al., 1903.00374) on ALE's emulator.

Nothing here imports the emulator, so that listing names is quick.
"""

import importlib.util
import re
from importlib import metadata
from typing import Annotated, Any

from rlseq import fields
from rlseq.envs.atari.presets import PRESETS, Preset, choose
from rlseq.envs.atari.scores import REFERENCES
from rlseq.errors import InputError, check_names, unknown_name
from rlseq.fields import OneOf, Range
from rlseq.types import BatchedFamily, EnvSpec, VecEnv

GAMES = tuple(REFERENCES)
Backend = Annotated[str, OneOf(("ffi", "callback"))]
PresetName = Annotated[str, OneOf(PRESETS, "atari preset")]
Threads = Annotated[int, Range(0, 1024)]
OPTIONS = ("preset", "backend", "num_threads")


def snake_case(game: str) -> str:
    """ALE's own name of a game: "up_n_down" for "UpNDown"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", game).lower()


class AtariFamily:
    """Games by their usual names, "KungFuMaster" or "kung_fu_master"."""

    def ids(self) -> list[str]:
        """The names after "atari:"."""
        return list(GAMES)

    def about(self, name: str) -> str:
        """A line on a game, for lists."""
        random, human = REFERENCES[name]
        return f"Atari game on ALE's emulator; random play {random:g}, human {human:g}"

    def options(self, name: str) -> dict[str, Any]:
        """Option -> declared type."""
        own = fields.of(self.make_batch)
        return fields.of(Preset) | {key: own[key] for key in OPTIONS}

    def make_batch(
        self,
        name: str,
        num_envs: int,
        *,
        preset: PresetName = "atari100k",
        backend: Backend = "ffi",
        num_threads: Threads = 0,
        action_log: int = 0,
        evaluation: bool = False,
        **settings: Any,
    ) -> VecEnv:
        """E = num_envs copies of a game, played as `preset` says; 0 threads is one a core.

        `settings` are fields of `rlseq.envs.atari.presets.Preset`. For `evaluation`, games are
        whole and scores raw: no clipped rewards, no ends by lost lives. `action_log` is the L of
        `rlseq.envs.action_log`; 0 keeps none.

        Raises InputError for an unknown game, preset, backend or setting (naming the nearest), a
        setting that breaks the preset's name, more games than memory allows, and when ale-py is
        not installed.
        """
        games = {snake_case(game): game for game in GAMES} | {game: game for game in GAMES}
        if name not in games:
            raise unknown_name("atari environment", name, games)
        check_names(f"option of atari:{name}", settings, [*OPTIONS, *Preset._fields])
        chosen = choose(preset, settings)
        if importlib.util.find_spec("ale_py") is None:
            raise InputError("the atari environments need ale-py: pip install 'ale-py>=0.12,<0.13'")

        from rlseq.envs.atari.vec import AtariVecEnv

        if evaluation:
            chosen = chosen._replace(clip=False, life_loss=False)
        game = games[name]
        spec = EnvSpec(
            f"atari:{name}", None, None, True, None, REFERENCES[game], _settings(preset, chosen)
        )
        return AtariVecEnv(
            snake_case(game), num_envs, chosen, backend, num_threads, spec, action_log
        )


def _settings(name: str, preset: Preset) -> str:
    values = ", ".join(f"{key} {value}" for key, value in preset._asdict().items())
    return f"{name} ({values}), ale-py {metadata.version('ale-py')}"


FAMILY: BatchedFamily = AtariFamily()
