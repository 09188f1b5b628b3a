"""Hyper-parameters of the Drama world model and its presets."""

from dataclasses import dataclass, fields
from typing import Any

from rlseq.errors import InputError


@dataclass(frozen=True)
class DramaConfig:
    """Sources: [D] the code released with Drama (Wang et al. 2410.08893), whose values are the
    defaults here and the preset drama_xs; [V3] DreamerV3 (2301.04104); [O] ours."""

    encoder: str = "conv"  # [D] of pictures; or patch [O]; small grids and vectors have their own
    channels: tuple[int, ...] = (16, 32, 48, 64, 64)  # [D] of the convolutions
    kernel: int = 5  # [D]
    patch: int = 8  # [O] side of the patches of encoder=patch
    widths: tuple[int, ...] = (64, 64)  # [O] dense layers of encoder=patch and encoder=vector
    latents: int = 32  # [D] categoricals
    classes: int = 32  # [D] of each
    unimix: float = 0.01  # [D] share of the uniform in prior and posterior
    features: int = 512  # [D] width of the core, where the core does not say
    layers: int = 2  # [D] of the core, where it does not say
    dropout: float = 0.1  # [D] in the core, where it does not say, and behind it
    head: int = 256  # [D] width of the reward and termination heads' hidden layer
    bins: int = 255  # [D] of the reward's symlog two-hot
    dynamics: float = 1.0  # [D] weight of the loss that trains the prior
    representation: float = 0.1  # [D] weight of the loss that trains the posterior
    free_bits: float = 1.0  # [D] nats
    free_bits_per_element: bool = False  # [D] of the mean over the batch; [V3] True
    lr: float = 4e-5  # [D] LaProp
    warmup: int = 1000  # [D] updates
    max_grad_norm: float = 1000.0  # [D]
    weight_decay: float = 1e-4  # [D] not scaled by lr, of every parameter
    # What the released code does and we hold for wrong; [O] False corrects it.
    reward_before_action: bool = False  # [D] True: imagined rewards and ends come one step late
    cross_episodes: bool = False  # [D] True: memory and KL run on where an episode ends


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
        "free_bits_per_element": True,  # a batch mean of so few nats stays below the free ones
        "lr": 2e-3,  # with 4e-4 its first thousand updates see no ball
        "warmup": 100,
        "weight_decay": 0.0,
    },
}


def check(config: DramaConfig, num_actions: int) -> None:
    """Raises InputError for a value out of its range."""
    if num_actions < 1:
        raise InputError(f"num_actions must be at least 1, got {num_actions}")
    for name in ("latents", "features", "layers", "head", "bins", "classes"):
        least = 2 if name in ("classes", "bins") else 1
        if getattr(config, name) < least:
            raise InputError(
                f"world_model.{name} must be at least {least}, got {getattr(config, name)}"
            )
    for name in ("unimix", "dropout"):
        if not 0 <= getattr(config, name) < 1:
            raise InputError(f"world_model.{name} must lie in [0, 1), got {getattr(config, name)}")
    numbers = [f.name for f in fields(config) if f.type in (int, float) and f.name != "lr"]
    for name in (n for n in numbers if not getattr(config, n) >= 0):
        raise InputError(f"world_model.{name} must be at least 0, got {getattr(config, name)}")
    if not config.lr > 0:
        raise InputError(f"world_model.lr must be above 0, got {config.lr}")
