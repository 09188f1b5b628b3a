"""Every example runs, in a process of its own, on fewer updates than it takes to learn."""

import os

import pytest

from tests.packaging.tree import ROOT, python

# Example -> a check of what `main` returns. Learning is checked where seconds are enough.
CHECKS = {
    "bare_scan": "assert main(updates=200) > 0.9",
    "gymnasium_numpy": "lengths = main(steps=120); assert lengths and min(lengths) > 4",
    "ppo_one_file": "assert main(updates=2) > 5",
    "weights": "assert main()",
}
RUN = """
import runpy
main = runpy.run_path({path!r})["main"]
{check}
"""


def test_every_example_has_a_check():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_examples_run(name, tmp_path):
    script = RUN.format(path=str(ROOT / "examples" / f"{name}.py"), check=CHECKS[name])
    python(script, cwd=tmp_path, env=os.environ | {"JAX_PLATFORMS": "cpu"})


@pytest.mark.slow
def test_the_ppo_example_learns(tmp_path):
    script = RUN.format(
        path=str(ROOT / "examples" / "ppo_one_file.py"), check="assert main() > 150"
    )
    python(script, cwd=tmp_path, env=os.environ | {"JAX_PLATFORMS": "cpu"})
