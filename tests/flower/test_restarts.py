"""What a checkpoint holds is the model that was sent out, whatever is around the rule, and nothing less replaces it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping as Private
from flwr.serverapp.strategy import FedAdam, FedAvg

from fedward.flower import Robust, RobustFedAvg, Screened
from fedward.sim import CheckpointError

from .federation import InProcess, Quadratic, floats, vector

QUIET: dict[str, Any] = {"fraction_evaluate": 0.0}


class Doubling(FedAvg):
    """A stand-in for noise, which can be foretold: whatever the rule within makes, one is added."""

    def __init__(self, strategy: FedAvg) -> None:
        super().__init__(**QUIET)
        self.strategy = strategy
        self.seen = 0

    def configure_train(self, *arguments: Any) -> Any:
        return self.strategy.configure_train(*arguments)

    def configure_evaluate(self, *arguments: Any) -> Any:
        return self.strategy.configure_evaluate(*arguments)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        moved = {name: Array(array.numpy() + np.float32(1)) for name, array in arrays.items()}
        return ArrayRecord(moved), metrics


def grid() -> InProcess:
    return InProcess(Quadratic().app)


def made(path: Path, around: Any = Doubling, cls: Any = FedAvg, **arguments: Any) -> Screened:
    return Screened(around(Robust(cls(**QUIET), rule="median", checkpoint=path, **arguments)))


def saved(path: Path) -> np.ndarray:
    return np.concatenate([t.reshape(-1).numpy() for t in torch.load(path, weights_only=True)["arrays"].values()])


@pytest.mark.parametrize("cls", [FedAvg, FedAdam])
def test_a_restart_goes_on_from_the_model_that_was_sent_out(cls: Any, tmp_path: Path) -> None:
    def run(path: Path, rounds: int) -> tuple[np.ndarray, list[int]]:
        seen: list[int] = []

        def note(number: int, arrays: ArrayRecord) -> MetricRecord:
            seen.append(number)
            return MetricRecord({"norm": float(np.linalg.norm(vector(arrays)))})

        result = made(path, cls=cls).start(grid(), floats(), num_rounds=rounds, evaluate_fn=note)
        np.testing.assert_array_equal(saved(path), vector(result.arrays))
        assert list(result.train_metrics_clientapp) == seen[1:]
        return vector(result.arrays), seen

    whole, _ = run(tmp_path / "whole.pt", 5)
    run(tmp_path / "parts.pt", 3)
    parts, seen = run(tmp_path / "parts.pt", 5)
    np.testing.assert_array_equal(whole, parts)
    assert seen == [3, 4, 5]


def test_with_differential_privacy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "private.pt"

    def around(inner: Any) -> Private:
        return Private(inner, 0.1, 5.0, 10)

    first = made(path, around).start(grid(), floats(), num_rounds=2)
    np.testing.assert_array_equal(saved(path), vector(first.arrays))  # with the noise
    assert "begins anew" not in caplog.text
    starts: list[np.ndarray] = []

    def note(number: int, arrays: ArrayRecord) -> MetricRecord:
        starts.append(vector(arrays))
        return MetricRecord()

    second = made(path, around).start(grid(), floats(), num_rounds=3, evaluate_fn=note)
    np.testing.assert_array_equal(starts[0], vector(first.arrays))
    assert f"{Private.__name__}: what they remember themselves" in caplog.text
    np.testing.assert_array_equal(saved(path), vector(second.arrays))
    assert torch.load(path, weights_only=True)["round"] == 3


def test_without_the_screen_nothing_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "bare.pt"

    def bare() -> tuple[Doubling, RobustFedAvg]:
        inner = RobustFedAvg(rule="median", checkpoint=path, **QUIET)
        return Doubling(inner), inner

    strategy, _ = bare()
    result = strategy.start(grid(), floats(), num_rounds=3)
    np.testing.assert_array_equal(saved(path), vector(result.arrays))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"another model than the one that this run starts from.*put Screened"):
        bare()[0].start(grid(), floats(), num_rounds=3)
    with pytest.raises(ValueError, match="another model"):
        strategy.start(grid(), floats(), num_rounds=3)  # and no second start of the same one does
    assert path.read_bytes() == before
    again, inner = bare()
    assert inner.arrays is not None
    again.start(grid(), inner.arrays, num_rounds=2)
    assert torch.load(path, weights_only=True)["round"] == 5


def test_a_checkpoint_of_more_rounds_is_replaced_only_by_word(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    early = RobustFedAvg(rule="median", checkpoint=path, **QUIET)  # there is nothing yet
    RobustFedAvg(rule="median", checkpoint=path, **QUIET).start(grid(), floats(), num_rounds=4)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="is there by now, and was not when this strategy was made"):
        early.start(grid(), floats(), num_rounds=2)
    done = RobustFedAvg(rule="median", checkpoint=path, **QUIET).start(grid(), floats(), num_rounds=2)
    np.testing.assert_array_equal(saved(path), vector(done.arrays))  # nothing was left to do
    assert path.read_bytes() == before
    fresh = RobustFedAvg(rule="krum:f=2", checkpoint=path, fresh=True, **QUIET)
    fresh.start(grid(), floats(), num_rounds=1)
    assert torch.load(path, weights_only=True)["round"] == 1
    assert fresh.start(grid(), floats(), num_rounds=2).train_metrics_clientapp.keys() == {2}


def test_what_does_not_fit_is_refused_at_the_outermost_too(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    made(path).start(grid(), floats(), num_rounds=1)
    other = ArrayRecord({**floats(), "c.bias": Array(np.zeros(2, np.float32))})
    with pytest.raises(ValueError, match="the model has other arrays"):
        made(path).start(grid(), other, num_rounds=2)


class Failing(Doubling):
    """One whose second round comes to nothing, after the rule within has seen it."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        arrays, metrics = super().aggregate_train(server_round, replies)
        if server_round == 2:
            raise ZeroDivisionError("halfway")
        return arrays, metrics


def test_a_round_that_what_is_around_throws_away_has_not_been(tmp_path: Path) -> None:
    def run(around: Any, rounds: int, path: Path) -> tuple[Any, Any]:
        strategy = Screened(around(RobustFedAvg(rule="centered-clipping:radius=1", checkpoint=path, **QUIET)))
        result = strategy.start(grid(), floats(), num_rounds=rounds)
        return result, torch.load(path, weights_only=True)

    failing, one = run(Failing, 3, tmp_path / "failing.pt")
    straight, other = run(Doubling, 2, tmp_path / "straight.pt")
    np.testing.assert_array_equal(vector(failing.arrays), vector(straight.arrays))
    assert one["round"] == 3
    assert one["aggregator"]["round"] == other["aggregator"]["round"] == 2
    for name, kept in other["aggregator"]["state"].items():
        assert torch.equal(one["aggregator"]["state"][name], kept)


def test_rounds_are_counted_on_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def rounds(path: Path, number: int) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "flwr"):
            made(path).start(grid(), floats(), num_rounds=number)
        return re.findall(r"\[ROUND (\d+/\d+)\]|Number of rounds: (\d+)", caplog.text)

    path = tmp_path / "run.pt"
    assert rounds(path, 2) == [("", "2"), ("1/2", ""), ("2/2", "")]
    assert rounds(path, 4) == [("", "4"), ("3/4", ""), ("4/4", "")]
    assert rounds(path, 4) == [("", "4")]
    assert "nothing is left to do of 4 rounds: the checkpoint is of round 4" in caplog.text
    logger = logging.getLogger("flwr")
    assert not [f for f in logger.filters if type(f).__name__ == "_CountingOn"]


def test_rounds_by_hand_are_saved_when_the_next_says_what_became_of_them(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    strategy = RobustFedAvg(rule="median", checkpoint=path, **QUIET)
    nodes, arrays = grid(), floats()
    for number in (1, 2):
        replies = nodes.send_and_receive(strategy.configure_train(number, arrays, ConfigRecord(), nodes))
        new, _ = strategy.aggregate_train(number, replies)
        assert new is not None
        arrays = new
    strategy.configure_evaluate(2, arrays, ConfigRecord(), nodes)
    np.testing.assert_array_equal(saved(path), vector(arrays))
    assert torch.load(path, weights_only=True)["round"] == 2
