"""Tensors that PyTorch keeps as the negative of others, as the imaginary part of a conjugate, are numbers as well."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.stack import Dense, loops_from

PARTS = torch.randn(5, 300, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
ROWS = PARTS.conj().imag
PLAIN = ROWS.resolve_neg().clone()


@pytest.mark.parametrize("entries", [0, None], ids=["loops", "torch"])
@pytest.mark.parametrize("rule", [rules.Median(), rules.TIES(), rules.Krum(f=1), rules.SignGuard()], ids=repr)
def test_rows_that_are_kept_as_negatives_are_what_they_stand_for(rule: fw.Rule, entries: int | None) -> None:
    assert ROWS.is_neg()
    with loops_from(entries):
        expected = rule(PLAIN)
        for given in (
            ROWS,
            Dense(ROWS),
            list(ROWS),
            [{"w": row} for row in ROWS],
            [[row[:100], row[100:]] for row in ROWS],
        ):
            assert torch.equal(rule(given), expected)
