"""The table that ``make fuzz`` prints: each surface with the inputs tried, and how many went wrong in which way.

``python -m tests.fuzz.table --hypothesis-profile nightly --only "command lines"``

Inputs are tried in parts, each in a process of its own: one that a native reader kills (safetensors, NumPy, SciPy,
Arrow, Pillow, zlib, PyTorch's archives) is a crash of that part, and the others go on. A part whose memory grows beyond
`MEMORY` is a hang.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import pickle
import pkgutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings

from tests import conftest
from tests.fuzz.forked import forked

assert conftest  # it registers the profiles

PART = 5_000
"""Inputs that one process tries."""
MEMORY = 1 << 30
"""Bytes that a part may take beyond what it begins with, if its surface does not say otherwise: inputs are small."""
_LONGEST = 3600.0  # seconds; a part takes some, or a minute


@dataclass(kw_only=True)
class Tried:
    """What came of the inputs of a surface.

    Attributes:
        inputs: how many were tried.
        crashes: those that ended in a traceback, a signal or a sentence that reports a fault of fedward.
        hangs: those that took longer or more memory than their bound.
        silent: those that were taken for sound though they were not, or changed what they must not.
        bytes: the most memory that any process took to try them, beyond what it began with; 0 if that was not measured.
    """

    inputs: int = 0
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    bytes: int = 0

    def add(self, other: Tried, surface: str = "") -> None:
        """Count in what came of others."""
        self.inputs += other.inputs
        self.bytes = max(self.bytes, other.bytes)
        for way in ("crashes", "hangs", "silent"):
            getattr(self, way).extend(f"{surface}{text}" for text in getattr(other, way))

    @property
    def wrong(self) -> list[str]:
        """All that went wrong, with the way before it."""
        ways = {"crash": self.crashes, "hang": self.hangs, "silent": self.silent}
        return [f"{way}: {text}" for way, texts in ways.items() for text in texts]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """A module of fuzzers."""

    name: str
    weight: float
    memory: int
    try_inputs: Callable[[int, int], Tried]

    def inputs(self) -> int:
        """How many inputs hypothesis's profile asks for."""
        return max(1, round(settings().max_examples * self.weight))


def surfaces() -> list[Surface]:
    """All that there are, by name."""
    found = []
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        loaded = importlib.import_module(f"tests.fuzz.{module.name}")
        if hasattr(loaded, "SURFACE"):
            memory = getattr(loaded, "MEMORY", MEMORY)
            found.append(
                Surface(name=loaded.SURFACE, weight=loaded.WEIGHT, memory=memory, try_inputs=loaded.try_inputs)
            )
    return sorted(found, key=lambda surface: surface.name)


def tried_in_parts(surface: Surface, count: int, seed: int) -> Tried:
    """So many inputs, a few thousand in each of several processes; the seed of a part says how to get it again."""
    total = Tried()
    for number in range(0, count, PART):
        total.add(_part(surface, min(PART, count - number), seed + number // PART))
    return total


def _part(surface: Surface, count: int, seed: int) -> Tried:
    place = f"--inputs {count} --seed {seed}"
    with tempfile.TemporaryDirectory() as name:
        told = Path(name) / "tried"

        def work() -> None:
            faulthandler.enable()
            tried = surface.try_inputs(count, seed)
            told.write_bytes(pickle.dumps(tried))

        ended = forked(work, Path(name), seconds=_LONGEST, memory=8 * surface.memory)
        if ended.status or not told.exists():
            end = f"{place}: the process ended with {ended.status}: {ended.said[-1000:]}"
            return Tried(inputs=count, crashes=[] if ended.late else [end], hangs=[end] if ended.late else [])
        tried: Tried = pickle.loads(told.read_bytes())
    tried.bytes = ended.bytes
    if ended.bytes > surface.memory:
        tried.hangs.append(f"{place}: the process took {ended.bytes >> 20} MiB")
    return tried


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all surfaces, print the table, and then what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hypothesis-profile", default="nightly", help="ci, nightly, ...")
    parser.add_argument("--only", nargs="*", help="surfaces by name")
    parser.add_argument("--inputs", type=int, help="so many of each, whatever the profile says")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    given = parser.parse_args(arguments)
    settings.load_profile(given.hypothesis_profile)
    print(f"seed {given.seed}, profile {given.hypothesis_profile}", file=sys.stderr)
    head = ("surface", "inputs tried", "crashes", "hangs", "silent wrongs", "MiB", "seconds")
    print("| " + " | ".join(head) + " |\n|---" + "|---:" * (len(head) - 1) + "|")
    total = Tried()
    for surface in surfaces():
        if given.only and surface.name not in given.only:
            continue
        start = time.monotonic()
        tried = tried_in_parts(surface, given.inputs or surface.inputs(), given.seed)
        _print_row(surface.name, tried, time.monotonic() - start)
        total.add(tried, f"{surface.name}: ")
    _print_row("all", total, None)
    for line in total.wrong:
        print(line)
    return 1 if total.wrong else 0


def _print_row(name: str, tried: Tried, seconds: float | None) -> None:
    counts = (tried.inputs, len(tried.crashes), len(tried.hangs), len(tried.silent), tried.bytes >> 20)
    took = "" if seconds is None else f"{seconds:.0f}"
    print("| " + " | ".join([name, *(f"{count:,}" for count in counts), took]) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
