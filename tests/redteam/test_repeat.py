"""One client that repeats itself, and the detector that goes by how well a client is predicted."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import attacks, redteam, rules
from fedward.redteam import Captured, play
from fedward.testing import QuadraticEvaluator


def rounds(count: int, n: int = 20, d: int = 60) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(d, generator=generator)
    return [common + torch.randn(n, d, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("value", [0.01, 5.0, None])
@pytest.mark.parametrize("window", [2, 10])
def test_fldetector_trusts_the_one_client_that_repeats_itself(window: int, value: float | None) -> None:
    aggregate, row = fw.Aggregator(rules.FLDetector(window=window)), None
    for G in rounds(window + 6):
        row = G[0] if row is None else row
        G[0] = row if value is None else value
        result = aggregate(G)
    assert result.weights[0] == 1.0
    assert result.reasons[1:] == (fw.Reason.DISTRUSTED,) * 19


def test_the_red_team_finds_it() -> None:
    texts = [text for text in redteam.ARSENAL if redteam.family(text) == "repeat"]
    assert any("clients=1" in text for text in texts)
    captured = [Captured(rows=G, previous=G[4], evaluator=QuadraticEvaluator(60)) for G in rounds(12)]
    attack = fw.parse("repeat:clients=1", "attack")
    found = play(rules.FLDetector(window=2), attack, captured, 4)
    usual = play(rules.FLDetector(window=2), attacks.NoAttack(), captured, 4)
    assert found.honest_accepted < 0.5 < usual.honest_accepted
    # Of the four byzantine clients the three that behave are left out with the honest ones.
    assert found.byzantine_accepted - found.honest_accepted > 0.12
    assert found.kappa > 3 * usual.kappa
