"""XLand-MiniGrid (Nikulin et al. 2312.12044): MiniGrid in JAX, and XLand's trials of unknown rules.

An episode of `XLand-` is many trials under the same rules, as in `meta:`.
"""

from rlseq.envs.jax_families.extras import Extra, ExtraFamily

MINIGRID = (
    "MiniGrid-BlockedUnlockPickUp",
    "MiniGrid-DoorKey-5x5",
    "MiniGrid-DoorKey-6x6",
    "MiniGrid-DoorKey-8x8",
    "MiniGrid-DoorKey-16x16",
    "MiniGrid-Empty-5x5",
    "MiniGrid-Empty-6x6",
    "MiniGrid-Empty-8x8",
    "MiniGrid-Empty-16x16",
    "MiniGrid-EmptyRandom-5x5",
    "MiniGrid-EmptyRandom-6x6",
    "MiniGrid-EmptyRandom-8x8",
    "MiniGrid-EmptyRandom-16x16",
    "MiniGrid-FourRooms",
    "MiniGrid-LockedRoom",
    "MiniGrid-MemoryS8",
    "MiniGrid-MemoryS16",
    "MiniGrid-MemoryS32",
    "MiniGrid-MemoryS64",
    "MiniGrid-MemoryS128",
    "MiniGrid-Playground",
    "MiniGrid-Unlock",
    "MiniGrid-UnlockPickUp",
)
# Rooms -> sides of the world.
_SIDES = {1: (9, 11, 13, 15, 17), 2: (9, 11, 13, 15, 17), 4: (9, 11, 13, 15, 17)}
_SIDES |= {6: (13, 17, 19), 9: (16, 19, 25)}
XLAND = tuple(
    f"XLand-MiniGrid-R{rooms}-{side}x{side}" for rooms, sides in _SIDES.items() for side in sides
)
MODULE = "rlseq.envs.jax_families"

FAMILY = ExtraFamily(
    "xminigrid",
    Extra("xminigrid", "xminigrid>=0.9.3,<0.10", "xminigrid"),
    f"{MODULE}.xminigrid_env:MiniGrid",
    (*MINIGRID, *XLAND),
    targets=dict.fromkeys(XLAND, f"{MODULE}.xland_env:XLand"),
)
