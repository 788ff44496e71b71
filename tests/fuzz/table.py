"""The table that ``make fuzz`` prints: each surface with the inputs tried, and how many went wrong in which way.

``python -m tests.fuzz.table --hypothesis-profile nightly --only "command lines"``
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings

from tests import conftest

assert conftest  # it registers the profiles


@dataclass(kw_only=True)
class Tried:
    """What came of the inputs of a surface.

    Attributes:
        inputs: how many were tried.
        crashes: those that ended in a traceback, a signal or a sentence that reports a fault of fedward.
        hangs: those that took longer or more memory than their bound.
        silent: those that were taken for sound though they were not, or changed what they must not.
    """

    inputs: int = 0
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

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
            found.append(Surface(name=loaded.SURFACE, weight=loaded.WEIGHT, try_inputs=loaded.try_inputs))
    return sorted(found, key=lambda surface: surface.name)


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
    head = ("surface", "inputs tried", "crashes", "hangs", "silent wrongs", "seconds")
    print("| " + " | ".join(head) + " |\n|---" + "|---:" * (len(head) - 1) + "|")
    total = Tried()
    for surface in surfaces():
        if given.only and surface.name not in given.only:
            continue
        start = time.monotonic()
        tried = surface.try_inputs(given.inputs or surface.inputs(), given.seed)
        _print_row(surface.name, tried, time.monotonic() - start)
        total.inputs += tried.inputs
        for way in ("crashes", "hangs", "silent"):
            getattr(total, way).extend(f"{surface.name}: {text}" for text in getattr(tried, way))
    _print_row("all", total, None)
    for line in total.wrong:
        print(line)
    return 1 if total.wrong else 0


def _print_row(name: str, tried: Tried, seconds: float | None) -> None:
    counts = (tried.inputs, len(tried.crashes), len(tried.hangs), len(tried.silent))
    took = "" if seconds is None else f"{seconds:.0f}"
    print("| " + " | ".join([name, *(f"{count:,}" for count in counts), took]) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
