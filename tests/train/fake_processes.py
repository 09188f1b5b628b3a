"""One process of several around the fake agent, as a script: fake_processes SETTING FOLDER CHUNKS.

KEY=VALUE words change `run`; `breaks_at` is the fake agent's, `mesh` is `run.mesh`, and `late` says
how many seconds longer compiling takes.
"""

import sys
import time
from pathlib import Path

from rlseq.commands import BAD_INPUT, FAILED, guard
from rlseq.errors import DistributedError, InputError
from rlseq.train import distributed, process


def work(setting: str, folder: Path, chunks: int, words: dict[str, str]) -> None:
    with distributed.joined(setting) as processes:
        from rlseq.train import build, loop
        from tests.train.fake_job import make_folder, make_job

        numbers = {key: int(value) for key, value in words.items() if key != "mesh"}
        late, compile_chunk = numbers.pop("late", 0), build.compile_chunk
        build.compile_chunk = lambda job: time.sleep(late) or compile_chunk(job)
        job = make_job(chunks, **{"mesh": words.get("mesh", "seed=2,env=2")}, **numbers)
        processes.agree(job.config)
        if processes.leads:
            make_folder(folder)
        loop.drive(job, folder, processes=processes)


if __name__ == "__main__":
    setting, folder, chunks, *words = sys.argv[1:]
    pairs = dict(word.split("=", 1) for word in words)
    print("starting", flush=True)
    try:
        code = guard.exit_code(lambda: work(setting, Path(folder), int(chunks), pairs))
    except (InputError, DistributedError) as error:
        print(f"rlseq: {error}", file=sys.stderr)
        code = BAD_INPUT if isinstance(error, InputError) else FAILED
    sys.exit(process.leave(code))
