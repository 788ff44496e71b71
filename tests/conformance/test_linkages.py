"""What the linkage of CosineClustering changes where forged rows are one and the same."""

from __future__ import annotations

from statistics import fmean
from typing import Literal

import pytest
import torch

import fedward as fw
from fedward import attacks, rules

D = 500


def workers(seed: int) -> torch.Tensor:
    """Rows of 20 workers with 3 of 10 classes each."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(D, generator=generator, dtype=torch.float64)
    classes = torch.randn(10, D, generator=generator, dtype=torch.float64)
    noise = 0.3 * torch.randn(20, D, generator=generator, dtype=torch.float64)
    held = torch.stack([classes[[(3 * i + j) % 10 for j in range(3)]].mean(0) for i in range(20)])
    return common + held + noise


@pytest.mark.parametrize("linkage", ["single", "complete", "average"])
def test_single_linkage_alone_cuts_off_identical_rows_of_alie(
    linkage: Literal["single", "complete", "average"],
) -> None:
    byzantine = []
    honest = []
    for seed in range(6):
        rows = workers(seed)
        forged = attacks.ALIE(z=1.0)(rows, rows[:4])
        accepted = fw.Aggregator(rules.CosineClustering(linkage=linkage))(torch.cat([forged, rows])).accepted.double()
        byzantine.append(float(accepted[:4].mean()))
        honest.append(float(accepted[4:].mean()))
    if linkage == "single":
        assert (fmean(byzantine), fmean(honest)) == (0.0, 1.0)
    else:
        assert fmean(byzantine) > 0.6
        assert fmean(honest) < 0.8


def test_the_printed_criterion_is_the_default() -> None:
    assert rules.CosineClustering().linkage == "single"
