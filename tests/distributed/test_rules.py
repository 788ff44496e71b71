"""Every registered rule decides alike on a stack in one process and on one that two or four hold together."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from tests.distributed import rounds
from tests.distributed.processes import spread

Rounds = dict[str, list[dict[str, Any]]]

# Sums over columns are taken in another order: they differ by the rounding of float64, 1e-16 for each of 203 columns
# in parts of the rows' squared norms. Distances of rows that are near to one another are a hundred times smaller.
CLOSE = 1e-10


@cache
def alone() -> Rounds:
    return rounds.alone()


@cache
def together(size: int) -> list[Rounds]:
    outcomes = spread(rounds.together, size)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


@pytest.mark.parametrize(("size", "name"), [(size, name) for size in (2, 4) for name in rounds.cases(size)])
def test_decides_as_one_process(size: int, name: str) -> None:
    for got in together(size):
        for at, (one, many) in enumerate(zip(alone()[name], got[name], strict=True)):
            where = f"round {at}"
            assert many["reasons"] == one["reasons"], where
            assert many["note"] == one["note"], where
            assert many["accepted"].tolist() == one["accepted"].tolist(), where
            assert (one["weights"] is None) == (many["weights"] is None), where
            if one["weights"] is not None:
                torch.testing.assert_close(many["weights"], one["weights"], rtol=CLOSE, atol=CLOSE)
            assert many["scores"].keys() == one["scores"].keys()
            for score, values in one["scores"].items():
                atol = CLOSE * max(float(values.nan_to_num(posinf=0, neginf=0).abs().max()), 1)
                torch.testing.assert_close(many["scores"][score], values, rtol=CLOSE, atol=atol, equal_nan=True)
            atol = CLOSE * float(one["output"].abs().max())
            torch.testing.assert_close(many["output"], one["output"], rtol=CLOSE, atol=atol)


@pytest.mark.parametrize("size", [2, 4])
def test_all_processes_say_the_same_to_the_last_bit(size: int) -> None:
    first, *others = together(size)
    for other in others:
        for name, played in first.items():
            for mine, theirs in zip(played, other[name], strict=True):
                assert repr_of(mine) == repr_of(theirs), name


def repr_of(round_told: dict[str, Any]) -> dict[str, Any]:
    """All of it as texts and numbers, exact."""
    scores = {name: values.numpy().tobytes() for name, values in round_told["scores"].items()}
    tensors = {k: v.numpy().tobytes() for k, v in round_told.items() if isinstance(v, torch.Tensor)}
    return {**round_told, **tensors, "scores": scores}
