"""The commands that README.md and the pages under docs/ show, as they stand there."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("CONTRIBUTING.md")), *sorted((ROOT / "docs").glob("*.md"))]
# What a line must begin with to be a command.
PROGRAMS = ("reawaken", "python", "python3", "make", "pip", "source", "tar", "git", "npm", "node")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        page: file name.
        words: as a shell would split it, without comments.
        shown: in a block of its own, rather than named in a sentence.
    """

    page: str
    words: tuple[str, ...]
    shown: bool = True

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def commands(page):
    """Every command of a page in order: of its blocks, and those named in sentences with their arguments."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block, shown in _parts(text):
        lines = _unrolled(block) if shown else [block]
        for line in lines:
            words = tuple(shlex.split(_without_options(line), comments=True)) if _is_command(line) else ()
            if words and (shown or len(words) > 1):
                found.append(Command(page.name, words, shown))
    return found


def snippets(page):
    """Blocks of Python, as text."""
    return [
        b for b, shown in _parts(page.read_text(encoding="utf-8")) if shown and re.match(r"(import|from) ", b)
    ]


def _is_command(line):
    return re.match(rf"({'|'.join(PROGRAMS)})(\s|$)", line) is not None


def _parts(text):
    """Blocks (fenced or indented), and code within sentences; in order."""
    fence, block = None, []
    for line in [*text.splitlines(), ""]:
        if line.startswith("```"):
            if fence is not None:
                yield "\n".join(fence), True
            fence = [] if fence is None else None
        elif fence is not None:
            fence.append(line)
        elif line.startswith("    ") and (block or line.strip()):
            block.append(line[4:])
        elif not line.strip() and block:
            block.append("")
        else:
            if block:
                yield "\n".join(block).strip("\n"), True
            block = []
            for code in re.findall(r"`([^`]+)`", line):
                yield code, False
    if block:
        yield "\n".join(block).strip("\n"), True


def _unrolled(block):
    """Lines of a block: continued ones joined, loops over words written out."""
    lines = re.sub(r"\\\n\s*", " ", block).splitlines()
    found, loop = [], None
    for line in map(str.strip, lines):
        if start := re.match(r"for (\w+) in (.*); do$", line):
            loop = (start[1], shlex.split(start[2]), [])
        elif line == "done" and loop:
            name, values, body = loop
            found += [re.sub(rf"\${name}\b|\${{{name}}}", value, inner) for value in values for inner in body]
            loop = None
        elif loop:
            loop[2].append(line)
        else:
            found.append(line)
    return found


def _without_options(line):
    """A line without what it puts in brackets: words that may be left out."""
    return re.sub(r"\s\[[^\]]*\]", "", line)
