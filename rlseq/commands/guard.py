"""How training and playing end, as exit codes."""

import sys
from collections.abc import Callable

from rlseq.commands import DONE, FAILED, INTERRUPTED


def exit_code(work: Callable[[], object]) -> int:
    """Run `work`; the exit code, with the reason on standard error where it ended early.

    `rlseq.cli.main` prints the errors that any command may have.
    """
    from rlseq.train.stop import Interrupted, NonFinite

    try:
        work()
    except Interrupted as saved:
        print(f"rlseq: {saved}", file=sys.stderr)
        return INTERRUPTED
    except NonFinite as error:
        print(f"rlseq: {error}", file=sys.stderr)
        return FAILED
    return DONE
