"""Strict by default: dtype and rank promotion are errors, warnings are errors, four CPU devices."""

import gc
import os
import tempfile

import jax
import pytest

jax.config.update("jax_platforms", os.environ.get("JAX_PLATFORMS", "cpu"))
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
_CACHE = os.environ.get("RLSEQ_TEST_CACHE", os.path.join(tempfile.gettempdir(), "rlseq_jax_cache"))
jax.config.update("jax_compilation_cache_dir", _CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
BY_CORE = ("test_laws.py", "test_probes.py", "test_resume.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What compiles the same programs runs in one worker: a file, or a core of these files."""
    for item in items:
        group = item.path.name
        chosen = item.callspec.params if hasattr(item, "callspec") else {}
        if group in BY_CORE:
            group += f":{chosen.get('name', chosen.get('core', ''))}"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True, scope="module")
def compile_quickly(request):
    """Laws compile hundreds of small programs: LLVM's dear passes are left out where asked for."""
    wanted = getattr(request.module, "COMPILE_QUICKLY", False)
    jax.config.update("jax_disable_most_optimizations", wanted)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Each program keeps memory maps, of which Linux gives a process 65,530; beyond, it crashes."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def loose_promotion():
    """For code of others that relies on implicit dtype or rank promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
