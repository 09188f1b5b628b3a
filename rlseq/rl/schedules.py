"""Learning-rate schedules by name, over optax."""

import optax

from rlseq.errors import unknown_name

SCHEDULES = ("constant", "linear", "cosine")


def learning_rate(name: str, peak: float, steps: int, warmup: int = 0) -> optax.Schedule:
    """The learning rate after each of `steps` optimiser steps; linear and cosine end at 0.

    `warmup` steps rise linearly from 0 before it. Raises InputError for an unknown name.
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    rest = max(steps - warmup, 1)
    after = {
        "constant": optax.constant_schedule(peak),
        "linear": optax.linear_schedule(peak, 0.0, rest),
        "cosine": optax.cosine_decay_schedule(peak, rest),
    }[name]
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after], [warmup])
