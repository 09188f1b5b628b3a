"""Plug-ins that tests write into folders: a core, an environment, and what is wrong with others."""

CORE = '''"""A leaky sum."""

from typing import Annotated, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rlseq.cores.options import Dtype, Features
from rlseq.fields import Range


class Leaky(nn.Module):
    """Adds up what it reads, and forgets."""

    hidden: ClassVar[tuple[str, ...]] = ()
    methods: ClassVar[tuple[str, ...]] = ()
    block: ClassVar[dict] = {"layers": 1}

    features: Features
    leak: Annotated[float, Range(0, 1)] = 0.5
    dtype: Dtype = "float32"

    def setup(self):
        self.inputs = nn.Dense(self.features, dtype=self.dtype, param_dtype=self.dtype)

    def init_carry(self, batch):
        return jnp.zeros((batch, self.features), self.dtype)

    def __call__(self, carry, x, reset):
        return jax.lax.scan(self._add, carry, (self.inputs(x), reset))

    def step(self, carry, x, reset):
        return self._add(carry, (self.inputs(x), reset))

    def _add(self, h, inputs):
        x, reset = inputs
        h = jnp.where(reset[:, None], jnp.zeros_like(h), h)
        h = jnp.asarray(self.leak, self.dtype) * h + x
        return h, h
'''

ENV = '''"""Environments of a test."""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from gymnax.environments.spaces import Discrete

from rlseq.envs.base import Env
from rlseq.fields import Range


class State(NamedTuple):
    time: jax.Array
    goal: jax.Array


class Name(Env):
    """Name the number that is shown, `length` times."""

    reward_range = (0.0, 1.0)

    def __init__(self, length: Annotated[int, Range(1, 100)] = 3):
        self.max_steps = length

    def start(self, key):
        return State(jnp.int32(0), jax.random.randint(key, (), 0, 2, jnp.int32))

    def advance(self, key, state, action):
        goal = jax.random.randint(key, (), 0, 2, jnp.int32)
        return State(state.time + 1, goal), (action == state.goal).astype(jnp.float32)

    def observe(self, key, state, action, params):
        return state.goal

    def action_space(self, params):
        return Discrete(2)

    def observation_space(self, params):
        return Discrete(2)


def run(length):
    """What a configuration must not be able to call."""
    raise AssertionError
'''

LOGGER = '''"""Loggers of a test."""


class Lines:
    """A line for each row in `lines.txt`."""

    def __init__(self, folder, start, config):
        self.file = open(folder / "lines.txt", "a")
        self.file.write(f"from {start} of {config['total_steps']}\\n")

    def write(self, step, values):
        self.file.write(f"{step} {','.join(sorted(values))}\\n")

    def close(self):
        self.file.close()


class Mute:
    def write(self, step, values):
        pass


class Broken(Lines):
    def __init__(self, folder, start, config):
        raise OSError("no such server\\nat all")


def function(folder, start, config):
    raise AssertionError
'''

REGISTERS = """import rlseq

rlseq.register("core", "mine", f"{__name__}:Leaky")
"""
