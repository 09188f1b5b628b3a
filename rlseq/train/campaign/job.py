"""A job of a campaign, a process of its own: `python -m rlseq.train.campaign.job FILE.yaml`.

The campaign that started it holds the other end of its standard input. When that closes, the
campaign has died: the job finishes its chunk, saves and ends, as on any signal.
"""

import os
import signal
import sys
import threading

BUSY = 75  # exit code: a process without the campaign's lock trains in the folder
STOPPED = 130


def main(words: list[str]) -> int:
    """Run or resume the run of a configuration; `words`: its file, and modules to import."""
    threading.Thread(target=_end_with_the_campaign, daemon=True).start()
    from rlseq.train import process, streams

    process.prepare()
    with streams.lasting():
        return _run(*words)


def _run(file: str, *modules: str) -> int:
    from pathlib import Path

    from rlseq import config as configuration
    from rlseq import plugins
    from rlseq.errors import HostEnvError, InputError
    from rlseq.train import loop, runs

    try:
        for module in modules:
            plugins.load(plugins.allow(module))
        _go_on(configuration.load(Path(file)))
    except runs.Busy as error:
        return _ended(error, BUSY)
    except loop.Interrupted as error:
        return _ended(error, STOPPED)
    except (InputError, HostEnvError, loop.NonFinite, OSError) as error:
        return _ended(error, 1)
    return 0


def _go_on(config) -> None:
    from pathlib import Path

    from rlseq.train import loop, runs
    from rlseq.train.campaign.plan import begun

    folder = Path(config.run.dir)
    if begun(folder):
        loop.resume(runs.open_run(folder))
        return
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()
    loop.train(config)


def _ended(error: Exception, code: int) -> int:
    print(f"rlseq: {error}", file=sys.stderr)
    return code


def _end_with_the_campaign() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
