"""A job of a campaign that trains nothing; its arguments are DOES and the file of the job.

DOES maps names to what they do, as JSON; every start is a line of `starts.jsonl`.
"""

import json
import os
import signal
import sys
from pathlib import Path

does, file = json.loads(sys.argv[1]), Path(sys.argv[2])
start = {
    "name": file.stem,
    "cpus": sorted(os.sched_getaffinity(0)),
    "threads": os.environ.get("NPROC"),
}


def note() -> None:
    with open(file.parent / "starts.jsonl", "a", encoding="utf-8") as starts:
        starts.write(json.dumps(start) + "\n")


match does.get(file.stem, "done"):
    case "fail":
        print("rlseq: the loss is not finite", file=sys.stderr)
        note()
        sys.exit(1)
    case "kill":
        note()
        os.kill(os.getpid(), signal.SIGKILL)
    case "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
        note()
        os.read(0, 1)
        sys.exit(130)
note()
