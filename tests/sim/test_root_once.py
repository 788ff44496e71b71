"""What the server would send itself is worked out once a round, however often an attack asks the rule."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fedward import attacks
from fedward.sim.root import BackendEvaluator
from tests.sim.test_root import simulation


def test_an_attack_that_asks_the_rule_has_the_server_train_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def update(self: BackendEvaluator) -> Tensor:
        trained.append(self)
        return real(self)

    real = BackendEvaluator.update
    monkeypatch.setattr(BackendEvaluator, "update", update)
    attack = attacks.Maximise(attacks.IPM, over="epsilon", candidates=3, zooms=1)
    for _ in simulation(attack=attack).run(2):
        pass
    assert len(trained) == 2


def test_an_update_that_is_not_finite_is_no_measure_for_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BackendEvaluator, "update", lambda self: torch.full_like(self.parameters, torch.nan))
    record = next(iter(simulation().run(1)))
    assert "15 of them not finite" in record.skipped
