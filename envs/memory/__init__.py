"""Small tasks with one thing to remember and a known best return.

Each class gives `optimal_return` and `memoryless_return`, the expected returns of perfect play
and of the best player who sees only the current observation.
"""

from rlseq.envs.family import Entry, TableFamily

FAMILY = TableFamily(
    "memory",
    table={
        "MemoryLength": Entry(
            "rlseq.envs.memory.memory_length:MemoryLength", {"memory_length": 64}
        ),
        "TMaze": Entry("rlseq.envs.memory.t_maze:TMaze", {"corridor_length": 10}),
        "Parity": Entry("rlseq.envs.memory.parity:Parity", {"n": 2, "num_answers": 32}),
        "DelayedMatch": Entry(
            "rlseq.envs.memory.delayed_match:DelayedMatch", {"n": 2, "num_answers": 32}
        ),
        "ParityCurriculum": Entry(
            "rlseq.envs.memory.curriculum:CurriculumEnv", {"task": "parity", "curriculum": "single"}
        ),
        "DelayedMatchCurriculum": Entry(
            "rlseq.envs.memory.curriculum:CurriculumEnv",
            {"task": "delayed_match", "curriculum": "single"},
        ),
    },
    aliases={},
)
