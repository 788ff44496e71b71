"""Bounds of a number, written beside its type: ``size: Annotated[int, AtLeast(1)]``.

Those that recur have a name: `Count`, `Natural`, `Iterations`, `Share`, `Positive`, `NotNegative`, `Rate`, `Byzantine`,
`Decay`. `Words` stands beside a choice of words in the same way, `NameOf` beside text that names something.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Annotated, Any, ClassVar


# Not keyword-only: `AtLeast(2)` is how the bound reads in an annotation.
@dataclass(frozen=True)
class Limit(ABC):
    """One bound. What is no number, such as None beside a number, has none.

    Args:
        limit: the number itself.
        hint: what to do instead, for the error.
    """

    limit: float
    hint: str = ""

    words: ClassVar[str]
    """How an error calls it: between "a number" and the limit."""

    @abstractmethod
    def holds(self, number: Any) -> bool:
        """Whether a number is within it."""

    def __str__(self) -> str:
        return f"{self.words} {self.limit:g}"


class AtLeast(Limit):
    """limit <= x."""

    words = "of at least"

    def holds(self, number: Any) -> bool:
        return bool(number >= self.limit)


class Above(Limit):
    """limit < x."""

    words = "above"

    def holds(self, number: Any) -> bool:
        return bool(number > self.limit)


class AtMost(Limit):
    """x <= limit."""

    words = "of at most"

    def holds(self, number: Any) -> bool:
        return bool(number <= self.limit)


class Below(Limit):
    """x < limit."""

    words = "below"

    def holds(self, number: Any) -> bool:
        return bool(number < self.limit)


@dataclass(frozen=True)
class Words:
    """Beside a choice of words: what to do instead, for the error on whatever is none of them."""

    hint: str


@dataclass(frozen=True)
class NameOf:
    """Beside text that something is made of later: of what kind. So a wrong name is refused at once."""

    kind: str


def in_words(limits: Sequence[Limit]) -> str:
    """Bounds, as they follow "a number" in a sentence."""
    match limits:
        case [AtLeast(low), AtMost(high)]:
            return f"from {low:g} to {high:g}"
    return " and ".join(map(str, limits))


Count = Annotated[int, AtLeast(1)]
"""1, 2, 3, ..."""
Natural = Annotated[int, AtLeast(0)]
"""0, 1, 2, ..."""
Share = Annotated[float, AtLeast(0), AtMost(1)]
"""From 0 to 1, both included."""
Positive = Annotated[float, Above(0)]
"""Above 0."""
LARGEST = 3e38
"""What a factor of float32 numbers is at most: a larger one is none of them."""
Rate = Annotated[float, Above(0), AtMost(LARGEST)]
"""Above 0, and a factor of float32 numbers, such as a learning rate."""
Iterations = Annotated[int, AtLeast(1), AtMost(10_000, "each is a pass over rows or their products")]
"""How often one aggregation repeats a step: 1, 2, 3, ..., and no more than it ends with in a moment."""
NotNegative = Annotated[float, AtLeast(0)]
"""0 or more."""
Byzantine = Annotated[
    Annotated[int, AtLeast(0, "f counts byzantine clients")]
    | Annotated[float, Above(0), Below(1, "a share of the rows is below 1; a number of clients is a whole one")],
    Words("where nobody knows f, take a rule that needs none, such as SignGuard, Median or GeometricMedian"),
]
"""f: how many clients are byzantine, or what share of a round's rows at most: 0.2."""
Decay = Annotated[float, AtLeast(0), Below(1)]
"""0 or more, and below 1: what is kept of a running mean, such as a momentum."""


def whole_share(share: float, n: int) -> int:
    """How many of n a share of them is, rounded down: 0.29 of 100 are 29, whatever floats say."""
    return floor(share * n + 1e-9)
