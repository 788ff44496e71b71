"""Runs of a folder, and cells and tables made of them."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments import run_names

Run = Mapping[str, Any]
Heir = tuple[str, str]
"""The name of the run that has taken the place of one of before, and in words what differs."""
PENDING = "..."
"""Where a run is still to be made."""

RULES = {
    "bulyan": "Bulyan",
    "cosine-clustering": "CosineClustering",
    "dnc": "DnC",
    "fedseca": "FedSECA",
    "krum": "Krum",
    "mean": "Mean",
    "median": "Median",
    "multi-krum": "MultiKrum",
    "sign-guard": "SignGuard",
    "sign-guard-dist:warmup=60": "SignGuardDist",
    "sign-guard-sim:warmup=60": "SignGuardSim",
    "siren": "SIREN",
    "trimmed-mean": "TrimmedMean",
}
ATTACKS = {
    "no-attack": "none",
    "alie": "ALIE",
    "alie:z=1": "ALIE, z = 1",
    "min-max": "MinMax",
    "min-max:direction=unit": "MinMax, unit direction",
    "min-sum": "MinSum",
    "byz-mean": "ByzMean",
    "sign-flip": "SignFlip",
    "sign-flip:scale=4": "SignFlip, four times as long",
    "scaling": "Scaling",
    "scaling:factor=10": "Scaling, factor 10",
    "ipm": "IPM",
    "ipm:epsilon=1.3": "IPM, epsilon = 1.3",
    "deviation:direction=sign,gamma=0.1": "Fang, mean - 0.1 sgn(mean)",
    "mimic:warmup=5": "Mimic, 5 rounds to learn",
    "label-flip": "LabelFlip",
}


class Runs:
    """The runs of a folder by rule, attack, group and seed, as its experiment names them.

    Args:
        folder: that they are in; one without runs has none yet.
        config: what a run's configuration must have to count; what was run otherwise is still to be made.
    """

    def __init__(self, folder: Path, **config: Any) -> None:
        file = folder / "runs.json"
        found: Mapping[str, Run] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.named = {name: run for name, run in found.items() if config.items() <= run["config"].items()}

    def of(self, rule: str, attack: str, group: str = "") -> Run | None:
        """A run of seed 0; None where it is still to be made."""
        return self.named.get(f"{group}/{rule} under {attack}" if group else f"{rule} under {attack}")

    def seeds(self, rule: str, attack: str, group: str) -> list[Run]:
        """The same run with every seed that there is, in the order of seeds."""
        return self.called(f"{group}/{rule} under {attack}")

    def called(self, name: str) -> list[Run]:
        """The runs of a name, and of that name with another seed."""
        pattern = re.compile(re.escape(name) + r"(, seed \d+)?")
        return [run for key, run in self.named.items() if pattern.fullmatch(key)]


def paper(folder: Path) -> Mapping[str, Any]:
    """Published figures."""
    return tomllib.loads((folder / "paper.toml").read_text(encoding="utf-8"))


def until(run: Run | None, rounds: int) -> Run | None:
    """A run as it was after so many rounds."""
    if run is None:
        return None
    curve = {k: v for k, v in run["accuracy_by_round"].items() if int(k) <= rounds}
    if not curve:
        return None
    best = max(curve.values())
    last = list(curve.values())[-1]
    return {**run, "accuracy_by_round": curve, "best_accuracy": best, "final_accuracy": last}


def lowest(run: Run | None, after: int) -> float | None:
    """The lowest accuracy of the tests after a round."""
    if run is None:
        return None
    return min((100 * v for k, v in run["accuracy_by_round"].items() if int(k) > after), default=None)


def reached(run: Run | None, accuracy: float) -> int | None:
    """The first round whose test is at an accuracy in per cent or above; None if there is none."""
    curve = {} if run is None else run["accuracy_by_round"]
    return next((int(k) for k, v in curve.items() if 100 * v >= accuracy), None)


def best(run: Run | None) -> float | None:
    return None if run is None else 100 * float(run["best_accuracy"])


def last(run: Run | None) -> float | None:
    return None if run is None else 100 * float(run["final_accuracy"])


def over_seeds(runs: Sequence[Run], value: Callable[[Run], float | None], digits: int = 1) -> str:
    """The mean of a figure over seeds; where there are several, from the lowest to the highest, and how many."""
    return spread([found for run in runs if (found := value(run)) is not None], digits)


def spread(values: Sequence[float], digits: int = 1, sign: bool = False) -> str:
    """The mean of figures, one a seed; where there are several, from the lowest to the highest, and how many."""
    if not values:
        return PENDING
    mean = number(fmean(values), digits, sign)
    if len(values) == 1:
        return mean
    low, high = (number(end(values), digits, sign) for end in (min, max))
    return f"{mean} ({low} to {high}, {len(values)} seeds)"


def by_seed(runs: Sequence[Run]) -> dict[int, Run]:
    """Runs that differ in their seed alone."""
    return {int(run["config"].get("seed", 0)): run for run in runs}


def ahead(ours: Sequence[Run], theirs: Sequence[Run], value: Callable[[Run], float | None]) -> list[float]:
    """By how much a figure is ahead of another's, seed by seed, of the seeds that both sides have."""
    mine, others = by_seed(ours), by_seed(theirs)
    pairs = [(value(mine[seed]), value(others[seed])) for seed in sorted(mine.keys() & others.keys())]
    return [a - b for a, b in pairs if a is not None and b is not None]


def number(value: float | None, digits: int = 1, sign: bool = False) -> str:
    """A figure, halves away from zero; PENDING where there is none."""
    if value is None:
        return PENDING
    # The files have four decimals, which floats only come near to: 80.85 lies below its half.
    rounded = Decimal(repr(round(value, 8))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded:{'+' if sign else ''}}"


def difference(a: float | None, b: float | None, digits: int = 1, sign: bool = True) -> str:
    """a - b."""
    return PENDING if a is None or b is None else number(a - b, digits, sign)


def both(run: Run | None) -> str:
    """Best and last accuracy."""
    return PENDING if run is None else f"{number(best(run))} / {number(last(run))}"


def made(folder: Path, **config: Any) -> str:
    """Which code has made the runs of a folder, those with a configuration as `Runs` takes it."""
    counted: Counter[tuple[str, str]] = Counter()
    for run in Runs(folder, **config).named.values():
        by = "a commit that is not known"
        if (versions := run["versions"]) and versions.get("commit"):
            by = f"commit {versions['commit']} (code {versions['code']})"
        again = run["replayed"]["versions"]["commit"] if "replayed" in run else ""
        counted[by, again] += 1
    if not counted:
        return "No run has been made yet."
    told = [
        f"{count} {'run' if count == 1 else 'runs'} of {by}"
        + f", whose first rounds came out the same at {again}" * bool(again)
        for (by, again), count in counted.items()
    ]
    return f"Made by: {'; '.join(told)}."


def beside_before(folder: Path, runs: Runs, heir: Callable[[str], Heir] | None = None) -> str:
    """What was published here before, with the same runs of now after as many rounds: best and last accuracy.

    Args:
        heir: which run of now has taken the place of one of before, and what differs; that of its name, if not given.

    A hyphen stands where there is no such run any more.
    """
    old: Mapping[str, Any] = json.loads((folder / "before.json").read_text(encoding="utf-8"))
    specified = set(run_names(folder))
    rows = []
    for name, was in old.items():
        called, changed = heir(name) if heir else (name, "")
        now = until(runs.named.get(called), was["rounds"])
        before = [number(100 * was[key]) for key in ("best_accuracy", "final_accuracy")]
        after = [number(figure(now)) if called in specified else "-" for figure in (best, last)]
        rows.append([name, str(was["rounds"]), before[0], after[0], before[1], after[1], *[changed] * bool(heir)])
    return table(["run", "rounds", "best before", "now", "last before", "now", *["changed since"] * bool(heir)], rows)


def share(run: Run | None, key: str, digits: int = 2) -> str:
    """A share of accepted clients; a hyphen where there were none."""
    if run is None:
        return PENDING
    return "-" if run[key] is None else number(run[key], digits)


def share_over_seeds(runs: Sequence[Run], key: str, digits: int = 2) -> str:
    """A share of accepted clients over seeds; a hyphen where there were none."""
    known = [run for run in runs if run[key] is not None]
    return "-" if runs and not known else over_seeds(known, lambda run: float(run[key]), digits)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown, where a bar within a cell would end it."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [cell.replace("|", "\\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
