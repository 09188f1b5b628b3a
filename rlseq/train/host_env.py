"""Environments whose state lives outside JAX: what they were told, in a file, and told again.

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
    """Around a program that plays `env`: its failure is a HostEnvError in its own words.

    It says `when` and, as `kept` puts it, what is left. KeyboardInterrupt and SystemExit that an
    environment raises come out as they are.
    """
    try:
        with own_errors(when):
            yield
    except HostEnvError as fault:
        raise HostEnvError(f"{fault}; {kept()}") from fault
    except jax.errors.JaxRuntimeError as error:
        if action_log.find(env) is None:
            raise
        # Of a library that JAX calls by itself; of its traceback the last line is the error.
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        last = said[-1] if said else type(error).__name__
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
        """Write what the environments were told since the last call, to the disk itself.

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
        told = np.fromfile(self.path, log.recent.dtype)
        told = told.reshape(steps, log.seeds.size, *log.recent.shape[3:])
        seen = self.env.replay(log.seeds.reshape(-1), told)
        if (np.asarray(seen) != log.seen.reshape(-1)).any():
            raise HostEnvError(
                f"the environments, told again what {str(self.path)!r} holds, did not show what "
                "they did: env.txt has the versions that the run began with"
            )
        self.rows = steps


def without_actions(state: PyTree) -> PyTree:
    """The state as it is stored: the file holds the actions."""

    def bare(log: ActionLog) -> ActionLog:
        shape = log.recent.shape
        return log._replace(recent=jnp.zeros((*shape[:2], 0, *shape[3:]), log.recent.dtype))

    return jax.tree.map(lambda x: bare(x) if _is_log(x) else x, state, is_leaf=_is_log)


def stored(abstract: PyTree) -> PyTree:
    """Shapes and dtypes of a state as it is stored, from those of a state."""
    return jax.eval_shape(without_actions, abstract)


def with_actions(state: PyTree, abstract: PyTree) -> PyTree:
    """A stored state with room for actions, as `abstract` has it."""

    def roomy(x: Any, like: Any) -> Any:
        if not _is_log(x):
            return x
        return x._replace(recent=jnp.zeros(like.recent.shape, like.recent.dtype))

    return jax.tree.map(roomy, state, abstract, is_leaf=_is_log)


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
