"""POPGym's environments in JAX, exact to popgym 1.0.7 (Morad et al., 2303.01859).

A new family is one file and one line of `LEVELS`.
"""

from typing import Any

from rlseq.envs.family import Entry, TableFamily

# family -> (where its class is, options of Easy, Medium and Hard; source: popgym 1.0.7)
LEVELS: dict[str, tuple[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]] = {
    "RepeatPrevious": (
        "repeat_previous:RepeatPrevious",
        ({"num_decks": 1, "k": 4}, {"num_decks": 2, "k": 32}, {"num_decks": 3, "k": 64}),
    ),
    "RepeatFirst": (
        "repeat_first:RepeatFirst",
        ({"num_decks": 1}, {"num_decks": 8}, {"num_decks": 16}),
    ),
    "CountRecall": (
        "count_recall:CountRecall",
        (
            {"num_decks": 1, "deck_type": "colors"},
            {"num_decks": 2, "deck_type": "suits"},
            {"num_decks": 4, "deck_type": "ranks"},
        ),
    ),
    "MineSweeper": (
        "minesweeper:MineSweeper",
        (
            {"size": 4, "num_mines": 2},
            {"size": 6, "num_mines": 6},
            {"size": 8, "num_mines": 10},
        ),
    ),
    "Battleship": (
        "battleship:Battleship",
        ({"board_size": 8}, {"board_size": 10}, {"board_size": 12}),
    ),
    "LabyrinthEscape": (
        "labyrinth_escape:LabyrinthEscape",
        ({"maze_dims": 10}, {"maze_dims": 14}, {"maze_dims": 18}),
    ),
    "LabyrinthExplore": (
        "labyrinth_explore:LabyrinthExplore",
        ({"maze_dims": 10}, {"maze_dims": 14}, {"maze_dims": 18}),
    ),
    "PositionOnlyCartPole": (
        "position_only_cartpole:PositionOnlyCartPole",
        ({"max_steps": 200}, {"max_steps": 400}, {"max_steps": 600}),
    ),
    "VelocityOnlyCartPole": (
        "velocity_only_cartpole:VelocityOnlyCartPole",
        ({"max_steps": 200}, {"max_steps": 400}, {"max_steps": 600}),
    ),
    "NoisyPositionOnlyCartPole": (
        "noisy_position_only_cartpole:NoisyPositionOnlyCartPole",
        ({"noise_sigma": 0.1}, {"noise_sigma": 0.2}, {"noise_sigma": 0.3}),
    ),
    "PositionOnlyPendulum": (
        "position_only_pendulum:PositionOnlyPendulum",
        ({"max_steps": 200}, {"max_steps": 150}, {"max_steps": 100}),
    ),
    "NoisyPositionOnlyPendulum": (
        "noisy_position_only_pendulum:NoisyPositionOnlyPendulum",
        ({"noise_sigma": 0.1}, {"noise_sigma": 0.2}, {"noise_sigma": 0.3}),
    ),
    "Autoencode": (
        "autoencode:Autoencode",
        ({"num_decks": 1}, {"num_decks": 2}, {"num_decks": 3}),
    ),
    "HigherLower": (
        "higher_lower:HigherLower",
        ({"num_decks": 1}, {"num_decks": 2}, {"num_decks": 3}),
    ),
    "MultiarmedBandit": (
        "multiarmed_bandit:MultiarmedBandit",
        (
            {"num_arms": 10, "max_steps": 200},
            {"num_arms": 20, "max_steps": 400},
            {"num_arms": 30, "max_steps": 600},
        ),
    ),
    "Concentration": (
        "concentration:Concentration",
        (
            {"num_decks": 1, "deck_type": "colors"},
            {"num_decks": 2, "deck_type": "colors"},
            {"num_decks": 1, "deck_type": "ranks"},
        ),
    ),
}

# The paper's names, which popgym changed after it, and spellings of older ports and of gym ids.
OLD_NAMES = {
    "StatelessCartPole": "PositionOnlyCartPole",
    "NoisyStatelessCartPole": "NoisyPositionOnlyCartPole",
    "StatelessPendulum": "PositionOnlyPendulum",
    "NoisyStatelessPendulum": "NoisyPositionOnlyPendulum",
    "VelocityOnlyCartpole": "VelocityOnlyCartPole",
    "Minesweeper": "MineSweeper",
    "MultiArmedBandit": "MultiarmedBandit",
}

DIFFICULTIES = ("Easy", "Medium", "Hard")

FAMILY = TableFamily(
    "popgym",
    table={
        name + difficulty: Entry(f"rlseq.envs.popgym.{target}", options)
        for name, (target, levels) in LEVELS.items()
        for difficulty, options in zip(DIFFICULTIES, levels, strict=True)
    },
    aliases={
        old + difficulty: new + difficulty
        for old, new in OLD_NAMES.items()
        for difficulty in DIFFICULTIES
    },
)
