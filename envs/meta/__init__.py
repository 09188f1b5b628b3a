"""Meta-learning: each episode is a new task that the agent must identify while it acts.

Random projections of observations and actions over several trials (Lu et al., 2303.03982), and
gymnax's bandits and maze, whose episodes are such tasks already.
"""

from typing import Any

from rlseq.envs.family import Entry, TableFamily

PROJECTED = "rlseq.envs.meta.projected:Projected"
WHOLE = "rlseq.envs.meta.whole:whole_episodes"
# Sizes of the paper's DMControl tasks: 12 numbers to see, 2 to act with. Four trials are ours.
SIZES = {"obs_size": 12, "num_trials": 4}


def _control(task: str, **options: Any) -> Entry:
    return Entry(PROJECTED, {"task": f"gymnax:{task}", **SIZES, **options})


FAMILY = TableFamily(
    "meta",
    table={
        # The paper: POPGym's position-only cart-pole, 16 trials; 4 numbers as in its code.
        "CartPole": Entry(
            PROJECTED,
            {"task": "popgym:PositionOnlyCartPoleEasy", "obs_size": 4, "num_trials": 16},
        ),
        "Acrobot": _control("Acrobot-v1"),
        "MountainCar": _control("MountainCar-v0"),
        "MountainCarContinuous": _control("MountainCarContinuous-v0", action_size=2),
        "Pendulum": _control("Pendulum-v1", action_size=2),
        "PointRobot": _control("PointRobot-misc", action_size=2),
        "Reacher": _control("Reacher-misc", action_size=2),
        "Projected": Entry(PROJECTED, {"task": "gymnax:Catch-bsuite", "num_trials": 4}),
        "BernoulliBandit": Entry(WHOLE, {"task": "BernoulliBandit-misc"}),
        "GaussianBandit": Entry(WHOLE, {"task": "GaussianBandit-misc"}),
        "Maze": Entry(WHOLE, {"task": "MetaMaze-misc"}),
    },
    aliases={},
)
