"""`rlseq push`."""

import argparse
from pathlib import Path

from rlseq.commands import DONE

ABOUT = "upload a model folder to the Hugging Face Hub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is uploaded, and where to."""
    parser.add_argument("folder", type=Path, help="a model folder, of `rlseq export --to`")
    parser.add_argument("repo", metavar="REPO_ID", help="OWNER/NAME; made if it is missing")
    parser.add_argument("--private", action="store_true", help="a new repository is private")
    parser.add_argument("--message", default="Add a policy of rlseq", help="of the commit")


def run(options: argparse.Namespace) -> int:
    """Upload, and print the address of the commit."""
    from rlseq.train import hub

    print(hub.push(options.folder, options.repo, private=options.private, message=options.message))
    return DONE
