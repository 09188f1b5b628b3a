"""Hyper-parameters of the agent that learns at every step, and their ranges."""

from dataclasses import dataclass
from typing import Annotated

from rlseq import fields
from rlseq.agents.networks import ENCODERS
from rlseq.fields import LearningRate, OneOf, Range, Rollout, Share, Weight
from rlseq.online import ESTIMATORS

LayerOrNone = Annotated[int, Range(0, 16_384)]
Overshoot = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True)
class StreamConfig:
    """Sources: [S] stream AC(lambda), Elsayed et al. 2410.14606, and the code released with it;
    [O] ours."""

    num_steps: Rollout = 256  # [O] of every environment in an update; each of them learns
    estimator: Annotated[str, OneOf(ESTIMATORS)] = "auto"  # of gradients through the memory
    lr: LearningRate = 1.0  # [S] of both networks, where nothing overshoots
    kappa_policy: Overshoot = 3.0  # [S] how far steps stay from overshooting
    kappa_value: Overshoot = 2.0  # [S]
    gamma: Share = 0.99  # [S]
    lam: Share = 0.8  # [S] of both eligibility traces
    entropy_coef: Weight = 0.01  # [S]
    sparsity: Share = 0.9  # [S] zeros in each dense layer at first
    normalize_observations: bool = True  # [S] running mean and variance; not of images
    scale_rewards: bool = True  # [S] by the running deviation of discounted returns
    encoder_kind: Annotated[str, OneOf(ENCODERS)] = "auto"  # conv for bytes, else dense
    encoder: LayerOrNone = 64  # [O] width of the layer before the core, 0 is none; [S] 128
    head: LayerOrNone = 64  # [O] width of the layer after it, 0 is none; [S] 128

    def __post_init__(self) -> None:
        fields.check_instance(self, "agent.")
