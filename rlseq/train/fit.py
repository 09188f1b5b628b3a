"""How many environments fit on a device: `rlseq plan --fit`. Compiles a few programs, runs none."""

import dataclasses
from collections.abc import Callable

from rlseq import agents
from rlseq.config import Config
from rlseq.errors import InputError
from rlseq.fields import NumEnvs, parse
from rlseq.train import build, memory

_UPDATES = 2  # of the measured program; memory does not grow with their number
_CORRECTIONS = 4  # programs compiled after the estimate, where memory is no line


def fit(config: Config, limit: int) -> tuple[int, int]:
    """(the largest `env.num_envs`, bytes of its program) within `limit` bytes.

    Multiples of the configured number are looked at, since minibatches and a mesh divide them as
    well; where it does not fit itself, its halves. Raises InputError as `build.build`, and where
    nothing fits.
    """
    return largest(lambda num_envs: program_bytes(config, num_envs), config.env.num_envs, limit)


def largest(measure: Callable[[int], int], unit: int, limit: int) -> tuple[int, int]:
    """`fit` by a function from a number of environments to bytes that grows about linearly.

    Raises InputError where not even a single one fits.
    """
    at_unit = measure(unit)
    if at_unit > limit:
        if unit % 2:
            raise InputError(
                f"{unit} environments take {at_unit / 1e9:.3g} GB, more than {limit / 1e9:.3g} GB"
            )
        return largest(measure, unit // 2, limit)
    bounds = parse(NumEnvs).range
    most = int(bounds.high) // unit if bounds else 1
    if most == 1:
        return unit, at_unit
    slope = measure(2 * unit) - at_unit
    count = min(most, 1 + (limit - at_unit) // slope) if slope > 0 else most
    best = (unit, at_unit)
    for _ in range(_CORRECTIONS):
        if count <= best[0] // unit:
            break
        size = measure(count * unit)
        if size <= limit:
            return count * unit, size
        # What lies above the line is taken to be in proportion.
        count = min(count - 1, count * limit // size)
    return best


def program_bytes(config: Config, num_envs: int) -> int:
    """Arguments and temporaries of a chunk with so many environments. Raises InputError."""
    env = dataclasses.replace(config.env, num_envs=num_envs)
    steps = _UPDATES * agents.update_steps(*build.agent_options(config), num_envs)
    run = dataclasses.replace(config.run, chunks=1)
    job = build.build(dataclasses.replace(config, env=env, run=run, total_steps=steps))
    compiled = build.lower_chunk(job).compile(build.compiler_options())
    size = memory.compiled_bytes(compiled)
    if size is None:
        raise InputError("XLA does not say what a program takes on this device")
    return size
