"""Hyper-parameters of the soft actor-critic, and their ranges."""

from dataclasses import dataclass
from typing import Annotated

from rlseq import fields
from rlseq.agents.networks import ENCODERS
from rlseq.fields import (
    BurnIn,
    Drawn,
    GradNorm,
    LearningRate,
    OneOf,
    Range,
    Rollout,
    Share,
    Steps,
    Updates,
    Warmup,
    Weight,
    Width,
)

Rate = Annotated[float, Range(0, 1, above=True)]
Temperature = Annotated[float, Range(0, 1e6, above=True)]
Entropy = Annotated[float, Range(-1e6, 1e6)]


@dataclass(frozen=True)
class SACConfig:
    """Sources: [H] SAC (Haarnoja et al. 1812.05905, table 1); [N] recurrent SAC (Ni et al.
    2110.05038, appendix); [C] discrete SAC (Christodoulou 1910.07207); [O] ours."""

    # Acting and the replay.
    num_steps: Rollout = 4  # [O] steps of every environment between two rounds of updates
    updates: Updates = 1  # [O] in a round; [H] one a step
    warmup: Warmup = 4000  # [O] steps of uniform actions, all environments together, before them
    capacity: Steps = 100_000  # [O] steps, all environments together; [H] [N] 1e6
    # Sequences.
    batch: Drawn = 32  # [O] sequences of an update; [N] 64
    length: Drawn = 32  # [O] steps of each that are learned from; [N] 64
    burn_in: BurnIn = 16  # [O] steps before them that only fill the memories; [N] 0
    # Targets and temperature.
    gamma: Share = 0.99  # [H]
    target_rate: Rate = 0.005  # [H] share by which the target follows in an update
    temperature: Temperature = 0.1  # [O] at the start; [H] [N] 1
    temperature_lr: Weight = 1e-3  # [O] of its logarithm, by Adam; 0 keeps it; [H] 3e-4
    target_entropy: Entropy | None = None  # nats; None: -A of Box(A,) [H], of n choices see below
    # Networks and optimisers.
    encoder_kind: Annotated[str, OneOf(ENCODERS)] = "auto"  # conv for bytes, else dense
    encoder: Width = 128  # [O] width of the layer before each core
    head: Width = 128  # [O] width of the two layers of each head; [H] [N] 256
    lr: LearningRate = 3e-4  # [H] of Adam, actor and critics
    max_grad_norm: GradNorm = 10.0  # [O] of the actor's gradients, and of the critics'

    def __post_init__(self) -> None:
        fields.check_instance(self, "agent.")

    @property
    def window(self) -> int:
        """Rows that an update needs of the replay for one sequence."""
        return self.burn_in + self.length + 1
