"""Comparisons whose errors say what was compared."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Result


def same(a: Result[Tensor], b: Result[Tensor]) -> None:
    """Both say the same of every client, and their outputs agree."""
    assert torch.equal(a.accepted, b.accepted), "other clients are accepted"
    assert a.reasons == b.reasons, "other reasons are given"
    if a.weights is not None and b.weights is not None:
        close(a.weights, b.weights)
    close(a.output, b.output)


def close(a: Tensor, b: Tensor, rtol: float = 1e-7) -> None:
    """Differ by no more than rtol of the largest entry of b."""
    scale = float(b.abs().max()) if b.numel() else 0.0
    worst = float((a.double() - b.double()).abs().max())
    assert worst <= rtol * scale + 1e-300, f"differ by {worst:.3g}, {rtol * scale:.3g} is allowed"


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether all entries are the same, NaN where NaN is."""
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())


def words(error: Exception) -> str:
    """What an error says, with its type where no check has raised it."""
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"


class Named:
    """Makes any error an AssertionError, with the name of the check before its words."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception):
            raise AssertionError(f"{self.name}: {words(error)}") from error


class _OnRowsError(AssertionError):
    """What failed, and on which rows."""


class On:
    """Makes any error an AssertionError that ends with the rows that it is about, unless they are told already."""

    def __init__(self, rows: str) -> None:
        self.rows = rows

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, _OnRowsError):
            raise _OnRowsError(f"{words(error)}, on {self.rows}") from error


class Raises:
    """Expects an error."""

    error: BaseException

    def __init__(self, expected: type[Exception]) -> None:
        self.expected = expected

    def __enter__(self) -> Raises:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert error is not None, f"no {self.expected.__name__} was raised"
        if not isinstance(error, self.expected):
            return False
        self.error = error
        return True
