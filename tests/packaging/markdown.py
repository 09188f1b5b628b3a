"""Code blocks of Markdown files and the commands in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

SHELLS = ("bash", "console", "sh", "shell", "shell-session")
CUT = re.compile(r"&&|\|\||[;|>&]")  # where a command ends, outside quotes


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str
    line: int  # of its first line of text, from 1
    heading: int  # the line of the heading above it, 0 for none


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a file, in order."""
    found, heading, inside = [], 0, None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*(`{3,}|~{3,})\s*([\w-]*)", line)
        if inside is None and fence:
            inside, lines, start = fence, [], number + 1
        elif inside and fence and fence[1].startswith(inside[1]) and not fence[2]:
            found.append(Block(inside[2].lower(), "\n".join(lines), start, heading))
            inside = None
        elif inside:
            lines.append(line)
        elif re.match(r"#{1,6} ", line):
            heading = number
    return found


def scripts(path: Path) -> dict[int, str]:
    """Heading -> its Python blocks as one script; its lines keep their numbers."""
    joined: dict[int, list[str]] = {}
    for block in blocks(path):
        if block.language in ("python", "py"):
            lines = joined.setdefault(block.heading, [])
            lines += [""] * (block.line - 1 - len(lines)) + block.text.split("\n")
    return {heading: "\n".join(lines) for heading, lines in joined.items()}


def commands(path: Path) -> list[list[str]]:
    """The words of every command in the shell blocks; output, comments and prompts left out."""
    found = []
    for block in blocks(path):
        if block.language in SHELLS:
            text = block.text.replace("\\\n", " ")
            lines = [line.strip() for line in text.split("\n")]
            prompted = [line[2:] for line in lines if line.startswith(("$ ", "% "))]
            for line in prompted or lines:
                found += _commands(line)
    return [words for words in found if words]


def _commands(line: str) -> list[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    result: list[list[str]] = [[]]
    for word in lexer:
        if CUT.match(word):
            result.append([])
        else:
            result[-1].append(word)
    return result
