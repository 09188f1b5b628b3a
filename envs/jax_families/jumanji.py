"""Jumanji's puzzles, packing and routing problems (Bonnet et al. 2306.09884).

Those whose reward is one number. Left out is `Sokoban-v0`, which downloads its levels when built.
"""

from rlseq.envs.jax_families.extras import Extra, ExtraFamily

NAMES = (
    "BinPack-v2",
    "CVRP-v1",
    "Cleaner-v0",
    "FlatPack-v0",
    "Game2048-v1",
    "GraphColoring-v1",
    "JobShop-v0",
    "Knapsack-v1",
    "MMST-v0",
    "Maze-v0",
    "Minesweeper-v0",
    "MultiCVRP-v0",
    "PacMan-v1",
    "RobotWarehouse-v0",
    "RubiksCube-partly-scrambled-v0",
    "RubiksCube-v0",
    "SlidingTilePuzzle-v0",
    "Snake-v1",
    "Sudoku-v0",
    "Sudoku-very-easy-v0",
    "TSP-v1",
    "Tetris-v0",
)

FAMILY = ExtraFamily(
    "jumanji",
    Extra("jumanji", "jumanji>=1.1.2,<2", "jumanji"),
    "rlseq.envs.jax_families.jumanji_env:Jumanji",
    NAMES,
)
