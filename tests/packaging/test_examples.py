"""Every example runs, in a process of its own, on fewer updates than it takes to learn."""

import os

import pytest

from tests.packaging.tree import ROOT, python

TRAIN = [
    "train", "agent=reinforce", "core=gru", "core.features=4", "core.layers=1", "total_steps=128",
    "env.id=probe:Recall", "env.num_envs=4", "agent.num_steps=8", "agent.encoder=4", "agent.head=4",
    "run.dir=run", "run.chunks=2", "run.eval_episodes=4", "run.quiet=true",
]  # fmt: skip
# Example -> a check of what `main` returns. Learning is checked where seconds are enough.
CHECKS = {
    "bare_scan": "assert main(updates=200) > 0.9",
    "gymnasium_numpy": "lengths = main(steps=120); assert lengths and min(lengths) > 4",
    "ppo_one_file": "assert main(updates=2) > 5",
    "reinforce": f"assert main(*{TRAIN}) == main('resume', 'run', '--total-steps', '256') == 0",
    "weights": "assert main()",
}
RUN = """
import runpy, sys
sys.path.insert(0, {folder!r})  # as `python FILE` has it
main = runpy.run_path({path!r})["main"]
{check}
"""


def run(name, check):
    """The script that asserts something of an example's `main`."""
    folder = ROOT / "examples"
    return RUN.format(folder=str(folder), path=str(folder / f"{name}.py"), check=check)


def test_every_example_has_a_check():
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_examples_run(name, tmp_path):
    script = run(name, CHECKS[name])
    python(script, cwd=tmp_path, env=os.environ | {"JAX_PLATFORMS": "cpu"})


@pytest.mark.slow
def test_the_ppo_example_learns(tmp_path):
    script = run("ppo_one_file", "assert main() > 150")
    python(script, cwd=tmp_path, env=os.environ | {"JAX_PLATFORMS": "cpu"})
