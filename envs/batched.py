"""The base of batched environments; outside jit, `reset` and `step` compile once."""

from collections.abc import Callable
from typing import Any

import jax
from jax.experimental import checkify

from rlseq.envs.host import own_errors
from rlseq.programs import compiled_once
from rlseq.types import EnvSpec, PyTree, TimeStep, VecEnv


def _compile(env: Any, function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    checks = env.checks
    program = jax.jit(checkify.checkify(function) if checks else function, **how)

    def run(*args: Any, **kwargs: Any) -> Any:
        with own_errors():
            out = program(*args, **kwargs)
        if not checks:
            return out
        error, out = out
        error.throw()
        return out

    return run


class Batched:
    """A `rlseq.types.VecEnv` whose `reset` and `step` compile once when they are called eagerly.

    Then checks of `debug` raise as well, and an exception of an environment on the host becomes an
    `rlseq.errors.HostEnvError`. Inside jit both methods are unchanged.
    """

    num_envs: int
    spec: EnvSpec
    checks = False  # whether `step` holds checks of `jax.experimental.checkify`

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        for name in ("reset", "step"):
            if name in vars(cls):
                setattr(cls, name, compiled_once(compile=_compile)(vars(cls)[name]))

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        """Fresh episodes everywhere: (state, first time step)."""
        raise NotImplementedError

    def step(self, state: Any, action: PyTree, key: jax.Array) -> tuple[Any, TimeStep]:
        """One step of every environment: (state, time step)."""
        raise NotImplementedError


class Wrapper(Batched):
    """A batched environment around `inner`; `changes` are fields of its specification.

    Where its state holds more than the inner one, it says in `inside` where that is.
    """

    def __init__(self, inner: VecEnv, **changes: Any):
        self.inner = inner
        self.num_envs = inner.num_envs
        self.spec = inner.spec._replace(**changes)
        self.checks = isinstance(inner, Batched) and inner.checks

    def inside(self, state: Any) -> Any:
        """The state of `inner` in the one of this environment."""
        return state

    def reset(self, key: jax.Array) -> tuple[Any, TimeStep]:
        return self.inner.reset(key)
