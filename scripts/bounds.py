"""Memory and time that hostile files and command lines take: each case in a process of its own.

``python scripts/bounds.py`` writes docs/evidence/bounds.md. Exits with 1 if a case took more than it may, or was not
refused.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import bad_inputs

from fedward.cli import data  # noqa: F401  # loaded once, before the first fork
from fedward.data.content import FormatError
from tests.cli.odd_lines import DONE, REFUSED, TOML
from tests.data.test_bombs import BOMBS
from tests.fuzz.forked import Ended, command, forked

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "bounds.md"
SECONDS = 30.0  # of which a grid of two runs takes most, in processes that load everything anew
MEMORY = 1 << 30
HEAD = f"""# Memory and time of hostile files and command lines

What each case took in a process of its own, beyond what a process takes that has fedward loaded: seconds of a core, and
the most memory. None may take more than {SECONDS:.0f} s and {MEMORY >> 20:,} MiB.

- A client's file is the only bad one among five good, so reading and judging those is in it.
- Of a small file of a data set that would fill the memory, 256 MiB are unpacked at most before it is refused, or a
  hundred times the file if that is more.
- Command lines that are done train a round.

Written by `python scripts/bounds.py`, which says so if a case is not refused or takes more.

| case | came to | s | MiB |
|---|---|---:|---:|
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case, and what came of it in a process of its own."""

    name: str
    due: str
    found: str
    ended: Ended

    def wrong(self) -> str | None:
        """What is wrong with it, if anything is."""
        held = self.ended.cpu <= SECONDS and self.ended.bytes <= MEMORY and not (self.ended.late or self.ended.full)
        fine = held and self.found == self.due and not self.ended.crashed
        return None if fine else f"{self.name}: {self.found}, {self.due} was due; {self.ended}"

    def row(self) -> str:
        """Its line in the table."""
        name = self.name.replace("|", "\\|")
        return f"| {name} | {self.found} | {self.ended.cpu:.2f} | {self.ended.bytes / 2**20:.0f} |\n"


def cases() -> Iterator[Case]:
    """Every case in turn."""
    for kind, known in (("client", bad_inputs.CLIENTS), ("base", bad_inputs.BASES)):
        for name, (due, make) in known.items():
            yield of_file(f"{kind}: {name}", due, partial(bad_inputs.tried, name, due, make, is_base=kind == "base"))
    for name, (work, _) in BOMBS.items():
        with tempfile.TemporaryDirectory() as place:
            yield of_bomb(f"data: {name}", partial(work, Path(place)))
    for name, (words, _) in REFUSED.items():
        yield of_line(f"line: {name}", "refused", words)
    for name, (text, _) in TOML.items():
        yield of_line(f"TOML: {name}", "refused", ["run", "--config", "run.toml"], text)
    for name, words in DONE.items():
        yield of_line(f"line: {name}", "done", words)


def of_file(name: str, due: str, tried: partial[bad_inputs.Came]) -> Case:
    """A bad file of a client."""
    with tempfile.TemporaryDirectory() as place:
        ended = forked(lambda: print(tried().found), Path(place), seconds=10 * SECONDS, memory=4 * MEMORY)
    return Case(name=name, due=due, found=ended.said.strip()[-60:], ended=ended)


def of_bomb(name: str, work: partial[object]) -> Case:
    """A small file that would become a vast one."""

    def refused() -> None:
        try:
            work()
        except FormatError:
            print("refused")

    with tempfile.TemporaryDirectory() as place:
        ended = forked(refused, Path(place), seconds=10 * SECONDS, memory=4 * MEMORY)
    return Case(name=name, due="refused", found=ended.said.strip()[-60:], ended=ended)


def of_line(name: str, due: str, words: list[str], config: str | None = None) -> Case:
    """A command line, with a configuration beside it or without."""
    with tempfile.TemporaryDirectory() as place:
        if config is not None:
            (Path(place) / "run.toml").write_text(config, encoding="utf-8")
        ended = command(words, Path(place), seconds=10 * SECONDS, memory=1 << 40)
    found = {0: "done", 1: "refused", 2: "refused"}.get(ended.status, f"ended with {ended.status}")
    return Case(name=name, due=due, found=found, ended=ended)


def main() -> int:
    tried = list(cases())
    PAGE.write_text(HEAD + "".join(case.row() for case in tried), encoding="utf-8")
    wrong = [text for case in tried if (text := case.wrong())]
    most = max(tried, key=lambda case: case.ended.bytes), max(tried, key=lambda case: case.ended.cpu)
    print(f"{len(tried)} cases, {len(wrong)} not as they should be; the most: {most[0].row()}{most[1].row()}")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
