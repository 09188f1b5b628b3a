"""Hyper-parameters of the Drama world model and its presets."""

from dataclasses import dataclass
from typing import Annotated, Any

from rlseq import fields
from rlseq.cores.options import Features, Layers
from rlseq.fields import LearningRate, Length, OneOf, Range, Share, Warmup, Weight, Width
from rlseq.rl.two_hot import FORMS
from rlseq.world_models.initial import INITIAL

Encoder = Annotated[str, OneOf(("conv", "patch", "grid", "vector"))]
Channels = Annotated[tuple[int, ...], Length(1, 12), Range(1, 4096)]
Widths = Annotated[tuple[int, ...], Length(1, 64), Range(1, 16_384)]
Part = Annotated[float, Range(0, 1, below=True)]
TwoHot = Annotated[str, OneOf(FORMS)]
Initial = Annotated[str, OneOf(INITIAL)]


@dataclass(frozen=True)
class DramaConfig:
    """Sources: [D] the code released with Drama (Wang et al. 2410.08893), whose values are the
    defaults here and the preset drama_xs; [V3] DreamerV3 (2301.04104); [O] ours."""

    encoder: Encoder = "conv"  # [D] of images; or patch [O]; small grids and vectors have their own
    channels: Channels = (16, 32, 48, 64, 64)  # [D] of the convolutions
    kernel: Annotated[int, Range(1, 32)] = 5  # [D]
    patch: Annotated[int, Range(1, 256)] = 8  # [O] side of the patches of encoder=patch
    widths: Widths = (64, 64)  # [O] dense layers of encoder=patch and encoder=vector
    latents: Annotated[int, Range(1, 1024)] = 32  # [D] categoricals
    classes: Annotated[int, Range(2, 1024)] = 32  # [D] of each
    unimix: Part = 0.01  # [D] share of the uniform in prior and posterior
    features: Features = 512  # [D] width of the core, where the core does not say
    layers: Layers = 2  # [D] of the core, where it does not say
    dropout: Part = 0.1  # [D] in the core, where it does not say, and behind it
    head: Width = 256  # [D] width of the reward and termination heads' hidden layer
    bins: Annotated[int, Range(2, 65_536)] = 255  # [D] of the reward's two-hot
    two_hot: TwoHot = "symlog"  # [D] of reward head and critic; symexp [V3]: means are right
    initial: Initial = "released"  # [D] scales of stem, prior, posterior, Mamba; or fan_average [O]
    reward: Weight = 1.0  # [D] weight of the reward's loss
    dynamics: Weight = 1.0  # [D] weight of the loss that trains the prior
    representation: Weight = 0.1  # [D] weight of the loss that trains the posterior
    free_bits: Weight = 1.0  # [D] nats
    free_bits_per_element: bool = False  # [D] of the mean over the batch; [V3] True
    lr: LearningRate = 4e-5  # [D] LaProp
    warmup: Warmup = 1000  # [D] updates
    max_grad_norm: Annotated[float, Range(0, 1e9)] = 1000.0  # [D]
    weight_decay: Share = 1e-4  # [D] not scaled by lr, of every parameter
    # What the released code does and we hold for wrong; [O] False corrects it.
    reward_before_action: bool = False  # [D] True: imagined rewards and ends come one step late
    cross_episodes: bool = False  # [D] True: memory and KL run on where an episode ends

    def __post_init__(self) -> None:
        fields.check_instance(self, "world_model.")


# Sizes of drama_s and nano are ours: the paper's larger variant is in no released configuration.
PRESETS: dict[str, dict[str, Any]] = {
    "drama_xs": {},
    "drama_s": {
        "channels": (24, 48, 72, 96, 96),
        "features": 768,
        "layers": 3,
        "head": 384,
    },
    # For two CPU cores.
    "nano": {
        "encoder": "patch",
        "channels": (16,),
        "latents": 16,
        "classes": 16,
        "features": 128,
        "layers": 1,
        "dropout": 0.0,
        "head": 128,
        "two_hot": "symexp",  # rewards of games are rare, and some are large
        "initial": "fan_average",  # the released code's remember hundreds of updates later
        "free_bits_per_element": True,  # a batch mean of so few nats stays below the free ones
        "lr": 2e-3,  # with 4e-4 its first thousand updates see no ball
        "warmup": 100,
        "weight_decay": 0.0,
    },
    # For two CPU cores on grey Atari frames of 64 x 64: the paper's latents behind few features.
    "nano_atari": {
        "encoder": "patch",
        "channels": (16,),
        "widths": (64, 16),  # features of 8 x 8 patches: 1024, as many as the paper's
        "features": 256,
        "layers": 1,
        "dropout": 0.0,
        "two_hot": "symexp",
        "initial": "fan_average",
        "reward": 10.0,  # rewards are rare, and predicted by one number of thousands
        "free_bits_per_element": True,
        "lr": 5e-4,
        "warmup": 100,
        "weight_decay": 0.0,
    },
}
