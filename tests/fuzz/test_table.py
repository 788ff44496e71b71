"""What kills a process, or fills the memory, is counted, and the other parts go on."""

from __future__ import annotations

import mmap
import os
import signal

import pytest

from tests.fuzz import table
from tests.fuzz.table import Surface, Tried, surfaces, tried_in_parts

MILLION = 1_000_000


def test_a_part_that_is_killed_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "PART", 2)

    def work(count: int, seed: int) -> Tried:
        if seed == 8:
            os.kill(os.getpid(), signal.SIGSEGV)
        return Tried(inputs=count)

    tried = tried_in_parts(Surface(name="killed", weight=1, memory=1 << 30, try_inputs=work), 5, 7)
    assert tried.inputs == 5
    [told] = tried.wrong
    assert told.startswith("crash: --inputs 2 --seed 8: the process ended with -11")


def test_a_part_that_takes_too_much_is_a_hang() -> None:
    def work(count: int, seed: int) -> Tried:
        with mmap.mmap(-1, 64 << 20) as held:  # no memory that this process has freed before
            for page in range(0, len(held), mmap.PAGESIZE):
                held[page] = 1
        return Tried(inputs=count)

    tried = tried_in_parts(Surface(name="grows", weight=1, memory=32 << 20, try_inputs=work), 1, 7)
    assert tried.bytes > 60 << 20
    assert [text.split(":")[0] for text in tried.wrong] == ["hang"]


def test_one_run_tries_a_million() -> None:
    assert sum(surface.weight for surface in surfaces()) * 20_000 >= MILLION
