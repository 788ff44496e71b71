"""What the numbers say: multiples of the floor, budgets, growth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

Data = Mapping[str, Any]
Record = Mapping[str, Any]

REFERENCE = (50, 11_173_962)  # ResNet-18
COLUMNS = 57_620  # of the stacks whose number of rows varies
DISTANCES = ("krum", "multi-krum", "faba", "geometric-median", "centered-clipping", "dnc", "cosine-clustering")
EXTRA_SHARE, EXTRA_BYTES = 0.05, 256e6
ROUND, SEARCH, SIMULATION_BYTES = 1.7, 1.2, 5e9


@dataclass(frozen=True, kw_only=True)
class Budget:
    """At most ``gram`` times the time of G @ G.T plus ``read`` times that of G.sum()."""

    read: float
    gram: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.gram:g} x gram"] * (self.gram > 0) + [f"{self.read:g} x read"]
        return " + ".join(parts)

    def seconds(self, record: Record) -> float:
        """What it allows where this was measured."""
        gram = record["gram"]["min"] if self.gram else 0.0
        return float(self.gram * gram + self.read * record["read"]["min"])


BUDGETS: Mapping[str, Budget] = {
    **dict.fromkeys(("median", "trimmed-mean"), Budget(read=8)),
    **dict.fromkeys(("mea-med", "fedseca"), Budget(read=30)),
    # Its second stage has 30 readings; before it come the distances.
    "bulyan": Budget(read=33, gram=2.5),
    **dict.fromkeys((*DISTANCES, "nnm >> mean", "nnm >> krum"), Budget(read=3, gram=2.5)),
    "sign-guard": Budget(read=5),
    **dict.fromkeys(("mean", "clip-mean"), Budget(read=3)),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A line of the budget: what it is about, what was allowed, what was found; ``met`` is None if nothing was."""

    what: str
    allowed: str
    found: str
    met: bool | None

    @property
    def word(self) -> str:
        if self.met is None:
            return "not measured"
        return "met" if self.met else "NOT MET"


def best(record: Record) -> float | None:
    """The shortest call, in seconds; None where it was stopped."""
    return float(record["seconds"]["min"]) if "seconds" in record else None


def floor(record: Record) -> float | None:
    """Seconds of what it cannot do without: reading the stack, and products of all rows if it needs them."""
    if "read" not in record:
        return None
    return float(record["read"]["min"] + (record["gram"]["min"] if record["gram_needed"] else 0.0))


def multiple(record: Record) -> float | None:
    """Its time as a multiple of its floor."""
    seconds, least = best(record), floor(record)
    return seconds / least if seconds is not None and least else None


def at(data: Data, name: str, n: int, d: int) -> Record | None:
    """The record of a line at a size, if there is one."""
    records: Sequence[Record] = data["lines"]
    return next((r for r in records if (r["name"], r["n"], r["d"]) == (name, n, d)), None)


def reference(data: Data) -> tuple[int, int]:
    """The largest stack of 50 rows that was measured: in a full run that of the budget."""
    return REFERENCE[0], max((r["d"] for r in data["lines"] if r["n"] == REFERENCE[0]), default=0)


def exponent(points: Iterable[tuple[float, float]]) -> float | None:
    """p of y = c x^p, by least squares of the logarithms; None from fewer than two different x."""
    logs = [(log(x), log(y)) for x, y in points if x > 0 and y > 0]
    if len({x for x, _ in logs}) < 2:
        return None
    mean_x, mean_y = (sum(part) / len(logs) for part in zip(*logs, strict=True))
    slope: float = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    return slope


def growth(data: Data, name: str) -> tuple[float | None, float | None]:
    """Fitted exponents of a line's time in n (at d = 57,620) and in d (at n = 50)."""
    mine = [(r["n"], r["d"], best(r)) for r in data["lines"] if r["name"] == name]
    known = [(n, d, seconds) for n, d, seconds in mine if seconds is not None]
    in_n = exponent((n, seconds) for n, d, seconds in known if d == COLUMNS)
    return in_n, exponent((d, seconds) for n, d, seconds in known if n == REFERENCE[0])


def allowed_extra(n: int, d: int) -> float:
    """Bytes that a rule may take beyond the stack and what it keeps."""
    return EXTRA_SHARE * 4 * n * d + EXTRA_BYTES


def verdicts(data: Data) -> list[Verdict]:
    """Every line of the budget."""
    n, d = reference(data)
    found = [_of_time(name, budget, at(data, name, n, d)) for name, budget in BUDGETS.items()]
    return [*found, _of_memory(data, n, d), *_of_the_rest(data)]


def _of_time(name: str, budget: Budget, record: Record | None) -> Verdict:
    if record is None or "read" not in record:
        return Verdict(
            what=name,
            allowed=str(budget),
            found=record.get("stopped", "") if record else "",
            met=None if record is None else False,
        )
    seconds = best(record)
    if seconds is None:
        return Verdict(what=name, allowed=str(budget), found=record["stopped"], met=False)
    limit = budget.seconds(record)
    shown = f"{seconds:.3g} s of {limit:.3g} s, {seconds / record['read']['min']:.1f} x read"
    if "gram" in record:
        shown += f", {seconds / record['gram']['min']:.2f} x gram"
    return Verdict(what=name, allowed=str(budget), found=shown, met=seconds <= limit)


def _of_memory(data: Data, n: int, d: int) -> Verdict:
    limit = allowed_extra(n, d)
    taken = {r["name"]: r["extra_bytes"] for r in data["lines"] if (r["n"], r["d"]) == (n, d) and r.get("extra_bytes")}
    over = sorted(name for name, size in taken.items() if size > limit)
    what = f"extra memory, {len(taken)} rules and mixers"
    if not taken:
        return Verdict(what=what, allowed=f"{limit / 1e6:.0f} MB", found="", met=None)
    most = max(taken, key=lambda name: taken[name])
    shown = f"most {taken[most] / 1e6:.0f} MB ({most})" + (f"; over: {', '.join(over)}" if over else "")
    return Verdict(what=what, allowed=f"{limit / 1e6:.0f} MB", found=shown, met=not over)


def _of_files(disk: Data | None) -> list[Verdict]:
    """Rows on disk: whether every rule takes less memory than the budget has free."""
    if not disk:
        return []
    if "stopped" in disk:
        return [Verdict(what="a stack in files", allowed="2 GB of memory", found=disk["stopped"], met=False)]
    most = max(found["extra_bytes"] for found in disk["rules"].values())
    seconds = disk["rules"]["mean"]["seconds"]
    shown = f"{most / 1e9:.2f} GB at most; mean {seconds:.3g} s, {seconds / disk['read']:.1f} x reading the files"
    what = f"a {disk['bytes'] / 1e9:.2g} GB stack in files"
    return [Verdict(what=what, allowed="2 GB of memory", found=shown, met=most <= 2e9)]


def _of_the_rest(data: Data) -> Sequence[Verdict]:
    """Files, a simulated round, the search, the simulation of ResNet-18."""
    found = _of_files(data.get("disk"))
    rounds = data.get("rounds") or {}
    if "SignGuard" in rounds.get("fedward", {}):
        ratio = rounds["fedward"]["plain loop"]["min"] / rounds["fedward"]["SignGuard"]["min"]
        shown = f"{ratio:.2f} x as fast"
        found.append(
            Verdict(
                what="a simulated round, SignGuard", allowed=f"{ROUND} x a plain loop", found=shown, met=ratio >= ROUND
            )
        )
    search = data.get("adaptive")
    if search:
        ratio = min(search["search"]) / min(search["one"])
        shown = f"{ratio:.2f} x, {min(search['search']):.3g} s"
        what = f"a search among {search['candidates']} candidates"
        found.append(Verdict(what=what, allowed=f"{SEARCH} x one candidate", found=shown, met=ratio <= SEARCH))
    resnet = data.get("resnet")
    if resnet:
        shown = resnet.get("stopped") or f"{resnet['peak_bytes'] / 1e9:.2f} GB"
        met: bool | None = "stopped" not in resnet and resnet["peak_bytes"] <= SIMULATION_BYTES
        if resnet["clients"] < REFERENCE[0]:  # a quick run; the budget is of 50
            met = None
        found.append(
            Verdict(
                what=f"a simulation of {resnet['clients']} clients with ResNet-18", allowed="5 GB", found=shown, met=met
            )
        )
    return found


def geometric_mean(values: Sequence[float]) -> float | None:
    """Of ratios."""
    return exp(sum(map(log, values)) / len(values)) if values else None
