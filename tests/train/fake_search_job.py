"""A trial of a search that trains nothing; its arguments are DOES and the file of the job.

Returns are higher the nearer `agent.lr` is to 1e-3. DOES maps names to what they do, as JSON.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

from omegaconf import OmegaConf

does, file = json.loads(sys.argv[1]), Path(sys.argv[2])
config = OmegaConf.load(file)
folder = Path(config.run.dir)
value = -abs(math.log10(config.agent.lr) + 3)
row = {"seed": 0, "return": value}
stopped = []
signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
# A launcher's worker closes the input, as the death of a search does.
threading.Thread(target=lambda: stopped.append(os.read(0, 1)), daemon=True).start()


def add(name: str, **values) -> None:
    with open(folder / name, "a", encoding="utf-8") as rows:
        rows.write(json.dumps(row | values) + "\n")


folder.mkdir(exist_ok=True)
(folder / "config.yaml").write_text(file.read_text())
(folder / "metrics.jsonl").unlink(missing_ok=True)
match does.get(file.stem, "done"):
    case "fail":
        print("rlseq: the loss is not finite", file=sys.stderr)
        sys.exit(1)
    case "kill":
        add("metrics.jsonl", step=config.total_steps // 10, seconds=1.0)
        os.kill(os.getpid(), signal.SIGKILL)
    case "wait":
        add("metrics.jsonl", step=config.total_steps // 10, seconds=1.0)
        while not stopped:
            time.sleep(0.01)
        sys.exit(130)
for tenth in range(1, 11):
    add("metrics.jsonl", step=config.total_steps * tenth // 10, seconds=float(tenth))
    time.sleep(does.get("pause", 0.0))
    while value < does.get("wait_below", value) and not stopped:
        time.sleep(0.01)
    if stopped:
        sys.exit(130)
protocol = {"evaluation": 0, "mode": "sampled", "num_envs": 1, "max_steps": None, "eval_seed": 0}
place = {"slot": 0, "episode": 0, "length": 1}
add("episodes.jsonl", **protocol, **place, step=config.total_steps)
