"""PPO's steps per second on Breakout, ours and PyTorch's, update by update in turn.

`python atari_ppo.py PYTHON` where PYTHON is an interpreter with torch, ale-py and gymnasium, which
runs `atari_ppo_torch.py`. Network and settings of both are those of
`rlseq train experiment=atari_ppo core=mlp`. Prints one JSON line an update, then the medians.
"""

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path

import jax

from rlseq import config
from rlseq.train import build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--overrides", nargs="*", default=[], help="of ours alone: core=gru")
    options = parser.parse_args()
    peer = subprocess.Popen(
        [options.python, str(Path(__file__).with_name("atari_ppo_torch.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert peer.stdin and peer.stdout
    chosen = ["experiment=atari_ppo", "core=mlp", "core.layers=1", *options.overrides]
    agent = build.build(config.compose(chosen)).agent
    state = agent.init(jax.random.key(0))
    compiled = agent.train.lower(agent, state, 1).compile()
    rates: dict[str, list[float]] = {"rlseq": [], "torch": []}
    for index in range(options.rounds + 1):
        began = time.perf_counter()
        state, metrics = compiled(state)
        jax.block_until_ready(metrics)
        seconds = {"rlseq": time.perf_counter() - began}
        peer.stdin.write("\n")
        peer.stdin.flush()
        seconds["torch"] = float(peer.stdout.readline())
        row = {k: agent.steps_per_update / s for k, s in seconds.items()}
        print(json.dumps({"update": index, **row}), flush=True)
        if index:  # the first one warms up
            for name, rate in row.items():
                rates[name].append(rate)
    peer.stdin.close()
    peer.wait()
    print(json.dumps({k: statistics.median(x) for k, x in rates.items()} | {"steps/s": "median"}))


if __name__ == "__main__":
    main()
