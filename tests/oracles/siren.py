"""SIREN (Guo et al. 2021) with whole models in place of updates: the client's alarm and the server's round.

Case names: "no alarm", "false alarms", "true alarms", "divergent alarms", and for the authors' code "single alarm".
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]

FALSE, TRUE, DIVERGENT, SILENT, SINGLE = "false alarms", "true alarms", "divergent alarms", "no alarm", "single alarm"


def fair(value: float) -> float:
    """Accuracies are fractions of a small test set; their differences are compared without rounding errors."""
    return round(value, 9)


def siren_client_alarm(server: float, own: float, threshold: float = 0.04, variant: str = "tolerant") -> int:
    """Algorithm 1, or what was meant by it (tolerant), or the authors' code (official): 1 is an alarm."""
    if variant == "printed":
        return 0 if fair(server - own) >= threshold else 1
    if variant == "tolerant":
        return 1 if fair(own - server) > threshold else 0
    if variant == "official":
        return 1 if fair(own - (server + threshold * own)) > 0 else 0
    raise ValueError(variant)


def best(group: Sequence[int], accuracy: Mapping[int, float]) -> int:
    """The member with the highest accuracy, the first of equals."""
    winner = group[0]
    for i in group:
        if accuracy[i] > accuracy[winner]:
            winner = i
    return winner


def dot(a: Vector, b: Vector) -> float:
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += float(x) * float(y)
    return total


def siren_server_decide(
    deltas: Sequence[Vector],
    alarms: Sequence[int],
    accuracy_of: Callable[[int], float],
    banned: Sequence[bool],
    threshold: float = 0.10,
    official: bool = False,
    divergent: str = "printed",
    weight_analysis: bool = True,
) -> tuple[str, set[int], set[int]]:
    """The case, who is benign, and whose models were evaluated."""
    everybody = range(len(deltas))
    seen: dict[int, float] = {}

    def look(group: Sequence[int]) -> None:
        for i in group:
            seen[i] = accuracy_of(i)

    def passes(i: int, reference: int) -> bool:
        if i == reference:
            return True
        product = dot(deltas[i], deltas[reference]) if weight_analysis else 1.0
        if official:
            return fair(seen[i] - (1 - threshold) * seen[reference]) >= 0 and product > 0
        return fair(seen[reference] - seen[i]) < threshold and product >= 0

    def as_good(silent: int, alarming: int) -> bool:
        if official:
            return fair(seen[silent] - (1 - threshold) * seen[alarming]) >= 0
        return fair(seen[alarming] - seen[silent]) <= threshold

    counted = [i for i in everybody if alarms[i] and not banned[i]]
    if not counted:
        return SILENT, set(everybody), set()
    if official and len(counted) == 1:
        look(everybody)
        reference = best([i for i in everybody if not banned[i]], seen)
        return SINGLE, {i for i in everybody if passes(i, reference)}, set(seen)
    alarming = [i for i in everybody if alarms[i]]
    silent = [i for i in everybody if not alarms[i]]
    look(alarming)
    loudest = best(counted, seen)
    similar = all(passes(i, loudest) for i in counted)
    trusted_silent = [i for i in silent if not banned[i]]
    if similar and trusted_silent:
        look(silent)
        calmest = best(trusted_silent, seen)
        if as_good(calmest, loudest):
            return FALSE, {i for i in silent if passes(i, calmest)}, set(seen)
    if divergent == "best-of-all" and not similar:
        look(silent)
        reference = best([i for i in everybody if not banned[i]], seen)
        return DIVERGENT, {i for i in everybody if passes(i, reference)}, set(seen)
    benign = {i for i in alarming if passes(i, loudest)}
    return (TRUE if similar else DIVERGENT), benign, set(seen)


def siren_server_examine(
    deltas: Sequence[Vector],
    accuracy_of: Callable[[int], float],
    banned: Sequence[bool],
    threshold: float = 0.10,
    weight_analysis: bool = True,
) -> tuple[set[int], set[int]]:
    """Who of the banned is examined, and who of them passes against the best of those that are not banned.

    Where all are banned there is nobody to compare with, and nobody is examined.
    """
    trusted = [i for i in range(len(deltas)) if not banned[i]]
    examined = {i for i in range(len(deltas)) if banned[i]}
    if not trusted:
        return set(), set()
    accuracy = {i: accuracy_of(i) for i in range(len(deltas))}
    reference = best(trusted, accuracy)
    passed = set()
    for i in examined:
        turned_away = weight_analysis and dot(deltas[i], deltas[reference]) < 0
        if fair(accuracy[reference] - accuracy[i]) < threshold and not turned_away:
            passed.add(i)
    return examined, passed


@dataclass
class SirenServer:
    """The server's rounds on models: ``now`` is g_t, ``before`` g_{t-1}."""

    now: Vector
    accuracy: Callable[[Vector], float]
    threshold: float = 0.10
    penalty: float = 0.45
    penalty_of: str = "clients"
    award: str = "examined"
    award_by: float = 0.5
    base: str = "recovered"
    divergent: str = "printed"
    weight_analysis: bool = True
    official: bool = False
    total_rounds: int = 40
    before: Vector | None = None
    counts: dict[Hashable, float] = field(default_factory=dict)
    banned: dict[Hashable, bool] = field(default_factory=dict)
    streak: int = 0
    evaluated: int = 0

    def step(
        self, deltas: ArrayLike, ids: Sequence[Hashable], alarms: Sequence[int], sizes: Sequence[float] | None = None
    ) -> tuple[str, list[Hashable], list[Hashable]]:
        """One round: the case, who is benign, whose updates were used."""
        rows = [np.asarray(row, dtype=np.float64) for row in np.asarray(deltas, dtype=np.float64)]
        banned = [self.banned.get(name, False) for name in ids]

        def accuracy_of(i: int) -> float:
            return self.accuracy(self.now + rows[i])

        case, benign, looked = siren_server_decide(
            rows,
            alarms,
            accuracy_of,
            banned,
            self.threshold,
            self.official,
            self.divergent,
            self.weight_analysis,
        )
        # Whose verdict counts for an award: three readings of "regarded as benign by the server".
        judged = set(range(len(rows))) if self.award == "quiet rounds" or case != SILENT else set()
        if self.award == "examined" and not self.official:
            judged, passed = siren_server_examine(rows, accuracy_of, banned, self.threshold, self.weight_analysis)
            benign = (benign - judged) | passed
            looked = looked | (set(range(len(rows))) if judged else set())
        self.evaluated = len(looked)
        used = [i for i in range(len(rows)) if i in benign and not banned[i]]
        self._book(ids, benign, banned, used, judged)
        alpha = [1.0 if sizes is None else float(sizes[i]) for i in used]
        mean = np.zeros_like(self.now)
        for i, weight in zip(used, alpha, strict=True):
            mean = mean + weight / sum(alpha) * rows[i]
        before = self.now if self.before is None else self.before
        rolled = case in (TRUE, DIVERGENT)
        if self.official:
            # The flags of the authors' code: a round in which somebody's row is not used, be it rejected or banned,
            # asks for the model before; of successive ones that ask, the first, third, ... have it. The very first
            # round has no model before, and sets no flag down.
            asks = len(used) < len(rows) and self.before is not None
            self.streak = self.streak + 1 if asks else 0
            rolled = self.streak % 2 == 1
            start = before if rolled else self.now
        elif rolled and self.base == "printed":
            start = before
        else:
            start = self.now
        # Step 5: after a rollback, g_t counts as if it had been g_{t-1}.
        self.before = before if rolled else self.now
        self.now = start + mean
        return case, [ids[i] for i in sorted(benign)], [ids[i] for i in used]

    def _book(
        self, ids: Sequence[Hashable], benign: set[int], banned: list[bool], used: list[int], judged: set[int]
    ) -> None:
        """Penalties and awards; bans count from the next round on."""
        for i, name in enumerate(ids):
            count = self.counts.get(name, 0.0)
            if self.official:
                limit = int(self.penalty * self.total_rounds)
                if i not in benign:
                    count += 1
                elif i in used and count > 0:
                    count -= self.award_by
                self.banned[name] = banned[i] or count >= limit
            else:
                limit = self.penalty * (len(ids) if self.penalty_of == "clients" else self.total_rounds)
                if i not in benign:
                    count += 1
                elif banned[i] and i in judged:
                    count -= self.award_by
                if fair(count - limit) > 0:
                    self.banned[name] = True
                elif fair(count - limit) < 0:
                    self.banned[name] = False
            self.counts[name] = count
