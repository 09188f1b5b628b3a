"""Environments whose state lives outside JAX: their actions are stored and replayed on resuming.

`actions.bin` in a run folder holds a row of actions [S, E, ...] for every step since their reset,
nothing else. It is only ever appended to and is on disk before a checkpoint is, so the newest
checkpoint never has steps that the file lacks; what the file has beyond is cut off on resuming.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rlseq.envs import action_log
from rlseq.envs.action_log import ActionLog
from rlseq.envs.host import own_errors
from rlseq.errors import HostEnvError
from rlseq.train import files
from rlseq.types import PyTree

ACTIONS = "actions.bin"


@contextlib.contextmanager
def host_errors(env: Any, when: str, kept: Callable[[], str]) -> Iterator[None]:
    """Around a program that steps `env`: its failure becomes a HostEnvError with its message.

    The error says `when` it failed and, from `kept()`, what was saved. KeyboardInterrupt and
    SystemExit that an environment raises pass unchanged.
    """
    try:
        with own_errors(when):
            yield
    except HostEnvError as fault:
        raise HostEnvError(f"{fault}; {kept()}") from fault
    except jax.errors.JaxRuntimeError as error:
        if action_log.find(env) is None:
            raise
        # Raised by a library that JAX calls itself; the last line of its traceback is the error.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        last = lines[-1] if lines else type(error).__name__
        raise HostEnvError(f"the environment failed{when}: {last}; {kept()}") from error


class Actions:
    """The file of a run, for states [S, ...] with one log; nothing where `env` needs none."""

    def __init__(self, folder: Path, env: Any):
        self.path = folder / ACTIONS
        self.env = action_log.find(env)
        self.rows = 0  # steps in the file

    def begin(self, state: PyTree) -> None:
        """An empty file for a fresh state."""
        if self.env is not None:
            files.remove(self.path)
            self.append(state)

    def append(self, state: PyTree) -> None:
        """Append the actions since the last call and sync the file to disk.

        Raises HostEnvError if they took more steps than the log holds, and CannotWrite.
        """
        if self.env is None:
            return
        log = jax.device_get(_only_log(state))
        steps, length = int(log.steps.flat[0]), log.recent.shape[2]
        if not 0 <= steps - self.rows <= length:
            raise HostEnvError(
                f"{steps - self.rows} steps were taken at once and the log holds {length}, so the "
                "run could not be resumed"
            )
        rows = np.moveaxis(log.recent, 2, 0)[np.arange(self.rows, steps) % length]
        files.append(self.path, rows.tobytes(), sync=True)
        self.rows = steps

    def replay(self, state: PyTree) -> None:
        """Cut the file back to a restored state and bring the environments to where it is.

        Raises HostEnvError if the file is too short, or if the environments did not show what
        they showed before.
        """
        if self.env is None:
            return
        log = jax.device_get(_only_log(state))
        steps = int(log.steps.flat[0])
        row = log.recent.itemsize * log.seeds.size * int(np.prod(log.recent.shape[3:]))
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < steps * row:
            raise HostEnvError(
                f"{str(self.path)!r} has {size:,} bytes of the {steps * row:,} that bring the "
                "environments back"
            )
        with files.writing(self.path.name, self.path.parent):
            os.truncate(self.path, steps * row)
        actions = np.fromfile(self.path, log.recent.dtype)
        actions = actions.reshape(steps, log.seeds.size, *log.recent.shape[3:])
        seen = self.env.replay(log.seeds.reshape(-1), actions)
        if (np.asarray(seen) != log.seen.reshape(-1)).any():
            raise HostEnvError(
                f"the environments did not repeat themselves when the actions in "
                f"{str(self.path)!r} were replayed: env.txt has the versions of the run's start"
            )
        self.rows = steps


def without_actions(state: PyTree) -> PyTree:
    """The state as it is stored: the file holds the actions."""

    def without_log(log: ActionLog) -> ActionLog:
        shape = log.recent.shape
        return log._replace(recent=jnp.zeros((*shape[:2], 0, *shape[3:]), log.recent.dtype))

    return jax.tree.map(lambda x: without_log(x) if _is_log(x) else x, state, is_leaf=_is_log)


def stored(abstract: PyTree) -> PyTree:
    """Shapes and dtypes of a state as it is stored, from those of a state."""
    return jax.eval_shape(without_actions, abstract)


def with_actions(state: PyTree, abstract: PyTree) -> PyTree:
    """A stored state with an empty action log of the size in `abstract`."""

    def with_log(x: Any, like: Any) -> Any:
        if not _is_log(x):
            return x
        return x._replace(recent=jnp.zeros(like.recent.shape, like.recent.dtype))

    return jax.tree.map(with_log, state, abstract, is_leaf=_is_log)


def logs(state: PyTree) -> list[ActionLog]:
    """Every action log in a state."""
    return [x for x in jax.tree.leaves(state, is_leaf=_is_log) if _is_log(x)]


def _is_log(x: Any) -> bool:
    return isinstance(x, ActionLog)


def _only_log(state: PyTree) -> ActionLog:
    found = logs(state)
    if len(found) != 1:
        raise HostEnvError(f"the agent's state holds {len(found)} action logs instead of one")
    return found[0]
