"""Scores of random play and of a human in the 26 games of Atari100k: whole games, raw scores.

Wang et al. (1511.06581), tables of the appendix for starts with up to 30 idle frames, as dqn_zoo
and rliable hold them: the constants behind the published human-normalised scores of Atari100k.
"""

from rlseq.types import Reference

REFERENCES = {
    "Alien": Reference(227.8, 7127.7),
    "Amidar": Reference(5.8, 1719.5),
    "Assault": Reference(222.4, 742.0),
    "Asterix": Reference(210.0, 8503.3),
    "BankHeist": Reference(14.2, 753.1),
    "BattleZone": Reference(2360.0, 37187.5),
    "Boxing": Reference(0.1, 12.1),
    "Breakout": Reference(1.7, 30.5),
    "ChopperCommand": Reference(811.0, 7387.8),
    "CrazyClimber": Reference(10780.5, 35829.4),
    "DemonAttack": Reference(152.1, 1971.0),
    "Freeway": Reference(0.0, 29.6),
    "Frostbite": Reference(65.2, 4334.7),
    "Gopher": Reference(257.6, 2412.5),
    "Hero": Reference(1027.0, 30826.4),
    "Jamesbond": Reference(29.0, 302.8),
    "Kangaroo": Reference(52.0, 3035.0),
    "Krull": Reference(1598.0, 2665.5),
    "KungFuMaster": Reference(258.5, 22736.3),
    "MsPacman": Reference(307.3, 6951.6),
    "Pong": Reference(-20.7, 14.6),
    "PrivateEye": Reference(24.9, 69571.3),
    "Qbert": Reference(163.9, 13455.0),
    "RoadRunner": Reference(11.5, 7845.0),
    "Seaquest": Reference(68.4, 42054.7),
    "UpNDown": Reference(533.4, 11693.2),
}


def human_normalised(game: str, score: float) -> float:
    """A mean return of a game ("KungFuMaster") in human units. Raises KeyError for another game."""
    return REFERENCES[game].normalised(score)
