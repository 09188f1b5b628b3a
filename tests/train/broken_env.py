"""An environment of gymnasium that raises what it is asked to, at its reset or at some step."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Broken(gymnasium.Env):
    """`kind("boo")` is raised in step `at`, counted from 1 over all episodes, or in reset 0."""

    observation_space = spaces.Box(-1, 1, (2,))
    action_space = spaces.Discrete(2)
    KINDS = (ValueError, KeyboardInterrupt, SystemExit)

    def __init__(self, kind: str, at: int):
        self.kind = {kind.__name__: kind for kind in self.KINDS}[kind]
        self.at, self.time = at, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._raise_if_due()
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.time += 1
        self._raise_if_due()
        return np.zeros(2, np.float32), 1.0, self.time % 4 == 0, False, {}

    def _raise_if_due(self):
        if self.time == self.at:
            raise self.kind("boo")


def broken(kind: str, at: int) -> str:
    """The id of one; options of its own would be tried out when it is made."""
    name = f"Broken{kind}{at % 1000}-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=Broken, kwargs={"kind": kind, "at": at})
    return f"gymnasium:{name}"
