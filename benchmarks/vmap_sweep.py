"""Eight learning rates in one program (`sweep.vmap`) against eight runs one after another (`-m`).

    python benchmarks/vmap_sweep.py [--repeats 3] [KEY=VALUE ...]

Both are whole processes: imports, compiling, training, checkpoints and evaluation. Prints JSON; a
ratio below 1 means that the sweep in one program is quicker.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time

RATES = ("1e-4", "2e-4", "3e-4", "5e-4", "7e-4", "1e-3", "2e-3", "3e-3")
WORDS = ("experiment=popgym_ppo", "total_steps=131072", "run.quiet=true")


def seconds(words: list[str]) -> float:
    """Of `rlseq train` in a folder of its own."""
    with tempfile.TemporaryDirectory() as root:
        began = time.perf_counter()
        command = [sys.executable, "-m", "rlseq", "train", *words, f"run.root={root}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def main() -> None:
    """Turn and turn about."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    words = [*WORDS, *options.overrides]
    together, apart = [], []
    for _ in range(options.repeats):
        together.append(seconds([*words, f"sweep.vmap={{agent.lr: [{', '.join(RATES)}]}}"]))
        apart.append(seconds(["-m", *words, f"agent.lr={','.join(RATES)}"]))
    ratios = [a / b for a, b in zip(together, apart, strict=True)]
    found = {
        "words": words,
        "one_program_seconds": [round(x, 1) for x in together],
        "one_after_another_seconds": [round(x, 1) for x in apart],
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(x, 3) for x in ratios],
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
