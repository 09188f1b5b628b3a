"""Hyper-parameters of the agent that learns values from a replay, and their ranges."""

from dataclasses import dataclass
from typing import Annotated

from rlseq import fields
from rlseq.agents.networks import ENCODERS
from rlseq.agents.sequences import check_window
from rlseq.errors import InputError
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
)

VALUE_HEADS = ("scalar", "rescaled", "categorical")
REPLAYS = ("uniform", "prioritised")
Horizon = Annotated[int, Range(1, 1000)]
Frames = Annotated[int, Range(1, 16)]
Pixels = Annotated[int, Range(0, 64)]
LayerOrNone = Annotated[int, Range(0, 16_384)]
Atoms = Annotated[int, Range(2, 1024)]
Bound = Annotated[float, Range(0, 1e9, above=True)]


@dataclass(frozen=True)
class R2D2Config:
    """Sources: [R] R2D2 (Kapturowski et al. 2019, ICLR, table 2); [E] DrQ(eps) (Kostrikov et al.
    2004.13649 in the form of Agarwal et al. 2108.13264); [DER] van Hasselt et al. 1906.05243;
    [B] BBF (Schwarzer et al. 2305.19452); [S] SR-SPR (D'Oro et al. 2023, ICLR); [O] ours."""

    # Acting and the replay.
    num_steps: Rollout = 4  # [O] steps of every environment between two rounds of updates
    updates: Updates = 1  # [O] in a round
    warmup: Warmup = 4000  # [O] steps of uniform actions, all environments together, before them
    capacity: Steps = 100_000  # [O] steps, all environments together; [R] 4e6
    sampling: Annotated[str, OneOf(REPLAYS)] = "prioritised"  # [R]
    priority_exponent: Share = 0.9  # [R] 0 is uniform
    importance_exponent: Share = 0.6  # [R]
    priority_mix: Share = 0.9  # [R] of the largest error of a sequence, the rest of their mean
    epsilon_last: Share = 0.01  # [O] share of uniform actions; [R] 0.4^1 to 0.4^8 over actors
    exploration: Warmup = 10_000  # [O] steps over which it falls from 1 after the warm-up
    evaluation_epsilon: Share = 0.01  # [O] [E] 0.001
    # Sequences.
    batch: Drawn = 32  # [O] sequences of an update; [R] 64
    length: Drawn = 40  # [O] steps of each that are learned from; [R] 80
    burn_in: BurnIn = 20  # [O] steps before them that only fill a memory; [R] 40
    frames: Frames = 1  # images side by side, stacked by the agent; [R] 4
    shift: Pixels = 0  # random shift of images, pixels each way; [E] 4
    # Targets.
    n_step: Horizon = 5  # [R]
    n_step_first: Horizon = 5  # [O] right after the start and each reset; [B] 10
    gamma: Share = 0.99  # [O] [R] 0.997
    gamma_first: Share = 0.99  # [O] right after the start and each reset; [B] 0.97
    anneal: Warmup = 0  # updates over which the two come to their last values; [B] 10,000
    target_period: Updates = 400  # [O] updates between two steps of the target network; [R] 2500
    target_rate: Annotated[float, Range(0, 1, above=True)] = 1.0  # [R] how far it then goes
    value_head: Annotated[str, OneOf(VALUE_HEADS)] = "rescaled"  # [R]
    atoms: Atoms = 51  # [DER] of value_head=categorical
    limit: Bound = 10.0  # [DER] the largest return that it holds
    # Network and optimiser.
    encoder_kind: Annotated[str, OneOf(ENCODERS)] = "auto"  # conv for bytes, else dense
    encoder: LayerOrNone = 128  # [O] width of the layer before the core, 0 is none; [R] 512
    head: LayerOrNone = 128  # [O] width of each stream's layer after it, 0 is none; [R] 512
    dueling: bool = True  # [R]
    lr: LearningRate = 3e-4  # [O] of Adam; [R] [DER] 1e-4
    adam_eps: Bound = 1.5e-4  # [DER] [R] 1e-3
    weight_decay: Weight = 0.0  # of AdamW; [B] 0.1
    max_grad_norm: GradNorm = 10.0  # [DER] of all gradients together
    reset_every: Warmup = 0  # updates between two resets, 0 is never; [S] 40,000 [B]
    shrink: Share = 0.8  # [S] what a reset keeps of the encoder; the rest of it is drawn anew

    def __post_init__(self) -> None:
        fields.check_instance(self, "agent.")

    @property
    def horizon(self) -> int:
        """The largest n of the run."""
        return max(self.n_step, self.n_step_first)

    def window(self, *, memory: bool) -> int:
        """Rows that an update needs of the replay for one sequence."""
        burn_in = self.burn_in if memory else 0
        return self.frames - 1 + burn_in + self.length + self.horizon


def check(config: R2D2Config, num_envs: int, max_steps: int | None, memory: bool) -> None:
    """Raise InputError for sizes that do not fit each other, or the longest episode `max_steps`."""
    c = config
    parts = "agent.frames - 1 + agent.burn_in + agent.length + agent.n_step"
    check_window(c, c.window(memory=memory), parts, num_envs, max_steps, memory=memory)
    if c.reset_every % c.updates:
        raise InputError(
            f"agent.updates = {c.updates} must divide agent.reset_every, got {c.reset_every}"
        )
