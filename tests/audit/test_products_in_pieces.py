"""Inner products of many adapters: the same numbers in pieces, and no memory that goes by the square of all ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fedward.audit import gather, lowrank
from tests.audit.test_adapters import LAYERS, write

RANKS = (3, 1, 7, 2, 2, 9, 4, 1, 1, 5, 6, 2)
NAN = 4


class Largest(TorchDispatchMode):
    """How many entries the largest tensor has that is made within."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.entries = max(self.entries, made.numel())
        return made


def written(folder: Path, odd: int | None = NAN) -> list[Path]:
    generator = torch.Generator().manual_seed(11)
    places = []
    for k, rank in enumerate(RANKS):
        layers = {
            name: (torch.randn(rank, shape[1], generator=generator), torch.randn(shape[0], rank, generator=generator))
            for name, shape in LAYERS.items()
        }
        if k == odd:
            next(iter(layers.values()))[0][0, 1] = torch.nan
        places.append(folder / f"client-{k}")
        write(places[-1], layers)
    return places


@pytest.mark.parametrize("base", [False, True])
@pytest.mark.parametrize("ranks", [1, 5, 9, 20, 1000])
def test_products_in_pieces_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int, base: bool
) -> None:
    places = written(tmp_path)
    origin = {"base": places.pop(0)} if base else {"raw": True}
    whole = gather(places, **origin).stack.gram()
    monkeypatch.setattr(lowrank, "_RANKS", ranks)
    pieces = gather(places, **origin).stack.gram()
    torch.testing.assert_close(
        pieces, whole, rtol=1e-12, atol=1e-12 * float(whole.nan_to_num(0).abs().max()), equal_nan=True
    )
    assert torch.equal(pieces.isnan(), whole.isnan())
    if ranks >= sum(RANKS):
        assert torch.equal(pieces.nan_to_num(0), whole.nan_to_num(0))


def test_no_tensor_goes_by_the_square_of_all_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowrank, "_RANKS", 10)
    stack = gather(written(tmp_path), raw=True).stack
    with Largest() as largest:
        stack.gram()
    assert largest.entries <= max(10 * 20, len(RANKS) ** 2, 16 * 20) < sum(RANKS) ** 2
