"""Strict by default: dtype and rank promotion are errors, warnings are errors, four CPU devices."""

import gc
import os
import signal
import tempfile

import jax
import pytest

from rlseq import registry
from tests import xla_flags

# A background job of a shell ignores SIGINT, and so would what tests interrupt in this process.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Nearly all of the suite's time is compiling. XLA's older emitters of fused loops take a third of
# the time of the newer ones on small programs, and programs in one part take a quarter less than
# those split for several compilers; processes that tests start inherit all settings. The older
# emitters went with jaxlib 0.11.
_QUICKLY = ("--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1")
if "RLSEQ_TEST_XLA_FLAGS" not in os.environ:  # workers inherit what the first process found out
    os.environ["RLSEQ_TEST_XLA_FLAGS"] = " ".join(xla_flags.known(_QUICKLY))
    _FLAGS = f"{os.environ.get('XLA_FLAGS', '')} {os.environ['RLSEQ_TEST_XLA_FLAGS']}"
    os.environ["XLA_FLAGS"] = _FLAGS.strip()
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
_CACHE = os.environ.get("RLSEQ_TEST_CACHE", os.path.join(tempfile.gettempdir(), "rlseq_jax_cache"))
jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
# Tracing makes millions of objects that live on: looking through them again and again took a fifth.
gc.freeze()
gc.set_threshold(200_000, 50, 100)


# One quick look at each part: `pytest -m smoke`.
SMOKE = (
    "tests/cli/test_config.py",
    "tests/cores/test_laws.py",
    "tests/envs/test_probe.py",
    "tests/nn/test_distributions.py",
    "tests/packaging/test_structure.py",
    "tests/rl/test_returns.py",
    "tests/scans/test_conv.py",
    "tests/train/test_checkpoint.py",
)


def pytest_collection_modifyitems(items):
    for item in items:
        name = getattr(getattr(item, "callspec", None), "params", {}).get("name", "gru")
        if item.nodeid.startswith(SMOKE) and name == "gru" and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.smoke)


@pytest.fixture(autouse=True, scope="module")
def optimise(request):
    """Small programs run sooner than they are optimised; a module that runs long says OPTIMISE."""
    quickly = not getattr(request.module, "OPTIMISE", False)
    jax.config.update("jax_disable_most_optimizations", quickly)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Each program keeps memory maps, of which Linux gives a process 65,530; beyond, it crashes."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def registry_as_it_was():
    """What a test registers is not there in later ones of the same process."""
    before = {kind: dict(names) for kind, names in registry.TABLES.items()}
    yield
    for kind, names in registry.TABLES.items():
        names.clear()
        names.update(before[kind])


@pytest.fixture
def loose_promotion():
    """For code of others that relies on implicit dtype or rank promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
