"""What came of it, as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.torture.scenes import End


@dataclass
class Row:
    """One kind of torture.

    Attributes:
        name: what was done.
        unit: of what `tried` counts.
        tried: how often.
        refused: how often the answer was one line.
        blocked: folders that did not go on.
        wrong: results that differ in any bit, without a word.
        tracebacks: errors that are neither of ours nor the machine's.
        examples: what was said of the last three kinds.
    """

    name: str
    unit: str
    tried: int = 0
    refused: int = 0
    blocked: int = 0
    wrong: int = 0
    tracebacks: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all of it was survived."""
        return not (self.blocked or self.wrong or self.tracebacks)

    def judge(
        self, end: End, whole: End, *, killed: bool = False, refused: str = "", failed: bool = False
    ) -> None:
        """Count how a process ended.

        Args:
            end: how.
            whole: how it ends undisturbed.
            killed: it was to be killed.
            refused: words with which it may be refused.
            failed: it may have been failed by the machine.
        """
        if killed:
            self.tried += 1
        if end.code == 0:
            if end.said != whole.said:
                self.wrong += 1
                ours, theirs = json.loads(end.said), json.loads(whole.said)
                differ = [k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k)]
                self.examples.append(f"differs in {', '.join(sorted(differ))}; left: {ours['left']}")
        elif (killed and end.code < 0) or (failed and end.code == 3) or (refused and refused in end.said):
            self.refused += not killed
        elif end.code in (2, 3):
            self.blocked += 1
            self.examples.append(end.said)
        else:
            self.tracebacks += 1
            self.examples.append(f"exit {end.code}: {end.said}")


def text(rows: Sequence[Row]) -> str:
    """The table in Markdown, and an example of whatever was not survived."""
    lines = ["| what | tried | refused in one line | blocked | tracebacks | silently wrong |",
             "|---|---:|---:|---:|---:|---:|"]  # fmt: skip
    lines += [
        f"| {r.name} | {r.tried} {r.unit} | {r.refused} | {r.blocked} | {r.tracebacks} | {r.wrong} |"
        for r in rows
    ]
    lines += [f"\n{row.name}: {example}" for row in rows for example in row.examples[:5]]
    return "\n".join(lines)
