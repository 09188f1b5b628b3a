"""`rlseq pull`."""

import argparse
from pathlib import Path

from rlseq.commands import DONE

ABOUT = "download a model from the Hugging Face Hub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is downloaded, and where to."""
    parser.add_argument("repo", metavar="REPO_ID", help="OWNER/NAME")
    parser.add_argument("--to", type=Path, metavar="FOLDER", required=True, help="a new folder")
    parser.add_argument("--revision", help="branch, tag or commit (default: main)")


def run(options: argparse.Namespace) -> int:
    """Download, and print the folder."""
    from rlseq.train import hub

    hub.pull(options.repo, options.to, revision=options.revision)
    print(options.to)
    return DONE
