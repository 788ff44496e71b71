"""How many of a round's answers are byzantine, where not every client answers in every round."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, lgamma

from ..sim.cohort import drawn_in_round, fewest_answers

RARE = 0.01
"""A number of byzantine answers that at most this share of the rounds exceeds counts as the worst there is."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of a round.

    Attributes:
        clients: in all.
        byzantine: of these.
        fewest: answers at least.
        most: answers at most, those included that come a round late.
    """

    clients: int
    byzantine: int
    fewest: int
    most: int

    @classmethod
    def of(cls, *, clients: int, byzantine: int, participation: float, dropout: float, late: float) -> Answers:
        """For the shares that a simulation is given."""
        drawn = drawn_in_round(clients, participation)
        return cls(
            clients=clients,
            byzantine=byzantine,
            fewest=fewest_answers(drawn, dropout, late),
            most=fewest_answers(drawn, dropout, 0.0),
        )

    @property
    def partial(self) -> bool:
        """Whether some clients are missing in some rounds."""
        return self.fewest < self.clients

    @property
    def mean(self) -> int:
        """Byzantine answers in an average round, rounded up."""
        return ceil(self.most * self.byzantine / self.clients)

    @property
    def worst(self) -> int:
        """The fewest byzantine answers that are exceeded in at most one round of a hundred."""
        f = min(self.byzantine, self.most)
        above = 0.0  # the chance of more than f
        while f > self.mean and above + self._chance(f) <= RARE:
            above += self._chance(f)
            f -= 1
        return f

    def exceeding(self, f: int) -> float:
        """The share of rounds with more than f byzantine answers, when who answers is drawn at random.

        P(X > f) for X hypergeometric: of ``clients``, ``byzantine`` of them marked, ``most`` are drawn.
        """
        return sum(map(self._chance, range(f + 1, min(self.byzantine, self.most) + 1)))

    def _chance(self, k: int) -> float:
        """P(X = k)."""
        honest = self.clients - self.byzantine
        if not 0 <= self.most - k <= honest:
            return 0.0
        ways = _log_comb(self.byzantine, k) + _log_comb(honest, self.most - k)
        return exp(ways - _log_comb(self.clients, self.most))


def _log_comb(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
