"""Hyper-parameters of the agent that learns in imagination, and their ranges."""

from dataclasses import dataclass

from rlseq.errors import InputError, unknown_name
from rlseq.world_models.sampling import SAMPLING

STARTS = ("replay", "batch")
ACT_ON = ("posterior", "prior")
ALGORITHMS = ("reinforce", "ppo")


@dataclass(frozen=True)
class ImaginationConfig:
    """Sources: [D] the code released with Drama (Wang et al. 2410.08893); [V3] DreamerV3
    (2301.04104); [O] ours, where the released code is held for wrong or has no such option."""

    # Acting and the replay.
    num_steps: int = 1  # [D] steps of every environment between two rounds of updates
    updates: int = 1  # [D] of the world model and of the behaviour each, in a round
    warmup: int = 1032  # [D] steps of random actions, all environments together, before the first
    act_on: str = "posterior"  # [O] of the current frame; [D] prior, which has not seen it
    keep_terminal_frame: bool = False  # [D] True: it stands where a new episode's first one should
    capacity: int = 100_000  # [D] transitions, all environments together
    sampling: str = "dfs"  # [D] dynamic frequency-based; or uniform
    batch: int = 16  # [D] sequences of an update of the world model
    length: int = 128  # [D] steps of each
    # Imagination.
    starts: str = "replay"  # [D] contexts drawn for it; batch: what the model just trained on [V3]
    contexts: int = 1024  # [D] of starts=replay
    context: int = 8  # [D] steps before imagination begins, of starts=replay
    start_every: int = 1  # [V3] of starts=batch: every so many steps of a sequence is a start
    horizon: int = 16  # [D] imagined steps
    # Behaviour.
    algorithm: str = "reinforce"  # [D] or ppo, its option
    actor: int = 256  # [D] width of three layers
    critic: int = 512  # [D] width of three layers
    normalize_features: bool = True  # [D] what the actor sees, by running mean and deviation
    gamma: float = 0.985  # [D]
    lam: float = 0.95  # [D]
    own_value: bool = False  # [D] True: lambda-returns take V(s[t]) where V(s[t+1]) belongs
    entropy_coef: float = 3e-4  # [D]
    slow_decay: float = 0.98  # [D] of the slow critic, an update
    lr: float = 4e-5  # [D] LaProp
    lr_warmup: int = 1000  # [D] updates
    max_grad_norm: float = 100.0  # [D]
    clip: float = 0.2  # [D] of ppo
    epochs: int = 3  # [D] of ppo
    minibatches: int = 1  # [D] of ppo: 16384 steps, which is all of them
    target_kl: float = 0.01  # [D] of ppo, stops the epochs of an update; 0 is off


AT_LEAST_ONE = (
    "num_steps", "updates", "capacity", "batch", "length", "contexts", "context", "start_every",
    "horizon", "actor", "critic", "epochs", "minibatches",
)  # fmt: skip
LARGEST = 2**31 - 1  # places in the replay are int32
SHARES = ("gamma", "lam", "slow_decay")
NOT_NEGATIVE = ("warmup", "entropy_coef", "lr_warmup", "target_kl")
POSITIVE = ("lr", "max_grad_norm", "clip")


def check(config: ImaginationConfig, num_envs: int) -> None:
    """Raise InputError for a value out of its range, and for sizes that do not fit each other."""
    for name in AT_LEAST_ONE:
        if getattr(config, name) < 1:
            raise InputError(f"agent.{name} must be at least 1, got {getattr(config, name)}")
    for name in SHARES:
        if not 0 <= getattr(config, name) <= 1:
            raise InputError(f"agent.{name} must lie in [0, 1], got {getattr(config, name)}")
    for name in NOT_NEGATIVE:
        if not getattr(config, name) >= 0:
            raise InputError(f"agent.{name} must be at least 0, got {getattr(config, name)}")
    for name in POSITIVE:
        if not getattr(config, name) > 0:
            raise InputError(f"agent.{name} must be above 0, got {getattr(config, name)}")
    for name, known in (
        ("starts", STARTS), ("act_on", ACT_ON), ("algorithm", ALGORITHMS), ("sampling", SAMPLING),
    ):  # fmt: skip
        if getattr(config, name) not in known:
            raise unknown_name(f"agent.{name}", getattr(config, name), known)
    if config.capacity > LARGEST:
        raise InputError(f"agent.capacity must be at most {LARGEST}, got {config.capacity}")
    _check_windows(config, num_envs)
    _check_minibatches(config)


def imagined_starts(config: ImaginationConfig) -> int:
    """How many roll-outs an update imagines."""
    if config.starts == "replay":
        return config.contexts
    return config.batch * (config.length // config.start_every)


def _check_windows(config: ImaginationConfig, num_envs: int) -> None:
    """Every window must find its data in what the warm-up has gathered, and in the replay."""
    lane = config.capacity // num_envs
    gathered = min(config.warmup // num_envs, lane)
    drawn = [("agent.batch", config.batch, "agent.length", config.length)]
    if config.starts == "replay":
        drawn.append(("agent.contexts", config.contexts, "agent.context", config.context))
    for number, wanted, size, length in drawn:
        if length > lane:
            raise InputError(
                f"{size} = {length} is longer than what agent.capacity = {config.capacity} holds "
                f"of each of env.num_envs = {num_envs}: {lane}"
            )
        if (gathered - length + 1) * num_envs < wanted:
            raise InputError(
                f"{number} = {wanted} sequences of {size} = {length} steps are more than the data "
                f"of agent.warmup = {config.warmup} steps in env.num_envs = {num_envs} holds: "
                f"{max(0, gathered - length + 1) * num_envs}"
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
