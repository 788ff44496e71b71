"""`Attack`: what byzantine clients send, from what they know."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, overload

import numpy as np
from torch import Tensor

from ..rule import Component, Context, Plan
from ..stack import Updates, as_updates, materialise


@dataclass(frozen=True, eq=False)
class View:
    """What the adversary knows.

    Attributes:
        honest: the rows of the honest clients.
        own: what the byzantine clients would honestly send.
        context: round and random streams.
        decide: the defence's decision on a stack, if known; it is pure, and its memory is out of reach.
    """

    honest: Updates
    own: Updates
    context: Context = field(default_factory=Context)
    decide: Callable[[Updates], Plan] | None = None


class Attack(Component):
    """A poisoning attack. Wherever it can be, a mix of the rows it knows, so that a search costs no pass over data."""

    kind: ClassVar[str] = "attack"

    @abstractmethod
    def forge(self, view: View) -> Updates:
        """The rows that the byzantine clients send instead of their own, lazily: one for each of their own."""

    def poison(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """What the byzantine clients make of a batch of their data before they train on it."""
        return inputs, labels

    @overload
    def __call__(self, honest: np.ndarray, own: np.ndarray, *, context: Context | None = ...) -> np.ndarray: ...
    @overload
    def __call__(self, honest: Tensor, own: Tensor, *, context: Context | None = ...) -> Tensor: ...
    def __call__(
        self, honest: Tensor | np.ndarray, own: Tensor | np.ndarray, *, context: Context | None = None
    ) -> Tensor | np.ndarray:
        """Forge rows: honest (h, d) and own (m, d) in, (m, d) out; NumPy in, NumPy out.

        Raises:
            ValueError: no honest row, no own row, or different numbers of columns.
        """
        view = View(as_updates(honest), as_updates(own), context or Context())
        if view.honest.d != view.own.d:
            raise ValueError(f"honest rows have {view.honest.d} columns, own rows {view.own.d}; they must agree")
        rows = materialise(self.forge(view)).to(view.own.dtype)
        return rows.numpy() if isinstance(honest, np.ndarray) else rows
