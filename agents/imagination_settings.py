"""Hyper-parameters of the agent that learns in imagination, and their ranges."""

from dataclasses import dataclass
from typing import Annotated

from rlseq import fields
from rlseq.errors import InputError
from rlseq.fields import (
    Clip,
    Drawn,
    Epochs,
    GradNorm,
    LearningRate,
    MinibatchCount,
    OneOf,
    Range,
    Rollout,
    Share,
    Steps,
    Updates,
    Warmup,
    Weight,
    Width,
)  # fmt: skip
from rlseq.replay.samplers import SAMPLING

ALGORITHMS = ("reinforce", "ppo")
ActOn = Annotated[str, OneOf(("posterior", "prior"))]
Starts = Annotated[str, OneOf(("replay", "batch"))]


@dataclass(frozen=True)
class ImaginationConfig:
    """Sources: [D] the code released with Drama (Wang et al. 2410.08893); [V3] DreamerV3
    (2301.04104); [O] ours, where the released code is held for wrong or has no such option."""

    # Acting and the replay.
    num_steps: Rollout = 1  # [D] steps of every environment between two rounds of updates
    updates: Updates = 1  # [D] of the world model and of the behaviour each, in a round
    warmup: Warmup = 1032  # [D] steps of random actions, all environments together, before them
    act_on: ActOn = "posterior"  # [O] of the current frame; [D] prior, which has not seen it
    keep_terminal_frame: bool = False  # [D] True: it stands where a new episode's first one should
    capacity: Steps = 100_000  # [D] transitions, all environments together
    sampling: Annotated[str, OneOf(SAMPLING)] = "dfs"  # [D] dynamic frequency-based; or uniform
    batch: Drawn = 16  # [D] sequences of an update of the world model
    length: Drawn = 128  # [D] steps of each
    # Imagination.
    starts: Starts = "replay"  # [D] contexts drawn for it; batch: what the model trained on [V3]
    contexts: Drawn = 1024  # [D] of starts=replay
    context: Drawn = 8  # [D] steps before imagination begins, of starts=replay
    start_every: Drawn = 1  # [V3] of starts=batch: every so many steps of a sequence is a start
    horizon: Annotated[int, Range(1, 10_000)] = 16  # [D] imagined steps
    # Behaviour.
    algorithm: Annotated[str, OneOf(ALGORITHMS)] = "reinforce"  # [D] or ppo [O], unlike its own
    actor: Width = 256  # [D] width of three layers
    critic: Width = 512  # [D] width of three layers
    normalize_features: bool = True  # [D] what the actor sees, by running mean and deviation
    gamma: Share = 0.985  # [D]
    lam: Share = 0.95  # [D]
    own_value: bool = False  # [D] True: lambda-returns take V(s[t]) where V(s[t+1]) belongs
    entropy_coef: Weight = 3e-4  # [D]
    slow_decay: Share = 0.98  # [D] of the slow critic, an update
    lr: LearningRate = 4e-5  # [D] LaProp
    lr_warmup: Warmup = 1000  # [D] updates
    max_grad_norm: GradNorm = 100.0  # [D]
    clip: Clip = 0.2  # [D] of ppo
    epochs: Epochs = 3  # [D] of ppo
    minibatches: MinibatchCount = 1  # [D] of ppo: 16384 steps, which is all of them
    target_kl: Weight = 0.01  # [O] of ppo, stops the epochs; [D] never reads its 0.01; 0 is off

    def __post_init__(self) -> None:
        fields.check_instance(self, "agent.")


def check(config: ImaginationConfig, num_envs: int) -> None:
    """Raise InputError for sizes that do not fit each other."""
    _check_windows(config, num_envs)
    _check_minibatches(config)


def imagined_starts(config: ImaginationConfig) -> int:
    """How many rollouts an update imagines."""
    if config.starts == "replay":
        return config.contexts
    return config.batch * (config.length // config.start_every)


def _check_windows(config: ImaginationConfig, num_envs: int) -> None:
    """Every window must find its data in what the warm-up has collected, and in the replay."""
    held = config.capacity // num_envs  # rows of each environment
    collected = min(config.warmup // num_envs, held)
    drawn = [("agent.batch", config.batch, "agent.length", config.length)]
    if config.starts == "replay":
        drawn.append(("agent.contexts", config.contexts, "agent.context", config.context))
    for number, wanted, size, length in drawn:
        if length > held:
            raise InputError(
                f"{size} = {length} is longer than what agent.capacity = {config.capacity} holds "
                f"of each of env.num_envs = {num_envs}: {held}"
            )
        if (collected - length + 1) * num_envs < wanted:
            raise InputError(
                f"{number} = {wanted} sequences of {size} = {length} steps are more than the data "
                f"of agent.warmup = {config.warmup} steps in env.num_envs = {num_envs} holds: "
                f"{max(0, collected - length + 1) * num_envs}"
            )
    if config.starts == "batch" and config.length % config.start_every:
        raise InputError(
            f"agent.start_every must divide agent.length = {config.length}, "
            f"got {config.start_every}"
        )


def _check_minibatches(config: ImaginationConfig) -> None:
    steps = config.horizon * imagined_starts(config)
    if config.algorithm == "ppo" and steps % config.minibatches:
        raise InputError(
            f"agent.minibatches must divide the {steps} imagined steps of an update, "
            f"got {config.minibatches}"
        )
