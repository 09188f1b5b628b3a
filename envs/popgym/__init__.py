"""POPGym's environments in JAX, exact to popgym 1.0.7 (Morad et al., 2303.01859).

A new family is one file and one line of `LEVELS`.
"""

from typing import Any

from rlseq.envs.family import Entry, Family

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
}

# The paper's names; popgym renamed these families after it.
OLD_NAMES = {"StatelessCartPole": "PositionOnlyCartPole"}

DIFFICULTIES = ("Easy", "Medium", "Hard")

FAMILY = Family(
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
