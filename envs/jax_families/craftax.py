"""Craftax and Craftax-Classic, open worlds to survive in (Matthews et al. 2402.16801)."""

from rlseq.envs.jax_families.extras import Extra, ExtraFamily

NAMES = (
    "Craftax-Symbolic-v1",
    "Craftax-Pixels-v1",
    "Craftax-Classic-Symbolic-v1",
    "Craftax-Classic-Pixels-v1",
)

FAMILY = ExtraFamily(
    "craftax",
    Extra("craftax", "craftax>=1.6.1,<2", "craftax"),
    "rlseq.envs.jax_families.craftax_env:Craftax",
    NAMES,
)
