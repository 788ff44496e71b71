"""No reply ends a run or costs others their round, no checkpoint of anything else is taken, no audit ends a run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, Strategy

from fedward.flower import Fault, Robust, RobustFedAvg, Screened
from fedward.sim.checkpoint import CheckpointError
from tests.flower.federation import NODES, InProcess, Quadratic, floats, model, vector

LIAR = NODES[0]
SETTING: dict[str, Any] = {"fraction_evaluate": 0.0, "min_available_nodes": 10}


def judged(strategy: Strategy, change: Any, arrays: ArrayRecord | None = None, every: Any = lambda c: None) -> Any:
    """A round in which one node's reply is changed: the model after it, and what is said of it."""
    sent = floats() if arrays is None else arrays
    replies = []
    for request in strategy.configure_train(1, sent, ConfigRecord(), InProcess(Quadratic().app)):
        metrics = MetricRecord({"num-examples": 10, "loss": 0.5, "by-class": [0.5, 0.5]})
        moved = ArrayRecord({name: Array(np.ones_like(a.numpy())) for name, a in sent.items()})
        content = RecordDict({"arrays": moved, "metrics": metrics})
        every(content)
        if request.metadata.dst_node_id == LIAR:
            change(content)
        replies.append(Message(content, reply_to=request))
    return strategy.aggregate_train(1, replies)


def metric(name: str, value: Any) -> Any:
    def change(content: RecordDict) -> None:
        content["metrics"][name] = value

    return change


def array(**said: Any) -> Any:
    def change(content: RecordDict) -> None:
        name, one = next(iter(content["arrays"].items()))
        parts = {"dtype": one.dtype, "shape": tuple(one.shape), "stype": one.stype, "data": one.data, **said}
        content["arrays"][name] = Array(**parts)

    return change


def swapped(content: RecordDict) -> None:
    content["arrays"], content["metrics"] = content["metrics"], content["arrays"]


CHANGES = {
    "stype": (array(stype="pickle"), Fault.UNREADABLE),
    "dtype beside": (array(dtype="float64"), Fault.WRONG_DTYPE),
    "shape beside": (array(shape=(99,)), Fault.WRONG_SHAPE),
    "a list for a number": (metric("loss", [0.5]), Fault.WRONG_KEYS),
    "a number for a list": (metric("by-class", 0.5), Fault.WRONG_KEYS),
    "another length": (metric("by-class", [0.5]), Fault.WRONG_KEYS),
    "a metric of NaN": (metric("loss", float("nan")), Fault.WRONG_KEYS),
    "a huge metric": (metric("by-class", [0.5, 1e308]), Fault.WRONG_KEYS),
    "records under each other's names": (swapped, Fault.WRONG_KEYS),
    **{
        f"{value!r:.9} examples": (metric("num-examples", value), Fault.WRONG_EXAMPLES)
        for value in (float("nan"), float("inf"), -1, 0, 1e300, 10**400, [10])
    },
}


@pytest.mark.parametrize("how", list(CHANGES))
@pytest.mark.parametrize("inner", [FedAvg, FedAdam, FedAvgM])
def test_the_screen_drops_what_would_cost_the_others_their_round(how: str, inner: Any) -> None:
    change, fault = CHANGES[how]
    arrays, metrics = judged(Screened(inner(**SETTING)), change)
    assert arrays is not None
    assert np.isfinite(vector(arrays)).all()
    assert metrics["fedward-screened-skipped"] == 0
    assert metrics[f"fedward-screened-{fault}"] == [LIAR]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 10**400, 1e300, [10]])
def test_a_rule_by_examples_drops_them_too(value: Any) -> None:
    strategy = RobustFedAvg(rule="mean:weighted=true", max_share=0.5, **SETTING)
    arrays, _ = judged(strategy, metric("num-examples", value))
    assert arrays is not None
    assert {v.node: v.reason for v in strategy.audits[-1].dropped} == {LIAR: Fault.WRONG_EXAMPLES}


class Breaking(FedAvg):
    """One that remembers, and then makes what is no model."""

    seen = 0

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        self.seen += 1
        arrays, metrics = super().aggregate_train(server_round, replies)
        assert arrays is not None
        name = next(iter(arrays))
        arrays[name] = Array(np.full_like(arrays[name].numpy(), np.nan))
        return arrays, metrics


class Around(FedAvg):
    def __init__(self, strategy: FedAvg) -> None:
        super().__init__()
        self.strategy = strategy

    def configure_train(self, *arguments: Any) -> Any:
        return self.strategy.configure_train(*arguments)

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        return self.strategy.aggregate_train(server_round, replies)


def test_a_model_that_is_not_finite_is_never_taken_and_nothing_is_remembered_of_it() -> None:
    inner = Breaking(**SETTING)
    arrays, metrics = judged(Screened(Around(inner)), lambda content: None)
    assert arrays is None
    assert metrics["fedward-screened-skipped"] == 1
    assert inner.seen == 0


def test_huge_rows_of_float64() -> None:
    """Differences of 1e153 have squares that still are numbers, and sums of these that are not."""
    wide = model(**{"a.weight": np.zeros((30, 40)), "b.bias": np.zeros(5)})

    def huge(content: RecordDict) -> None:
        for name, one in list(content["arrays"].items()):
            if one.numpy().dtype == np.float64:
                content["arrays"][name] = Array(np.full_like(one.numpy(), 1e153))

    for rule in (
        "median",
        "krum:f=1",
        "multi-krum:f=1",
        "sign-guard",
        "trimmed-mean:f=1",
        "geometric-median",
        "bulyan:f=1",
    ):
        strategy = RobustFedAvg(rule=rule, **SETTING)
        arrays, _ = judged(strategy, huge, arrays=wide)
        assert arrays is not None, strategy.audits[-1].skipped
        made = np.concatenate(
            [a.numpy().ravel() for name, a in arrays.items() if "running" not in name and a.dtype == "float64"]
        )
        np.testing.assert_allclose(made, 1, err_msg=rule)


# --- checkpoints ------------------------------------------------------------------------------------------------


def started(path: Path, arrays: ArrayRecord, strategy: Any = None, rounds: int = 1, **more: Any) -> Robust:
    robust = Robust(strategy or FedAdam(**SETTING), rule="median", checkpoint=path, **more)
    robust.start(InProcess(Quadratic().app), arrays, num_rounds=rounds)
    return robust


def test_a_checkpoint_of_another_model_is_refused_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    started(path, model())
    before = path.read_bytes()
    others = {
        "names": model(**{"c.bias": np.zeros(2, np.float32)}),
        "shapes": model(**{"b.bias": np.zeros(6, np.float32)}),
        "dtypes": model(**{"b.bias": np.zeros(5, np.float64)}),
    }
    for other in others.values():
        with pytest.raises(
            ValueError, match=r"other arrays than .*(b|c)\.bias was .*give the checkpoint another place"
        ):
            started(path, other, rounds=2)
    with pytest.raises(CheckpointError, match=r"FedAdam.eta was 0.1, now 0.5"):
        started(path, model(), FedAdam(eta=0.5, **SETTING), rounds=2)
    with pytest.raises(CheckpointError, match="classes was None, now 2"):
        started(path, model(), classes=2, rounds=2)
    assert path.read_bytes() == before
    assert started(path, model(), FedAdam(fraction_train=0.5, **SETTING), rounds=2).round == 2


@pytest.mark.parametrize(
    "optimiser",
    [
        {"rule": {"a.weight": torch.zeros(3, 4)}},
        {"weighted_by_key": [torch.zeros(1)]},
        {"aggregate_train": []},
        {"momentum_vector": [torch.zeros(1)]},
        {"m_t": {"a.weight": torch.zeros(1)}},
        {"m_t": [torch.zeros(1)]},
        {"v_t": 3},
        [1],
    ],
)
def test_a_checkpoint_sets_what_an_optimiser_remembers_and_nothing_else(optimiser: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    started(path, model())
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, "optimiser": optimiser}, path)
    with pytest.raises(CheckpointError, match=r"is nothing that FedAdam remembers|no round of a federation"):
        started(path, model(), rounds=2)


def test_a_checkpoint_without_settings_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    started(path, model())
    saved = torch.load(path, weights_only=True)
    del saved["settings"]
    torch.save(saved, path)
    assert started(path, model(), rounds=2).round == 2


def test_places_are_tried_before_the_first_round(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot be written: "):
        RobustFedAvg(rule="median", checkpoint=tmp_path / "file" / "model.pt")
    with pytest.raises(OSError, match="file"):
        RobustFedAvg(rule="median", audit=tmp_path / "file" / "audit.jsonl")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_an_audit_that_cannot_be_written_costs_no_round(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    robust = Robust(FedAvg(**SETTING), rule="median", checkpoint=path, audit=tmp_path / "audit.jsonl")
    rounds: list[int] = []

    def full(audit: Any) -> None:
        rounds.append(torch.load(path, weights_only=True)["round"])
        raise OSError(28, "No space left on device", str(tmp_path / "audit.jsonl"))

    monkeypatch.setattr(robust._file, "append", full)
    with caplog.at_level(logging.WARNING, "flwr"):
        robust.start(InProcess(Quadratic().app), model(), num_rounds=2)
    assert robust.round == 2
    assert rounds == [1, 2]
    assert "the audit of round 2 is not in" in caplog.text
