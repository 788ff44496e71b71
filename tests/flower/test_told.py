"""An algorithm that needs more of the server than its model is refused where a strategy sends the model alone."""

from __future__ import annotations

import pytest

from fedward import clients
from fedward.flower.algorithms import train_with


def made(algorithm: clients.Client) -> object:
    return train_with(algorithm, lambda context: None)


@pytest.mark.parametrize(
    "algorithm",
    [
        clients.Scaffold(batch_size=4),
        clients.Augment(inner=clients.Scaffold(batch_size=4)),
        clients.WorkerMomentum(inner=clients.Scaffold(batch_size=4)),
    ],
    ids=repr,
)
def test_scaffold_is_refused(algorithm: clients.Client) -> None:
    with pytest.raises(ValueError, match="needs more of the server than its model"):
        made(algorithm)


def test_others_are_taken() -> None:
    made(clients.FedProx(batch_size=4))
    made(clients.Augment(inner=clients.Gradient(batch_size=4)))
