"""One machine for several jobs: each has its own cores, and on GPUs its own device or memory.

XLA's pool of threads on CPUs has as many threads as the process may use cores (jaxlib 0.10 and
0.11: its affinity, or NPROC where that is set), and so have BLAS and OpenMP. Emulators count alike
(`rlseq.envs.atari`). So jobs are told which cores are theirs before they start.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_POOLS = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/{}"
_CUDA = "CUDA_VISIBLE_DEVICES"
_MEMORY, _OLD_MEMORY = "XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"  # never both
_PREALLOCATED = 0.75  # what JAX takes without them


class Slot(NamedTuple):
    """What one job at a time may use."""

    number: int
    cpus: tuple[int, ...]  # empty where the system cannot pin
    variables: dict[str, str]  # of its environment


def slots(jobs: int) -> list[Slot]:
    """The machine divided by a number of jobs; one job has it all, as without a campaign."""
    if jobs == 1:
        return [Slot(0, (), {})]
    cpus, devices = _cpus(), _devices()
    found = []
    for i in range(jobs):
        own = _part(cpus, i, jobs)
        count = len(own) or max((os.cpu_count() or 1) // jobs, 1)
        pools = {name: str(count) for name in _POOLS if name not in os.environ}
        found.append(Slot(i, own, pools | _device(devices, i, jobs)))
    return found


def count() -> int:
    """How many cores this process may use."""
    return len(_cpus()) or os.cpu_count() or 1


@contextlib.contextmanager
def pinned(slot: Slot) -> Iterator[None]:
    """Processes that are started inside are on the slot's cores from their first moment."""
    if not slot.cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, slot.cpus)  # of this thread alone, which children inherit
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _part(cpus: list[int], index: int, parts: int) -> tuple[int, ...]:
    """Neighbours; where there are more jobs than cores, several share one."""
    if not cpus:
        return ()
    if parts >= len(cpus):
        return (cpus[index % len(cpus)],)
    return tuple(cpus[index * len(cpus) // parts : (index + 1) * len(cpus) // parts])


def _cpus() -> list[int]:
    """Those of this process, threads of one core and cores of one socket next to each other."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0), key=lambda cpu: (*_place_of(cpu), cpu))


def _place_of(cpu: int) -> tuple[int, ...]:
    files = [Path(_TOPOLOGY.format(cpu, name)) for name in ("physical_package_id", "core_id")]
    try:
        return tuple(int(file.read_text()) for file in files)
    except (OSError, ValueError):
        return (0, 0)


def _devices() -> list[str]:
    """NVIDIA's GPUs that this process may use, without starting CUDA here."""
    if _CUDA in os.environ:
        return [name for name in os.environ[_CUDA].split(",") if name]
    return [str(i) for i, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]


def _device(devices: list[str], index: int, jobs: int) -> dict[str, str]:
    if not devices:
        return {}
    own = {_CUDA: devices[index % len(devices)]}
    together = -(-jobs // len(devices))
    if together > 1 and not {_MEMORY, _OLD_MEMORY} & os.environ.keys():
        own[_MEMORY] = f"{_PREALLOCATED / together:.3f}"
    return own
