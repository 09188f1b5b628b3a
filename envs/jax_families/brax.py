"""Brax's walking, reaching and balancing bodies (Freeman et al. 2106.13281), seen whole or in part.

Left out are `fast`, which only measures brax itself, and `swimmer`, which brax 0.14.2 cannot step
with jax 0.10: it calls `jnp.clip` by an argument that jax has no more.
"""

from rlseq.envs.jax_families.extras import Extra, ExtraFamily

NAMES = (
    "ant",
    "halfcheetah",
    "hopper",
    "humanoid",
    "humanoidstandup",
    "inverted_pendulum",
    "inverted_double_pendulum",
    "pusher",
    "reacher",
    "walker2d",
)

FAMILY = ExtraFamily(
    "brax",
    Extra("brax", "brax>=0.14.2,<0.15", "brax"),
    "rlseq.envs.jax_families.brax_env:Brax",
    NAMES,
)
