"""`RobustFedAvg` and `Robust` with real client apps in one process."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedYogi,
    MultiKrum,
)

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.flower import Robust, RobustFedAvg, Screened, hostile
from fedward.sim import CheckpointError
from tests.flower.strategies import made, quiet

from .federation import NODES, Images, InProcess, Quadratic, arrays_of, floats, liars, model, vector, weights


def deltas(strategy: Any, grid: InProcess) -> tuple[torch.Tensor, list[int]]:
    """What the nodes would send in the first round, minus the model."""
    messages = strategy.configure_train(1, model(), ConfigRecord(), grid)
    replies = {m.metadata.src_node_id: m for m in grid.send_and_receive(messages)}
    nodes = sorted(replies)
    rows = [weights(replies[node].content["arrays"]) - weights(model()) for node in nodes]
    return torch.tensor(np.stack(rows)), nodes


# --- the aggregate ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        rules.Mean(),
        rules.Median(),
        rules.Krum(f=2),
        rules.SignGuard(),
        mixers.NNM(f=2) >> rules.TrimmedMean(f=2),
        "clip-norm:radius=median >> multi-krum:f=2",
    ],
    ids=str,
)
def test_a_round_is_the_rule_on_what_the_nodes_changed(rule: fw.Rule | str) -> None:
    app = Quadratic().app
    rows, nodes = deltas(quiet("mean"), InProcess(app))
    made = fw.parse(rule, "rule") if isinstance(rule, str) else rule
    expected = fw.Aggregator(made, seed=3)(rows, ids=nodes)
    strategy = quiet(rule, seed=3)
    result = strategy.start(InProcess(app, shuffle=1), model(), num_rounds=1)
    np.testing.assert_array_equal(weights(result.arrays), weights(model()) + expected.output.numpy())
    (audit,) = strategy.audits
    assert [v.node for v in audit.verdicts] == nodes
    assert [v.accepted for v in audit.verdicts] == expected.accepted.tolist()
    for name, scores in expected.scores.items():
        np.testing.assert_array_equal([v.scores[name] for v in audit.verdicts], scores.numpy())


class Guess:
    """Root data that likes every update alike."""

    def update(self) -> torch.Tensor:
        return torch.ones(17)

    def losses(self, steps: fw.Updates) -> torch.Tensor:
        return torch.ones(steps.n, dtype=torch.float64)

    error_rates = losses


OWN = fw.catalogue("rule", packaged=True)


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: entry.name)
def test_every_rule_of_the_catalogue_works_in_a_federation(entry: Any) -> None:
    app = Quadratic([hostile.reply_mod("nan", liars(0)), hostile.reply_mod("wrong-shape", liars(1))]).app
    trusted = {"pivot": NODES[9]} if "pivot" in entry.arguments else {}
    strategy = quiet(entry.build(**trusted), evaluator=(lambda _: Guess()) if entry.root_data else None)
    result = strategy.start(InProcess(app, lost=lambda node, round: node == NODES[round]), model(), num_rounds=4)
    assert [audit.skipped for audit in strategy.audits] == [None] * 4
    assert np.isfinite(vector(result.arrays)).all()
    assert all(not set(NODES[:2]) & set(audit.kept) for audit in strategy.audits)


def test_another_start_is_another_run() -> None:
    strategy = quiet("median")
    runs = [strategy.start(InProcess(Quadratic().app), model(), num_rounds=2) for _ in range(2)]
    np.testing.assert_array_equal(vector(runs[0].arrays), vector(runs[1].arrays))
    assert list(runs[1].train_metrics_clientapp) == [1, 2]


def test_the_order_in_which_replies_come_does_not_matter() -> None:
    outcomes = [
        quiet("sign-guard").start(InProcess(Quadratic().app, shuffle=k), model(), num_rounds=3) for k in range(3)
    ]
    for other in outcomes[1:]:
        np.testing.assert_array_equal(vector(outcomes[0].arrays), vector(other.arrays))


def test_integer_buffers_stay_and_do_not_count() -> None:
    result = quiet("krum:f=2").start(InProcess(Quadratic().app), model(), num_rounds=2)
    counter = result.arrays["a.num_batches_tracked"].numpy()
    assert counter.dtype == np.int64
    assert counter == 7
    # Nodes add 100 and more to the counter every round: a distance that saw it would see nothing else.
    rows, _ = deltas(quiet("mean"), InProcess(Quadratic().app))
    assert rows.shape[1] == 12 + 5
    assert float(rows.abs().max()) < 1


def test_claims_about_examples_count_for_nothing() -> None:
    clean = quiet("mean").start(InProcess(Quadratic().app), model(), num_rounds=2)
    app = Quadratic([hostile.reply_mod("many-examples", liars(0, 1))]).app
    strategy = quiet("mean")
    claimed = strategy.start(InProcess(app), model(), num_rounds=2)
    np.testing.assert_array_equal(vector(clean.arrays), vector(claimed.arrays))
    assert strategy.audits[-1].kept == NODES


def test_claims_count_where_they_are_trusted() -> None:
    flowers = FedAvg(fraction_evaluate=0.0).start(InProcess(Quadratic().app), floats(), num_rounds=2)
    ours = quiet("mean", trust_examples=True, batch_norm="mean").start(
        InProcess(Quadratic().app), floats(), num_rounds=2
    )
    np.testing.assert_allclose(vector(ours.arrays), vector(flowers.arrays), rtol=1e-6)
    loss = ours.train_metrics_clientapp[1]["loss"]
    assert loss == pytest.approx(flowers.train_metrics_clientapp[1]["loss"])
    app = Quadratic([hostile.reply_mod("no-examples", liars(3))]).app
    strategy = quiet("mean", trust_examples=True)
    strategy.start(InProcess(app), model(), num_rounds=1)
    (dropped,) = strategy.audits[0].dropped
    assert (dropped.node, dropped.reason) == (NODES[3], "wrong-examples")
    with pytest.raises(ValueError, match="looks at columns and weighs no rows"):
        quiet("median", trust_examples=True).start(InProcess(Quadratic().app), model(), num_rounds=1)


# --- too few ------------------------------------------------------------------------------------------------


def test_missing_nodes_are_those_sampled_minus_those_received(caplog: pytest.LogCaptureFixture) -> None:
    strategy = quiet("krum:f=2", fraction_train=1.0)  # needs 7
    grid = InProcess(Quadratic().app, lost=lambda node, round: round == 2 and node in NODES[:4])
    result = strategy.start(grid, model(), num_rounds=3)
    skipped = [audit.skipped for audit in strategy.audits]
    assert skipped[0] is skipped[2] is None
    assert (
        skipped[1]
        == "Krum(f=2, bound='theorem') needs n >= 2f + 3 = 7 clients (n >= f + 3 = 5 with bound='definition'), got 6 "
        "(f is at most 1)"
    )
    assert [v.reason for v in strategy.audits[1].verdicts] == ["missing"] * 4 + ["round-skipped"] * 6
    assert any(r.levelno == logging.WARNING and "the model stays as it was" in r.message for r in caplog.records)
    metrics = result.train_metrics_clientapp
    assert [metrics[k]["fedward-skipped"] for k in (1, 2, 3)] == [0, 1, 0]
    assert metrics[2]["fedward-dropped-missing"] == NODES[:4]
    two = quiet("krum:f=2").start(InProcess(Quadratic().app), model(), num_rounds=2)
    np.testing.assert_array_equal(vector(result.arrays), vector(two.arrays))


def test_a_run_that_nobody_answers_keeps_the_model() -> None:
    strategy = quiet("mean", on_skip="warn")
    result = strategy.start(InProcess(Quadratic().app, lost=lambda *_: True), model(), num_rounds=2)
    np.testing.assert_array_equal(vector(result.arrays), vector(model()))
    assert [audit.skipped for audit in strategy.audits] == ["no node sent a sound reply"] * 2


def test_too_few_finite_rows_skip_the_round_and_are_told_apart() -> None:
    app = Quadratic([hostile.reply_mod("nan", liars(0, 1, 2, 3))]).app
    strategy = quiet("krum:f=2", on_skip="warn")
    strategy.start(InProcess(app), model(), num_rounds=1)
    assert [v.reason for v in strategy.audits[0].verdicts] == ["nonfinite"] * 4 + ["round-skipped"] * 6


@dataclass(frozen=True, kw_only=True)
class Overshooting(fw.Rule):
    """Three times the sum, and a count of the rounds."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return fw.Plan(updates, torch.full((updates.n,), 3.0, dtype=torch.float64))

    def advance(self, state: fw.State, plan: fw.Plan, output: torch.Tensor, context: fw.Context) -> fw.State:
        return {"rounds": state.get("rounds", torch.zeros(())) + 1}


def test_an_aggregate_that_overflows_is_not_taken_and_the_rule_has_not_seen_it() -> None:
    def up(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if message.content["config"]["server-round"] == 2:
            reply.content["arrays"]["b.bias"] = Array(np.full(5, 1e38, np.float32))  # finite, as every row is
        return reply

    strategy = quiet(Overshooting())
    result = strategy.start(InProcess(Quadratic([up]).app), model(), num_rounds=2)
    assert [a.skipped for a in strategy.audits] == [None, "the aggregate is not finite"]
    assert {v.reason for v in strategy.audits[1].verdicts} == {"round-skipped"}
    one = quiet(Overshooting()).start(InProcess(Quadratic().app), model(), num_rounds=1)
    np.testing.assert_array_equal(vector(result.arrays), vector(one.arrays))
    assert strategy.aggregator.round == strategy.aggregator.state["rounds"] == 1


# --- what a rule is told ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Listening(fw.Rule):
    """The mean, of those that raise no alarm."""

    heard: list[Mapping[Any, Any]] = field(default_factory=list)

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        self.heard.append(context.messages)
        calm = [i for i, node in enumerate(updates.ids) if not context.messages[node].get("alarm")]
        return fw.average_of(updates, torch.tensor(calm))


def test_what_nodes_say_in_their_metrics_reaches_the_rule_by_node() -> None:
    app = Quadratic([hostile.update_mod(attacks.FalseAlarms(), liars(4))]).app
    strategy = quiet(Listening())
    strategy.start(InProcess(app), model(), num_rounds=1)
    (messages,) = strategy.aggregator.rule.heard  # type: ignore[attr-defined]
    assert set(messages) == set(NODES)
    assert {node for node, said in messages.items() if said.get("alarm")} == {NODES[4]}
    assert [v.node for v in strategy.audits[0].dropped] == [NODES[4]]


def test_rules_with_root_data_are_given_an_evaluator() -> None:
    app = Images([hostile.update_mod(attacks.SignFlip(scale=5), liars(0, 1))])
    train = app.data.dataset.train

    def evaluator(tensors: Mapping[str, torch.Tensor]) -> fw.Evaluator:
        at = app.model()
        at.load_state_dict(dict(tensors))
        return fw.RootEvaluator(at, train.inputs[:100], train.labels[:100], step=1.0)

    strategy = quiet("fltrust", evaluator=evaluator)
    strategy.start(InProcess(app.app), arrays_of(app.model().state_dict()), num_rounds=2)
    assert {v.node for v in strategy.audits[-1].dropped} == {NODES[0], NODES[1]}
    with pytest.raises(ValueError, match="pass evaluator="):
        quiet("fltrust")


# --- the audit ----------------------------------------------------------------------------------------------


def test_the_audit_is_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    app = Quadratic([hostile.reply_mod("wrong-shape", liars(0)), hostile.reply_mod("huge", liars(1))]).app
    strategy = quiet("sign-guard:cluster=false", audit=path)
    strategy.start(InProcess(app), model(), num_rounds=2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2]
    assert lines[0]["rule"] == "sign-guard:cluster=False"
    nodes = {entry["node"]: entry for entry in lines[1]["nodes"]}
    assert list(nodes) == [str(node) for node in NODES]
    first, second, third = (nodes[str(node)] for node in NODES[:3])
    assert first["reason"] == "wrong-shape"
    assert first["detail"] == "a.weight has shape (3, 4, 2) where (3, 4) is due"
    assert second["reason"] == "norm-too-large"
    assert second["scores"]["norm"] > 1e20
    assert third["accepted"]
    assert third["weight"] == pytest.approx(1 / 8, rel=0.1)
    with path.open("a") as file:
        file.write('{"round": 3, "ru')  # a kill
    quiet("mean", audit=path).start(InProcess(app), model(), num_rounds=1)
    assert json.loads(path.read_text().splitlines()[-1])["rule"] == "mean"


# --- restarts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "cls"),
    [("sign-guard-sim", FedAvg), ("fools-gold", FedAvg), ("krum:f=2", FedAdam), ("mean", FedAvgM), ("mean", FedYogi)],
)
def test_a_restarted_server_goes_on_bit_for_bit(rule: str, cls: type[FedAvg], tmp_path: Path) -> None:
    def run(rounds: int, checkpoint: Path) -> Any:
        strategy = Robust(made(cls), rule=rule, checkpoint=checkpoint, audit=checkpoint.with_suffix(".jsonl"))
        seen: list[int] = []

        def note(number: int, arrays: ArrayRecord) -> MetricRecord:
            seen.append(number)
            return MetricRecord({"norm": float(np.linalg.norm(vector(arrays)))})

        return strategy.start(InProcess(Quadratic().app), model(), num_rounds=rounds, evaluate_fn=note), seen, strategy

    whole, _, _ = run(6, tmp_path / "whole.pt")
    run(3, tmp_path / "parts.pt")
    rest, seen, strategy = run(6, tmp_path / "parts.pt")
    assert seen == [3, 4, 5, 6]
    assert list(rest.train_metrics_clientapp) == [4, 5, 6]
    np.testing.assert_array_equal(vector(whole.arrays), vector(rest.arrays))
    assert [a.round for a in strategy.audits] == [4, 5, 6]
    audits = [[{**json.loads(line), "seconds": 0} for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
              for name in ("whole", "parts")]  # fmt: skip
    assert audits[0] == audits[1]
    done, _, _ = run(6, tmp_path / "parts.pt")
    np.testing.assert_array_equal(vector(whole.arrays), vector(done.arrays))


def test_a_checkpoint_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    quiet("mean", checkpoint=path).start(InProcess(Quadratic().app), model(), num_rounds=1)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"rule was 'Mean\(.*\)', now 'Median\(\)'"):
        quiet("median", checkpoint=path)
    with pytest.raises(CheckpointError, match="strategy was 'FedAvg', now 'FedAdam'"):
        Robust(made(FedAdam), rule="mean", checkpoint=path)
    other = model(**{"c.bias": np.zeros(2, np.float32)})
    with pytest.raises(ValueError, match="the model has other arrays"):
        quiet("mean", checkpoint=path).configure_train(2, other, ConfigRecord(), InProcess(Quadratic().app))
    assert path.read_bytes() == before


# --- misuse -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "mulit-krum:f=2"}, "did you mean 'multi-krum'"),
        ({"rule": "multi-krum"}, "multi-krum needs f"),
        ({"rule": "alie"}, "a rule is needed"),
        ({"rule": "sequential-centered-clipping:radius=1", "trust_examples": True}, "rows of the server's own"),
    ],
)
def test_rules_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        RobustFedAvg(**arguments)


def test_strategies_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="MultiKrum aggregates by itself"):
        Robust(MultiKrum(), rule="mean")
    private = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 1.0, 1.0, 10)
    with pytest.raises(TypeError, match="differential privacy goes around"):
        Robust(private, rule="mean")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"a strategy of flwr\.serverapp\.strategy"):
        Screened("FedAvg")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="configure_train"):
        quiet("mean").aggregate_train(1, [])
