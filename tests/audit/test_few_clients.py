"""What the usual panel sees of clients that really trained: honest ones are left alone, a liar is found."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from fedward.audit import usual_panel
from fedward.audit.panel import ask, stand_apart
from fedward.core import Context
from fedward.data import IID
from fedward.stack import Dense
from tests.loaded import module_of

SCRIPT = Path(__file__).parents[2] / "scripts" / "few_clients.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return module_of(SCRIPT)


@pytest.fixture(scope="module")
def pools(script: ModuleType) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [script.pool(IID(), seed) for seed in range(3)]


def test_whose_data_are_alike_is_not_suspected(script: ModuleType, pools: list[tuple[torch.Tensor, ...]]) -> None:
    """Squared distances have a long tail: judged as they are, they accuse an honest client in four folders of ten."""
    suspected = [
        bool(script.suspected(honest[start : start + n], seed).any())
        for seed, (honest, _) in enumerate(pools)
        for n in (5, 8, 12)
        for start in range(0, 13 - n, 2)
    ]
    assert len(suspected) == 24
    assert sum(suspected) <= 1


@pytest.mark.parametrize("n", [5, 8, 12])
def test_a_liar_among_them_is_found(script: ModuleType, pools: list[tuple[torch.Tensor, ...]], n: int) -> None:
    for seed, (honest, flipped) in enumerate(pools):
        for lie in script.LIARS.values():
            rows = torch.cat([lie(honest[:1], flipped[:1]), honest[1:n]])
            assert script.suspected(rows, seed).tolist() == [True] + [False] * (n - 1)


def test_what_is_squared_is_judged_as_a_length(pools: list[tuple[torch.Tensor, ...]]) -> None:
    rows = torch.cat([-pools[0][0][:1], pools[0][0][1:]])
    squared = [member for member in usual_panel(12) if member.squared]
    assert [member.idea for member in squared] == ["distance", "spectral"]
    for member in squared:
        opinion = ask(member, Dense(rows), Context())
        assert opinion.verdict is not None
        lengths = opinion.scores[str(member.score)].sqrt()
        assert opinion.suspects.tolist() == stand_apart(lengths, "high", member.least).tolist() == [True] + 11 * [False]
