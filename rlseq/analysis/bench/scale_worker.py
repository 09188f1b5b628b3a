"""One process of `rlseq bench scale`: `python -m rlseq.analysis.bench.scale_worker WORDS...`.

Its devices are those of JAX_NUM_CPU_DEVICES, its processes those of run.distributed. Process 0
prints what it measured as one line of JSON.
"""

import json
import statistics
import sys
import time

CHUNKS = 5  # timed, after one that is not


def main(words: list[str]) -> None:
    """Time chunks of training of a configuration."""
    from rlseq import overrides
    from rlseq.train import distributed

    with distributed.joined(overrides.text_of("run.distributed", words)) as processes:
        from rlseq import config

        own, processes = distributed.shared(config.compose(words), processes)
        found = _measured(own)
        if processes.leads:
            print(json.dumps(found), flush=True)


def _measured(config) -> dict:
    import jax

    from rlseq.analysis.bench.collectives import exchanged
    from rlseq.train import build

    job = build.build(config)
    state = build.init(job)
    compiled = build.lower_chunk(job).compile(build.compiler_options())
    moved = exchanged(compiled.as_text() or "")
    times = []
    for _ in range(1 + CHUNKS):
        began = time.perf_counter()
        state, metrics = compiled(state)
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - began)
    updates = job.schedule.chunk
    return {
        "seconds_per_update": statistics.median(times[1:]) / updates,
        "steps_per_update": job.schedule.steps_per_update * config.seeds,
        "exchanged_bytes": moved.bytes / updates,
        "collectives": moved.count / updates,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
