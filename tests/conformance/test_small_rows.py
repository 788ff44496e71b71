"""Rules with lengths of their own on rows that are shorter than these, against their oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedward import rules
from tests.oracles import geometry


@pytest.mark.parametrize("threshold", [1e-6, 1e-5, 1e-4, 2.0])
@pytest.mark.parametrize("size", [1e-6, 1e-4, 3e-4, 1e-3])
def test_huber_stops_where_the_first_step_is_a_short_one(size: float, threshold: float) -> None:
    generator = torch.Generator().manual_seed(0)
    G = size * (1 + torch.randn(9, 5, generator=generator, dtype=torch.float64)) / 5**0.5
    G[:2] *= 30
    expected = geometry.huber_agg(G.numpy(), threshold)
    np.testing.assert_allclose(rules.Huber(threshold=threshold)(G).numpy(), expected, rtol=1e-9, atol=1e-12 * size)
