"""The measurement: every line at every size, ours and the peers' in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.judge import BUDGETS
from benchmarks.speed.peers import PEERS, Peer
from benchmarks.speed.process import AnswerError, StoppedError, Worker
from benchmarks.speed.rules import Line, byzantine, lines

SAME = 1e-4  # of float32 results that were computed in another order
SEED = 0
SETTLE = 0.03  # seconds for which threads of a call that has ended may still spin, in the way of another process
Size = tuple[int, int]
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How long to measure.

    Attributes:
        seconds: for the turns of one contender, after its first call.
        limit: a call that takes longer is stopped.
        most: turns at most.
        names: of the lines, or all.
    """

    seconds: float
    limit: float
    most: int
    names: frozenset[str] | None = None


@dataclass(kw_only=True)
class Taken:
    """What is known of one contender at one size."""

    worker: Worker
    key: str
    peer: Peer | None = None
    turns: list[float] = field(default_factory=list)
    first: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""
    over: bool = False

    @property
    def library(self) -> str:
        return self.peer.library if self.peer else "fedward"

    def wants_more(self, options: Options) -> bool:
        """Whether it takes part in the next turn; one whose call is slow has one turn, or none."""
        if self.stopped or self.over or len(self.turns) >= options.most:
            return False
        return sum(self.turns) < options.seconds and self.first["seconds"] < 2 * options.seconds

    def summary(self) -> dict[str, Any]:
        """For the file."""
        if self.stopped:
            return {"stopped": self.stopped}
        turns = self.turns or [self.first["seconds"]]
        found = {"seconds": {"min": min(turns), "median": statistics.median(turns), "turns": len(turns)}}
        return {**found, "extra_bytes": self.first["extra_bytes"], "state_bytes": self.first["state_bytes"]}


class Bench:
    """Two workers and what came of them so far."""

    def __init__(self, ours: Worker, theirs: Worker | None, *, options: Options, folder: Path, tell: Tell) -> None:
        self.ours = ours
        self.theirs = theirs
        self.options = options
        self.folder = folder
        self.tell = tell
        self.slow: dict[str, list[Size]] = {}
        self._asked: Worker | None = None

    def run(self, sizes: Iterable[Size]) -> Iterable[dict[str, Any]]:
        """One record a line and size, smaller sizes first."""
        for n, d in sizes:
            for line in lines(n):
                if self.options.names is None or line.name in self.options.names:
                    self.tell(f"{line.name}, n = {n}, d = {d:,}")
                    yield self._line(line, n, d)

    def _line(self, line: Line, n: int, d: int) -> dict[str, Any]:
        contenders = [Taken(worker=self.ours, key=line.rule)]
        if self.theirs is not None:
            contenders += [
                Taken(worker=self.theirs, key=peer.key, peer=peer) for peer in PEERS if peer.rule == line.name
            ]
        for taken in contenders:
            self._first(taken, line, n, d)
        floors: dict[str, list[float]] = {"read": [], "gram": []}
        self._turns(contenders, line, floors)
        ours, *peers = contenders
        if line.history and ours.worker.process is not None:
            self._last(ours)
        record = {**asdict(line), "n": n, "d": d, **{k: _span(v) for k, v in floors.items() if v}, **ours.summary()}
        record["peers"] = [self._beside(taken, ours, d) for taken in peers]
        for worker in {taken.worker for taken in contenders}:
            if worker.process is not None:
                worker.ask("drop")
        return record

    def _first(self, taken: Taken, line: Line, n: int, d: int) -> None:
        """Its first call, unless a smaller stack was too much already."""
        who = f"{taken.library} {line.name} {taken.peer.what if taken.peer else ''}"
        earlier = next(((a, b) for a, b in self.slow.get(who, ()) if a <= n and b <= d), None)
        if earlier is not None:
            taken.stopped = f"was stopped at n = {earlier[0]}, d = {earlier[1]:,}"
            return
        try:
            taken.worker.hold(n=n, d=d, f=byzantine(n), seed=SEED)
            out = str(self._file(taken, d))
            asked = {"key": taken.key, "what": taken.key, "f": line.f}
            if line.before and taken.peer is None:
                taken.worker.ask("before", line.before * self.options.limit, **asked, rounds=line.before)
            taken.first = taken.worker.ask("first", self.options.limit, **asked, out=out)
        except StoppedError as why:
            taken.stopped = str(why)
            self.slow.setdefault(who, []).append((n, d))
        except AnswerError as why:
            taken.stopped = str(why)

    def _turns(self, contenders: list[Taken], line: Line, floors: dict[str, list[float]]) -> None:
        """Floors, ours, theirs, floors, ours ... until all have had enough."""
        gram = line.gram_needed or (line.name in BUDGETS and BUDGETS[line.name].gram > 0)
        while any(taken.wants_more(self.options) for taken in contenders) or not floors["read"]:
            if self.ours.process is None:  # it was stopped, and with it the stack is gone
                return
            for name, seconds in self._settled(self.ours).ask("floor", gram=gram).items():
                floors[name].append(seconds)
            for taken in contenders:
                if taken.wants_more(self.options):
                    self._again(taken)

    def _again(self, taken: Taken) -> None:
        """One turn; what a process knew that was stopped for another contender is gone, and the first call counts."""
        try:
            worker = self._settled(taken.worker)
            taken.turns.append(worker.ask("again", 2 * self.options.limit, key=taken.key)["seconds"])
        except AnswerError:
            taken.over = True
        except StoppedError as why:
            taken.over, taken.stopped = True, "" if taken.turns else f"in its second call, {why}"

    def _settled(self, worker: Worker) -> Worker:
        """The worker, when the other one's threads have gone to sleep."""
        if self._asked is not worker:
            time.sleep(SETTLE)
            self._asked = worker
        return worker

    def _last(self, ours: Taken) -> None:
        """What remembers rounds takes most in a later one."""
        try:
            later = self.ours.ask("last", 2 * self.options.limit, key=ours.key)
        except (StoppedError, AnswerError) as why:
            ours.stopped = f"in a later round, {why}"
            return
        if later["extra_bytes"] is not None:
            ours.first["extra_bytes"] = max(ours.first["extra_bytes"], later["extra_bytes"])
        ours.first["state_bytes"] = later["state_bytes"]

    def _beside(self, taken: Taken, ours: Taken, d: int) -> dict[str, Any]:
        """A peer's part of a record."""
        assert taken.peer is not None
        peer = {"library": taken.library, "what": taken.peer.what, "differs": taken.peer.differs}
        found = {**peer, **taken.summary()}
        if not (taken.stopped or ours.stopped):
            a, b = (np.load(self._file(one, d)) for one in (ours, taken))
            found["distance"] = distance(a, b)
        self._file(taken, d).unlink(missing_ok=True)
        return found

    def _file(self, taken: Taken, d: int) -> Path:
        name = "ours" if taken.peer is None else f"peer-{PEERS.index(taken.peer)}"
        return self.folder / f"{name}.npy"


def distance(a: np.ndarray, b: np.ndarray) -> float | None:
    """Of two outputs, relative to the first: |a - b| / |a|; None if they have not the same shape."""
    if a.shape != b.shape:
        return None
    # In float64 a few at a time: whole copies of the largest outputs would be a burden to what is measured.
    apart = norm = 0.0
    for k in range(0, len(a), 1 << 20):
        x, y = a[k : k + (1 << 20)].astype(np.float64), b[k : k + (1 << 20)].astype(np.float64)
        apart, norm = apart + float(((x - y) ** 2).sum()), norm + float((x**2).sum())
    return float(np.sqrt(apart / norm)) if norm else float(np.sqrt(apart))


def _span(seconds: list[float]) -> dict[str, float]:
    return {"min": min(seconds), "median": statistics.median(seconds)}
