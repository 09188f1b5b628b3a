"""Games for one player of Pgx (Koyamada et al. 2303.17503): 2048, and MinAtar as it plays there."""

from rlseq.envs.jax_families.extras import Extra, ExtraFamily

# Its other games are for two players or more, and need an opponent.
NAMES = (
    "2048",
    "minatar-asterix",
    "minatar-breakout",
    "minatar-freeway",
    "minatar-seaquest",
    "minatar-space_invaders",
)

FAMILY = ExtraFamily(
    "pgx",
    Extra("pgx", "pgx>=2.6.0,<3", "pgx"),
    "rlseq.envs.jax_families.pgx_env:Pgx",
    NAMES,
)
