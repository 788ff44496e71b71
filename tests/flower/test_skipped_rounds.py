"""Whatever is raised while a round is judged costs that round and nothing else: the model stays, the run goes on."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM

import fedward as fw
from fedward import mixers, rules
from fedward.flower import Robust, RobustFedAvg, Screened

from .federation import NODES, InProcess, Quadratic, floats, model, vector


class OddError(Exception):
    """One that nobody has heard of."""


ERRORS = [ValueError, RuntimeError, IndexError, ZeroDivisionError, MemoryError, OddError, fw.BoundError]
PLACES = [
    "statistics",
    "decide",
    "kernel",
    "advance",
    "no plan",
    "too long an output",
    "scores that are no numbers of clients",
    "NaN",
]
RAISING = [*PLACES[:4], "check"]


@dataclass(frozen=True, kw_only=True)
class Breaking(fw.Rule):
    """The mean of rows times a random number, with a memory of all it put out, which breaks when a node says so."""

    declared = fw.Traits(history=True)
    where: str
    error: type[BaseException] = ZeroDivisionError

    def break_at(self, place: str, context: fw.Context) -> bool:
        told = any(said.get("break") for said in context.messages.values())
        if told and self.where == place and place in RAISING:
            raise self.error("a rule\nthat breaks")
        return told and self.where == place

    def check(self, n: int) -> None:
        if n < len(NODES) and self.where == "check":
            raise self.error("a rule\nthat breaks")

    def statistics(self, state: fw.State, context: fw.Context) -> tuple[fw.stack.Statistic, ...]:
        self.break_at("statistics", context)
        return ()

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        self.break_at("decide", context)
        if self.break_at("no plan", context):
            return None  # type: ignore[return-value]

        def kernel(block: torch.Tensor) -> torch.Tensor:
            self.break_at("kernel", context)
            scale = 1 + float(torch.rand((), generator=context.generator()))
            output = block.mean(0) * scale + state.get("rounds", torch.zeros(()))
            if self.break_at("NaN", context):
                output = output * torch.nan
            return torch.cat([output, output]) if self.break_at("too long an output", context) else output

        long = self.break_at("scores that are no numbers of clients", context)
        return fw.Plan(
            updates, kernel=kernel, scores={"x": torch.ones(updates.n, 2) if long else torch.ones(updates.n)}
        )

    def advance(self, state: fw.State, plan: fw.Plan, output: torch.Tensor, context: fw.Context) -> fw.State:
        self.break_at("advance", context)
        return {"rounds": state.get("rounds", torch.zeros(())) + 1, "sum": state.get("sum", 0) + output}


def nodes(broken: tuple[int, ...], places: tuple[str, ...] = ()) -> InProcess:
    """Nodes of which the first says in these rounds that the rule is to break, or is not there."""

    def speak(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if context.node_config["partition-id"] == 0 and message.metadata.message_type == "train":
            reply.content["metrics"]["break"] = int(message.content["config"]["server-round"] in broken)
        return reply

    return InProcess(
        Quadratic([speak]).app, lost=lambda node, round: "check" in places and node == NODES[0] and round in broken
    )


def strategy_of(rule: fw.Rule, cls: type[FedAvg] = FedAvg, **arguments: Any) -> Robust:
    given = {"server_momentum": 0.5} if cls is FedAvgM else {}
    return Robust(cls(fraction_evaluate=0.0, **given), rule=rule, **arguments)  # type: ignore[arg-type]


def same_memory(one: Robust, other: Robust) -> bool:
    a, b = one.aggregator.state_dict(), other.aggregator.state_dict()
    same = all(torch.equal(a["state"][k], b["state"][k]) for k in {**a["state"], **b["state"]})
    return bool(a["round"] == b["round"]) and same


@pytest.mark.parametrize("where", [*PLACES, "check"])
def test_a_round_that_the_rule_breaks_is_as_if_it_had_not_been(where: str, caplog: pytest.LogCaptureFixture) -> None:
    strategy, straight = (strategy_of(Breaking(where=where)) for _ in range(2))
    result = strategy.start(nodes((2, 4), (where,)), model(), num_rounds=5)
    expected = straight.start(nodes(()), model(), num_rounds=3)
    np.testing.assert_array_equal(vector(result.arrays), vector(expected.arrays))
    assert same_memory(strategy, straight)
    assert [a.skipped is None for a in strategy.audits] == [True, False, True, False, True]
    broken = strategy.audits[1]
    assert {v.reason for v in broken.verdicts} <= {"round-skipped", "missing"}
    assert [result.train_metrics_clientapp[k]["fedward-skipped"] for k in range(1, 6)] == [0, 1, 0, 1, 0]
    assert set(NODES[1:]) <= set(result.train_metrics_clientapp[2]["fedward-dropped-round-skipped"])
    assert f"the model stays as it was: {broken.skipped}" in caplog.text
    assert "2 of 5 rounds left the model as it was" in caplog.text
    if where in RAISING:
        assert broken.skipped == "ZeroDivisionError: a rule\\nthat breaks"
        assert any(r.exc_info and r.exc_info[0] is ZeroDivisionError for r in caplog.records)


@pytest.mark.parametrize("error", ERRORS)
def test_it_does_not_matter_what_is_raised(error: type[Exception]) -> None:
    for where in RAISING:
        strategy = strategy_of(Breaking(where=where, error=error))
        strategy.start(nodes((1,), (where,)), model(), num_rounds=2)
        first, second = strategy.audits
        assert first.skipped is not None
        assert "that breaks" in first.skipped
        assert second.skipped is None


def test_inside_a_chain_too() -> None:
    strategy = strategy_of(mixers.NNM(f=2) >> Breaking(where="decide"))
    strategy.start(nodes((1,)), model(), num_rounds=2)
    assert [a.skipped is None for a in strategy.audits] == [False, True]


@pytest.mark.parametrize("cls", [FedAvg, FedAdam, FedAvgM])
def test_with_checkpoints_and_restarts(cls: type[FedAvg], tmp_path: Path) -> None:
    def run(rounds: int, name: str) -> tuple[Any, Robust]:
        path = tmp_path / name
        strategy = strategy_of(Breaking(where="advance"), cls, checkpoint=path, audit=path.with_suffix(".jsonl"))
        return strategy.start(nodes((2, 4)), model(), num_rounds=rounds), strategy

    whole, straight = run(6, "whole.pt")
    for rounds in (2, 3, 6):  # also right after a round that was skipped
        parts, strategy = run(rounds, "parts.pt")
    np.testing.assert_array_equal(vector(whole.arrays), vector(parts.arrays))
    assert same_memory(strategy, straight)
    lines = [json.loads(line) for line in (tmp_path / "parts.jsonl").read_text().splitlines()]
    assert [line["skipped"] is None for line in lines] == [True, False, True, False, True, True]


def test_an_interrupt_passes_and_leaves_the_round_before(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    strategy = strategy_of(Breaking(where="advance", error=KeyboardInterrupt), checkpoint=path)
    with pytest.raises(KeyboardInterrupt):
        strategy.start(nodes((3,)), model(), num_rounds=4)
    straight = strategy_of(Breaking(where="advance"))
    expected = straight.start(nodes(()), model(), num_rounds=2)
    assert same_memory(strategy, straight)
    restarted = strategy_of(Breaking(where="advance", error=KeyboardInterrupt), checkpoint=path)
    assert restarted.round == 2
    assert restarted.arrays is not None
    np.testing.assert_array_equal(vector(restarted.arrays), vector(expected.arrays))


# --- the server's own data ----------------------------------------------------------------------------------


class Guess:
    """Root data that breaks when it is told to."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.losses = self.error_rates = lambda steps: torch.ones(steps.n)

    def update(self) -> torch.Tensor:
        if self.broken:
            raise IndexError("no root data")
        return torch.ones(17)


@pytest.mark.parametrize("early", [True, False])
def test_an_evaluator_that_breaks(early: bool) -> None:
    calls: list[None] = []

    def evaluator(tensors: Mapping[str, torch.Tensor]) -> Any:
        calls.append(None)
        if early and len(calls) == 2:
            raise IndexError("no root data")
        return Guess(len(calls) == 2)

    strategy = strategy_of(rules.FLTrust(), evaluator=evaluator)
    strategy.start(nodes(()), model(), num_rounds=3)
    assert [a.skipped for a in strategy.audits] == [None, "IndexError: no root data", None]


# --- the strategy's step ------------------------------------------------------------------------------------


class Stumbling(FedAdam):
    """An optimiser that has begun to change when it stumbles."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        arrays, metrics = super().aggregate_train(server_round, replies)
        if server_round == 2:
            raise OddError("halfway")
        return arrays, metrics


def remembered(checkpoint: Path) -> dict[str, Any]:
    """What the optimiser remembers after the last round."""
    memory: dict[str, Any] = torch.load(checkpoint, weights_only=True)["optimiser"]
    return memory


def test_an_optimiser_that_breaks_has_not_seen_the_round(tmp_path: Path) -> None:
    files = tmp_path / "stumbling.pt", tmp_path / "straight.pt"
    strategy = strategy_of(rules.Mean(), Stumbling, checkpoint=files[0])
    straight = strategy_of(rules.Mean(), FedAdam, checkpoint=files[1])
    strategy.start(nodes(()), model(), num_rounds=2)
    straight.start(nodes(()), model(), num_rounds=1)
    assert [a.skipped for a in strategy.audits] == [None, "OddError: halfway"]
    assert same_memory(strategy, straight)
    one, other = map(remembered, files)
    assert other.keys() == {"m_t", "v_t"}
    for name, kept in other.items():
        assert all(torch.equal(one[name][k], kept[k]) for k in kept)


@pytest.mark.parametrize(
    ("optimiser", "value"),
    [  # Finite, and so is the mean of ten; but not its square, nor ten times as far.
        (FedAdam(fraction_evaluate=0.0), 1e25),
        (FedAvgM(fraction_evaluate=0.0, server_learning_rate=10.0, server_momentum=0.5), 3e38),
    ],
)
def test_an_optimiser_that_overflows_has_not_seen_the_round(optimiser: FedAvg, value: float, tmp_path: Path) -> None:
    def far(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if message.content["config"]["server-round"] == 2:
            reply.content["arrays"]["b.bias"] = Array(np.full(5, value, np.float32))
        return reply

    runs = []
    for mods, rounds in (([far], 3), ([], 2)):
        strategy = Robust(copy.deepcopy(optimiser), rule="mean", checkpoint=tmp_path / f"{rounds}.pt")
        result = strategy.start(InProcess(Quadratic(mods).app), model(), num_rounds=rounds)
        runs.append((strategy, result))
    (strategy, result), (_, expected) = runs
    name = type(optimiser).__name__
    assert [a.skipped for a in strategy.audits] == [None, f"{name}'s step or memory is not finite", None]
    if name == "FedAvgM":  # FedAdam goes by the federation's count of rounds
        np.testing.assert_array_equal(vector(result.arrays), vector(expected.arrays))
    for memory in remembered(tmp_path / "3.pt").values():
        tensors = memory.values() if isinstance(memory, dict) else memory
        assert all(bool(tensor.isfinite().all()) for tensor in tensors)


# --- metrics ------------------------------------------------------------------------------------------------

BROKEN_METRICS: list[Callable[[list[RecordDict], str], Any]] = [
    lambda contents, key: 1 / 0,
    lambda contents, key: None,
    lambda contents, key: {"loss": "much"},
    lambda contents, key: [1.0],
]


@pytest.mark.parametrize("function", BROKEN_METRICS)
def test_metrics_functions_cost_the_metrics_alone(function: Any, caplog: pytest.LogCaptureFixture) -> None:
    strategy = RobustFedAvg(rule="mean", train_metrics_aggr_fn=function, evaluate_metrics_aggr_fn=function)
    result = strategy.start(nodes(()), model(), num_rounds=2)
    assert [a.skipped for a in strategy.audits] == [None, None]
    assert result.train_metrics_clientapp[2]["fedward-kept"] == NODES
    assert result.evaluate_metrics_clientapp[2] == {}
    assert "no metrics in this round" in caplog.text


def test_a_metrics_function_may_give_back_a_nodes_own_record() -> None:
    def first(contents: list[RecordDict], key: str) -> MetricRecord:
        return next(iter(contents[0].metric_records.values()))

    strategy = RobustFedAvg(rule="mean", train_metrics_aggr_fn=first, fraction_evaluate=0.0)
    result = strategy.start(nodes(()), model(), num_rounds=1)
    assert result.train_metrics_clientapp[1]["loss"] == 0.0
    assert result.train_metrics_clientapp[1]["fedward-skipped"] == 0


# --- strategies behind the screen ---------------------------------------------------------------------------


class Brittle(FedAdam):
    """One of Flower's that ends in the second round, with its memory half changed."""

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        arrays, metrics = super().aggregate_train(server_round, replies)
        if server_round == 2:
            raise OddError("halfway")
        return arrays, metrics

    def aggregate_evaluate(self, server_round: int, replies: Any) -> Any:
        if server_round == 2:
            raise OddError("no evaluation")
        return super().aggregate_evaluate(server_round, replies)


def test_a_strategy_behind_the_screen_that_breaks_costs_the_round(caplog: pytest.LogCaptureFixture) -> None:
    brittle = Brittle()
    result = Screened(brittle).start(InProcess(Quadratic().app), floats(), num_rounds=2)
    one = FedAdam()
    expected = one.start(InProcess(Quadratic().app), floats(), num_rounds=1)
    # Flower draws the order of nodes, and so of its sums.
    np.testing.assert_allclose(vector(result.arrays), vector(expected.arrays), rtol=1e-6)
    assert all(np.allclose(brittle.m_t[k], one.m_t[k], rtol=1e-6) for k in one.m_t)
    assert [result.train_metrics_clientapp[k]["fedward-screened-skipped"] for k in (1, 2)] == [0, 1]
    assert list(result.evaluate_metrics_clientapp) == [1]
    assert "the model stays as it was: OddError: halfway" in caplog.text
    assert "OddError('no evaluation')" in caplog.text


def test_an_interrupt_passes_the_screen() -> None:
    class Stopped(FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Screened(Stopped()).start(nodes(()), model(), num_rounds=1)


# --- an evaluation function of the server's -----------------------------------------------------------------


def test_the_servers_own_evaluation_may_end_the_run() -> None:
    """It is how an app of Flower's stops early; no node can make it do so but through the model."""

    def stop(number: int, arrays: ArrayRecord) -> MetricRecord:
        if number == 2:
            raise OddError("good enough")
        return MetricRecord()

    strategy = RobustFedAvg(rule="mean", fraction_evaluate=0.0)
    with pytest.raises(OddError):
        strategy.start(nodes(()), model(), num_rounds=3, evaluate_fn=stop)
    assert strategy.round == 2


@pytest.fixture(autouse=True)
def _warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
