"""`ColumnShare`: which columns of the rows a process holds, where several processes hold the rows together."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import Tensor


class ColumnShare:
    """The columns that this process holds: all d, unless a subclass says what other processes hold.

    Columns of a stack, of its outputs and of rows that a rule remembers count from the first one that is held here:
    ``width`` of them. What decisions are made from is of the whole: d, statistics, samples of columns, layers. Every
    process makes the same calls in the same order, and gets the same answers.

    Attributes:
        d: columns of the whole.
        first: where in the whole the columns begin that are held here.
        width: how many are held here.
        alone: whether there is nobody else.
    """

    alone = True

    def __init__(self, d: int, *, first: int = 0, width: int | None = None) -> None:
        self.d = d
        self.first = first
        self.width = d if width is None else width

    def check(self, rows: Tensor, what: str) -> None:
        """Refuse rows, (d,) or (k, d), of other columns than are held here: of them none is cut, and nothing read past.

        Raises:
            ValueError: they are of another width; with what they are.
        """
        if rows.ndim not in (1, 2) or rows.shape[-1] != self.width:
            raise ValueError(
                f"{what} need the stack's d = {self.width} columns, got shape {tuple(rows.shape)}; what is remembered "
                "of one model is of no use for another: start afresh"
            )

    def total(self, *sums: Tensor) -> tuple[Tensor, ...]:
        """Sums over the columns of all processes, from those over the columns of each: float64, on the CPU."""
        return sums

    def joined(self, values: Tensor) -> Tensor:
        """What each process has, in the order of their columns: along the last dimension, whose sizes may differ."""
        return values

    def part(self, row: Tensor) -> Tensor:
        """The columns of a whole row that are held here: (d,) in, (width,) out."""
        return row

    def norm(self, row: Tensor) -> Tensor:
        """The Euclidean norm of a whole row of which each process has its columns: (width,) in, a float64 out."""
        norm: Tensor = row.double().norm()
        return norm.cpu()

    def agree(self, decided: Tensor) -> None:
        """Raise if processes decided differently: numbers by row, (n,) float64."""

    def together(self) -> AbstractContextManager[None]:
        """A context that all processes leave together: where one raises, so do the others."""
        return nullcontext()
