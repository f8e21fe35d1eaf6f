"""The examples of the documents: what a reader copies into a file or a terminal, and where it stands.

A comment `<!-- not run: REASON -->` on the line before a fenced block, or before the paragraph of a command within a
sentence, says that no test can run it, and why.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "client/README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^(?:<!-- not run: (?P<why>.+?) -->\n+)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.S | re.M)
INLINE = re.compile(r"`((?:[^`\n]*[ (])?(?:python -m \S+|python main\.py|curl|retouch [a-z]+) [^`]+)`")
NOT_RUN = re.compile(r"^<!-- not run: (.+?) -->$", re.M)
# A word in capitals stands for another one: such a command shows a form, and is no example.
PLACEHOLDER = re.compile(r"(?<![\w.-])[A-Z]+(?![\w.-])")


@dataclass(frozen=True)
class Example:
    """One block or command. `kind` is "python", "console" (commands with what they print), "yaml" and so on."""

    page: str
    line: int
    kind: str
    text: str
    not_run: str | None = None

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> str:
        """The commands of a session, as a script."""
        return "\n".join(command for command, _ in self.turns)

    @property
    def turns(self) -> list[tuple[str, list[str]]]:
        """Each command of a session with the lines that it is shown to print."""
        turns: list[tuple[str, list[str]]] = []
        ending: str | None = None
        for line in self.text.splitlines():
            command, shown = turns[-1] if turns else ("", [])
            if ending is not None:
                turns[-1] = (f"{command}\n{line}", shown)
                ending = None if line == ending else ending
            elif line.startswith("$ "):
                turns.append((line.removeprefix("$ "), []))
                heredoc = re.search(r"<<(\w+)$", line)
                ending = heredoc[1] if heredoc else None
            elif command.endswith("\\") and not shown:
                turns[-1] = (f"{command}\n{line}", shown)
            else:
                shown.append(line)
        return turns

    @property
    def needs_cluster(self) -> bool:
        """Whether it starts a graph or holds a handle, and so needs Ray."""
        words = ("main.py", "make demo") if self.kind == "console" else ("handle",)
        return any(word in self.text for word in words)


def examples(kinds: Sequence[str], pages: Sequence[str] = PAGES) -> list[Example]:
    """Return all examples of these kinds."""
    return [example for page in pages for example in of_page(page) if example.kind in kinds]


def of_page(page: str) -> Iterator[Example]:
    """Yield the fenced blocks of a page, and the commands within its sentences."""
    text = (ROOT / page).read_text()
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        yield Example(page, line, match["kind"], textwrap.dedent(match["text"]), match["why"])
    prose = re.sub(r"^```.*?^```$", lambda block: re.sub(r".", " ", block[0]), text, flags=re.S | re.M)
    for match in INLINE.finditer(prose):
        if not PLACEHOLDER.search(match[1]):
            why = NOT_RUN.search(prose, prose.rfind("\n\n", 0, match.start()) + 1, match.start())
            line = prose.count("\n", 0, match.start()) + 1
            yield Example(page, line, "console", f"$ {match[1]}\n", why and why[1])


def as_parameters(chosen: Iterable[Example]) -> list[Any]:
    """Return the examples as parameters of a test, which is named by their places."""
    return [pytest.param(example, id=example.place) for example in chosen]
