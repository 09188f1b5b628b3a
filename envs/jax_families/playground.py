"""MuJoCo Playground's DeepMind Control Suite in JAX (2502.08844), seen whole or in part.

Left out are its robots that walk and grasp: their models are downloaded when one is built.
"""

from rlseq.envs.jax_families.extras import Extra, ExtraFamily

NAMES = (
    "AcrobotSwingup",
    "AcrobotSwingupSparse",
    "BallInCup",
    "CartpoleBalance",
    "CartpoleBalanceSparse",
    "CartpoleSwingup",
    "CartpoleSwingupSparse",
    "CheetahRun",
    "FingerSpin",
    "FingerTurnEasy",
    "FingerTurnHard",
    "FishSwim",
    "HopperHop",
    "HopperStand",
    "HumanoidRun",
    "HumanoidStand",
    "HumanoidWalk",
    "PendulumSwingup",
    "PointMass",
    "ReacherEasy",
    "ReacherHard",
    "SwimmerSwimmer6",
    "WalkerRun",
    "WalkerStand",
    "WalkerWalk",
)

FAMILY = ExtraFamily(
    "playground",
    Extra("playground", "playground>=0.2,<0.3", "mujoco_playground"),
    "rlseq.envs.jax_families.playground_env:Playground",
    NAMES,
)
