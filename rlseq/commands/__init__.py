"""One file a command: its help, its arguments and what it does.

A command module has `ABOUT` (one line of help), `add_arguments(parser)` and `run(options)`, which
returns the exit code. Its heavy imports are inside `run`, so that `rlseq --help` stays quick.
"""

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130  # exit codes

NAMES = (
    "train",
    "resume",
    "eval",
    "record",
    "video",
    "imagine",
    "plot",
    "report",
    "table",
    "campaign",
    "atari100k",
    "search",
    "list",
    "check",
    "plan",
    "bench",
    "gallery",
    "export",
    "push",
    "pull",
)
