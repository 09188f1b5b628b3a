"""Several processes that run one program over the devices of all of them.

Every process runs the same host loop. Process 0 leads: it writes the run folder and plays the
evaluation; the others take part in what is computed on the mesh. What the leader alone can know
(the folder, the step to go on from) it tells the others.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

import rlseq
from rlseq import config as configuration
from rlseq.config import Config
from rlseq.errors import DistributedError, InputError, check_names
from rlseq.train import coordination, sharding, watchdog
from rlseq.train.stop import Interrupted, Stop
from rlseq.train.watchdog import Watchdog
from rlseq.types import PyTree

AUTO = "auto"
RANK = "JAX_PROCESS_ID"  # environment variable
DETECTED = "SLURM, Open MPI, Kubernetes and Cloud TPU"  # by JAX 0.10; jax._src.clusters has them
JOINING, HEARTBEAT, LEAVING = 300, 60, 60  # seconds: to find all, until one is missed, at the end
_FORM = "reads like auto, HOST:PORT,processes=4 or HOST:PORT,processes=4,rank=0"
# Flags of JAX that change programs or numbers.
_FLAGS = ("enable_x64", "threefry_partitionable", "default_prng_impl", "default_matmul_precision")


class Setting(NamedTuple):
    """Where process 0 is, how many there are, and which one this is; None: as JAX detects it."""

    address: str | None = None
    processes: int | None = None
    rank: int | None = None


def parse(text: str) -> Setting:
    """A value of `run.distributed`; a rank that it lacks is that of JAX_PROCESS_ID.

    Raises InputError.
    """
    if text == AUTO:
        return Setting()
    address, *parts = (part.strip() for part in text.split(","))
    pairs = {name: value for name, _, value in (part.partition("=") for part in parts)}
    check_names("part of run.distributed", pairs, ("processes", "rank"))
    port = re.fullmatch(r".+:(\d{1,5})", address)
    if not port or not 1 <= int(port[1]) < 2**16 or "processes" not in pairs:
        raise InputError(f"run.distributed {_FORM}, got {text!r}")
    if "rank" not in pairs and RANK not in os.environ:
        raise InputError(f"run.distributed: {text!r} names no rank, nor does {RANK}")
    rank = pairs.get("rank", os.environ.get(RANK, ""))
    if not (rank.isdecimal() and pairs["processes"].isdecimal()):
        raise InputError(f"run.distributed {_FORM}, got {text!r} and rank {rank!r}")
    if int(rank) >= int(pairs["processes"]):
        raise InputError(f"run.distributed: {pairs['processes']} processes have no rank {rank}")
    return Setting(address, int(pairs["processes"]), int(rank))


class Processes:
    """The processes of a run, as one of them sees them; a run of one process is `Processes()`."""

    def __init__(self, dog: Watchdog | None = None):
        self._dog = dog
        self.rank = dog.rank if dog else 0
        self.count = dog.count if dog else 1
        self._said = 0

    @property
    def leads(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    def watch(self, stop: Stop, left: Callable[[], str]) -> None:
        """Pass on the signals of `stop`; `left()` says in messages what is saved."""
        if self._dog:
            self._dog.stop, self._dog.left = stop, left

    def agree(self, config: Config) -> None:
        """Raise InputError, in all processes, unless all have one configuration, one version and
        the same flags of JAX, and for one that several processes cannot share."""
        if self._dog is None:
            return
        coordination.put(f"rlseq/facts/{self.rank}", _facts(config))
        if not coordination.meet("rlseq/facts", JOINING):
            raise DistributedError(f"not all processes are there after {JOINING} s")
        wrong = _differences(coordination.listed("rlseq/facts"))
        if wrong:
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise InputError(f"the processes disagree: {'; '.join(wrong[:3])}{more}")
        _check_splits(config)

    def from_leader(self, compute: Callable[[], Any]) -> Any:
        """What `compute` gives in process 0, plain values, for all of them. An Interrupted that it
        raises is raised by all."""
        if self.count == 1:
            return compute()
        self._said += 1
        key = f"rlseq/said/{self._said}"
        if not self.leads:
            said = coordination.wait(key)
            if "interrupted" in said:
                raise Interrupted(said["interrupted"])
            return said["value"]
        try:
            value = compute()
        except Interrupted as error:
            coordination.put(key, {"interrupted": str(error)})
            raise
        coordination.put(key, {"value": value})
        return value

    def any(self, flag: bool) -> bool:
        """Whether it is True in any process: the same answer in all."""
        if self.count == 1:
            return flag
        return bool(multihost_utils.process_allgather(np.array(flag)).any())

    def meet(self, name: str) -> None:
        """Wait for all processes, however long it takes; once under each name."""
        if self.count > 1:
            coordination.put(f"rlseq/{name}/{self.rank}", True)
            for rank in range(self.count):
                coordination.wait(f"rlseq/{name}/{rank}")

    def gathered(self, tree: PyTree) -> PyTree:
        """Arrays that lie on devices of all processes, whole and on the host of the leader; the
        others, which all must call it, get None."""
        return tree if self.count == 1 else sharding.gathered(tree, self.leads)


def shared(config: Config, processes: Processes | None) -> tuple[Config, Processes]:
    """(the configuration without `run.distributed`, the processes), once all agree.

    The key is of a start, not of a run, which any number of processes may resume. Raises
    InputError as `Processes.agree`, and for a key that nobody heeded.
    """
    if config.run.distributed is not None and processes is None:
        raise InputError(
            "run.distributed is a word of `rlseq train`, which joins the processes before anything "
            "else: `with rlseq.train.distributed.joined(...)` in Python"
        )
    run = dataclasses.replace(config.run, distributed=None)
    config, processes = dataclasses.replace(config, run=run), processes or Processes()
    processes.agree(config)
    return config, processes


@contextlib.contextmanager
def joined(text: str | None) -> Iterator[Processes]:
    """Join the processes that `text`, a value of `run.distributed`, names; None: this one alone.

    It must be entered before JAX touches a device, and gymnax does when it is imported: so before
    `rlseq.train.loop` is. The end waits for all processes, an error inside ends all of them.

    Raises:
        InputError: a text that cannot be read, and no cluster found.
        DistributedError: another process failed or died.
    """
    if text is None:
        yield Processes()
        return
    setting, dog = parse(text), None

    def lost() -> str:
        return _not_found(setting) if dog is None else dog.told or f"{_LOST}; {dog.left()}"

    with watchdog.explained_aborts(lost):
        _initialize(setting)
        dog = Watchdog(*coordination.place())
        dog.start()
        try:
            yield Processes(dog)
            coordination.meet("rlseq/end", LEAVING)
        except BaseException as error:
            _fail(dog, error)
            raise
        finally:
            dog.close()
        jax.distributed.shutdown()


_LOST = "JAX lost process 0, which coordinates all, or found that another process has died (above)"


_STATUS = re.compile(r"[A-Z_]+: ")  # begins the errors of XLA, which are of several types


def _fail(dog: Watchdog, error: BaseException) -> None:
    """End the other processes; raises DistributedError where they are the cause."""
    computing = isinstance(error, jax.errors.JaxRuntimeError) or _STATUS.match(str(error))
    if not computing and coordination.meet("rlseq/end", watchdog.GRACE):
        jax.distributed.shutdown()
        return  # all end here: signals, bad input and losses that are not finite are seen by all
    cause = dog.failed(error)
    if cause and computing:
        raise DistributedError(cause) from error


def _check_splits(config: Config) -> None:
    if config.run.mesh is None:
        raise InputError(
            "several processes share the work as run.mesh says, which is null: run.mesh=env=8 "
            "splits environments over eight devices, run.mesh=seed=2,env=4 seeds too"
        )
    if jax.config.jax_disable_jit:  # type: ignore[attr-defined]
        raise InputError("several processes run compiled programs: unset JAX_DISABLE_JIT")


def _initialize(setting: Setting) -> None:
    if jax.distributed.is_initialized():
        return
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM
    detect = None if setting.address is None else "deactivate"
    try:
        jax.distributed.initialize(
            *setting,
            cluster_detection_method=detect,
            initialization_timeout=JOINING,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=LEAVING,
        )
    except ValueError as error:
        raise InputError(
            f"run.distributed=auto: JAX detects {DETECTED}, and none of them here ({error}): name "
            f"HOST:PORT,processes=N,rank=R instead, or leave the rank to {RANK}; so for Ray as well"
        ) from error


def _not_found(setting: Setting) -> str:
    where = setting.address or "the address that JAX detected"
    return (
        f"the processes did not find each other at {where}: process 0 must run there, all must "
        f"start within {JOINING} s and name the same number of processes, each a rank of its own"
    )


def _differences(facts: dict[int, dict[str, Any]]) -> list[str]:
    """What differs from process 0."""
    return [
        f"{key} is {facts[0].get(key)} in process 0 and {own.get(key)} in process {rank}"
        for rank, own in sorted(facts.items())
        for key in {**facts[0], **own}
        if facts[0].get(key) != own.get(key)
    ]


def _facts(config: Config) -> dict[str, Any]:
    """What must be the same everywhere; no device is touched for it."""
    modules = {"rlseq": rlseq, "jax": jax}
    versions = {f"the version of {name}": one.__version__ for name, one in modules.items()}
    flags = {f"jax_{name}": str(getattr(jax.config, f"jax_{name}")) for name in _FLAGS}
    values = {key: str(value) for key, value in configuration.flat(config).items()}
    return versions | flags | values
