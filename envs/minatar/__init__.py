"""The five MinAtar games (Young and Tian, 1903.03176) as gymnax has them, seen whole or in part.

A masked game hides the channels that show directions, so that these follow from two observations
only; a flickering one loses every other observation (Hausknecht and Stone, 1507.06527).
"""

from rlseq.envs.family import Entry, TableFamily

# game -> channels that show directions and speeds; ours, after each game's list of channels
MOTION = {
    "Asterix": (2,),
    "Breakout": (2,),
    "Freeway": (2, 3, 4, 5, 6),
    "Seaquest": (1, 3),
    "SpaceInvaders": (2, 3),
}
GAME = "rlseq.envs.minatar.game:MinAtar"

FAMILY = TableFamily(
    "minatar",
    table={
        name: Entry(GAME, options)
        for game, motion in MOTION.items()
        for name, options in (
            (game, {"game": game}),
            (f"{game}Masked", {"game": game, "masked": motion}),
            (f"{game}Flickering", {"game": game, "flicker": 0.5}),
        )
    },
    aliases={},
)
