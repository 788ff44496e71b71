"""Data of one's own: a share of it held out, and simulations that read it sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import sim
from fedward.data import Lazy, federate, hold_out, own_dataset
from tests.data.own import FORMS, INPUTS, LABELS, Labelled, part

# --- holding out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", ["tensors", "bytes", "a list of arrays", "torch", "torch with labels", "TensorDataset"]
)
def test_a_share_is_held_out(form: str) -> None:
    value = FORMS[form]()
    made, again, other = (own_dataset(hold_out(value, 0.25, seed)) for seed in (0, 0, 1))
    assert (len(made.train), len(made.test)) == (9, 3)
    assert torch.equal(made.test.inputs[:], again.test.inputs[:])
    assert not torch.equal(made.test.inputs[:], other.test.inputs[:])
    both = torch.cat([made.train.inputs[:], made.test.inputs[:]]).flatten(1)
    assert sorted(both.tolist()) == sorted(INPUTS.flatten(1).tolist())
    labels = {tuple(row.tolist()): int(label) for row, label in zip(INPUTS.flatten(1), LABELS, strict=True)}
    for split in (made.train, made.test):
        assert [labels[tuple(row.tolist())] for row in split.inputs[:].flatten(1)] == split.labels.tolist()


@pytest.mark.parametrize(("data", "share"), [(part(), 0), (part(), 1.0), (part(INPUTS[:1], LABELS[:1]), 0.5)])
def test_nothing_or_everything_cannot_be_held_out(data: Any, share: float) -> None:
    with pytest.raises(ValueError, match="a share between 0 and 1 of two samples or more"):
        hold_out(data, share)


# --- in a simulation ----------------------------------------------------------------------------------------


class Net(nn.Sequential):
    def __init__(self, shape: tuple[int, ...] = (3, 5, 4), classes: int = 3) -> None:
        super().__init__(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


@pytest.mark.parametrize(
    "algorithm", [fw.clients.Gradient(batch_size=3), fw.clients.LocalSGD(batch_size=2, epochs=1, lr=0.1)]
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("attack", [fw.attacks.LabelFlip(), fw.attacks.ALIE()])
def test_lazy_samples_train_as_those_in_memory_do(algorithm: Any, threads: int, attack: Any) -> None:
    rows = []
    for form in ("tensors", "torch with labels"):
        value = FORMS[form]()
        run = fw.Simulation(
            model=Net,
            data=federate((value, FORMS[form]()), clients=4),
            rule=fw.rules.Median(),
            attack=attack,
            byzantine=1,
            clients=algorithm,
            threads=threads,
        )
        records = list(run.run(rounds=3, evaluate_every=1))
        rows.append((run.progress.parameters.clone(), [(r.accuracy, r.loss) for r in records]))
    assert torch.equal(rows[0][0], rows[1][0])
    assert rows[0][1] == rows[1][1]


def test_a_rule_with_root_data_and_an_attack_with_an_aim_take_lazy_samples() -> None:
    data = federate((Labelled(), Labelled()), clients=4)
    run = fw.Simulation(
        model=Net,
        data=data,
        rule=fw.rules.FLTrust(),
        attack=fw.attacks.Backdoor(size=1),
        byzantine=1,
        clients=fw.clients.Gradient(batch_size=3),
        root=5,
    )
    [record] = run.run(rounds=1, evaluate_every=1)
    assert record.confidence is not None


def test_checkpoints_tell_lazy_data_from_other_data(tmp_path: Any) -> None:
    def run(read: Callable[[int], Any]) -> None:
        simulation = fw.Simulation(
            model=Net,
            data=federate((Labelled(read), Labelled()), clients=4),
            rule=fw.rules.Mean(),
            clients=fw.clients.Gradient(batch_size=3),
        )
        list(simulation.run(rounds=1, checkpoint=tmp_path / "run.pt"))

    run(lambda i: INPUTS[i])
    run(lambda i: INPUTS[i])
    with pytest.raises(sim.CheckpointError, match="data"):
        run(lambda i: INPUTS[i] * (2 if i == 5 else 1))


def test_a_lazy_batch_of_nothing_and_of_none() -> None:
    lazy = Lazy(lambda i: INPUTS[i], 12)
    assert lazy[torch.empty(0, dtype=torch.int64)].shape == (0, 3, 5, 4)
    assert lazy.to("meta") is lazy
    with pytest.raises(ValueError, match="needs samples, got none"):
        Lazy(lambda i: INPUTS[i], 0)
