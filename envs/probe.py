"""Probe environments: tiny tasks with exactly known optimal values, to find faults of an agent.

An agent that fails one of these has the fault the probe's docstring names. Each class gives
`value(gamma)`, `optimal_return`, `memoryless_return` and `needs_memory`.
"""

from rlseq.envs.family import Entry, TableFamily

_FILES = {
    "probe_one_step": (
        "Constant",
        "ObsDependent",
        "ActionDependent",
        "ActionObs",
        "Continuous",
        "MultiAction",
        "Coins",
    ),
    "probe_longer": ("Delayed", "Truncated", "Recall", "Leak"),
}
# The ball goes out of sight after the first row: three of eight columns without memory.
_PIXELS = {"Catch": {}, "CatchBlind": {"visible_rows": 1}}

FAMILY = TableFamily(
    "probe",
    table={
        name: Entry(f"rlseq.envs.{file}:{name}", {})
        for file, names in _FILES.items()
        for name in names
    }
    | {name: Entry("rlseq.envs.probe_pixels:Catch", options) for name, options in _PIXELS.items()},
    aliases={},
)
