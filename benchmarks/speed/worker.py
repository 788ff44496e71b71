"""What both sides run: a process that holds a stack and is asked over a pipe to call contenders on it."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Call = Callable[[], Any]
Handler = Callable[..., dict[str, Any]]


class Contender(Protocol):
    """An implementation of a rule."""

    def prepare(self, G: Tensor) -> Call:
        """What is timed, after what is not: input in the form that this library takes."""

    def state_bytes(self) -> int:
        """Bytes that it keeps between calls."""


def fill(G: Tensor, seed: int, f: int) -> None:
    """A common direction plus noise; the last f rows are the first ones times -1.5: with -1 medians would tie."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(G.shape[1], generator=generator)
    G.normal_(generator=generator).add_(common, alpha=0.5)
    if f:
        torch.mul(G[:f], -1.5, out=G[-f:])


def resident(field: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def peak_of(call: Call) -> tuple[int, float, Any]:
    """How far the resident set rises above where it was during a call (bytes), the seconds it takes, and its result.

    Linux only: the high-water mark is reset through /proc/self/clear_refs. Memory that the allocator holds free is
    given back before, so that it does not hide what the call takes.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    return max(resident("VmHWM") - before, 0), seconds, result


def timed(call: Call) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Bench:
    """A stack and the contenders that are being called on it."""

    def __init__(self, make: Callable[[str, int, int], Contender], threads: int) -> None:
        torch.set_num_threads(threads)
        self.make = make
        self.G, self.f = torch.empty(1, 1), 0
        self.live: dict[str, Contender] = {}

    def stack(self, n: int, d: int, f: int, seed: int) -> dict[str, Any]:
        """Fill a new stack; contenders of the one before are forgotten."""
        self.drop()
        self.G, self.f = torch.empty(1, 1), f  # the old one goes before the new one comes
        self.G = torch.empty(n, d)
        fill(self.G, seed, f)
        return {}

    def first(self, key: str, what: str, f: int, out: str) -> dict[str, Any]:
        """Call a new contender once; its memory is measured, its output written to a file."""
        contender = self.live.get(key) or self._new(key, what, f)
        peak, seconds, output = self._peak(contender)
        np.save(out, np.asarray(output, dtype=np.float32).reshape(-1))
        return {"seconds": seconds, "extra_bytes": peak, "state_bytes": contender.state_bytes()}

    def before(self, key: str, what: str, f: int, rounds: int) -> dict[str, Any]:
        """Call a new contender in the rounds that are not measured."""
        contender = self._new(key, what, f)
        for _ in range(rounds):
            contender.prepare(self.G)()
        return {}

    def _new(self, key: str, what: str, f: int) -> Contender:
        """A new contender; imports, compilations and lazy initialisation are no part of what a rule costs."""
        n, d = self.G.shape
        self.make(what, n, f).prepare(self.G[:, : min(d // 4, 20_000)].clone())()
        self.live[key] = self.make(what, n, f)
        return self.live[key]

    def again(self, key: str) -> dict[str, Any]:
        """The next call of a contender."""
        if key not in self.live:
            raise KeyError(f"{key} has not been called first")
        return {"seconds": timed(self.live[key].prepare(self.G))}

    def last(self, key: str) -> dict[str, Any]:
        """One more call for its memory, for what remembers earlier ones."""
        peak, seconds, _ = self._peak(self.live[key])
        return {"seconds": seconds, "extra_bytes": peak, "state_bytes": self.live[key].state_bytes()}

    def _peak(self, contender: Contender) -> tuple[int | None, float, Any]:
        call, before = contender.prepare(self.G), contender.state_bytes()
        if not Path("/proc/self/clear_refs").exists():
            start = time.perf_counter()
            output = call()
            return None, time.perf_counter() - start, output
        peak, seconds, output = peak_of(call)
        return max(peak - (contender.state_bytes() - before), 0), seconds, output

    def drop(self) -> dict[str, Any]:
        """Forget all contenders."""
        self.live.clear()
        gc.collect()
        return {}

    def floor(self, gram: bool) -> dict[str, Any]:
        """What reading the stack takes, and multiplying it with itself."""
        G = self.G
        found = {"read": timed(lambda: G.sum())}
        return {**found, "gram": timed(lambda: G @ G.T)} if gram else found

    @property
    def handlers(self) -> dict[str, Handler]:
        """What can be asked."""
        return {
            "stack": self.stack,
            "before": self.before,
            "first": self.first,
            "again": self.again,
            "last": self.last,
            "drop": self.drop,
            "floor": self.floor,
        }


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer requests, one line of JSON each, until there are no more."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no reply
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = handlers[request.pop("do")](**request)
        except Exception as error:  # of any library: it is reported in the table
            reply = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        replies.write(json.dumps(reply) + "\n")
