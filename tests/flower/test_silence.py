"""No run in which nothing is learnt ends as if all were well: it is refused, mended, or ends with the reason."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAdam, FedAvg, FedAvgM

from fedward.flower import Robust, RobustFedAvg, Screened, SkippedError, hostile

from .federation import NODES, InProcess, Quadratic, floats, liars, model, vector, weights

EVERYBODY = liars(*range(10))


def quiet(rule: str = "median", **arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(rule=rule, fraction_evaluate=0.0, **arguments)


def changing(change: Any, *partitions: int) -> Any:
    """A mod whose nodes change their replies before they send them."""

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if message.metadata.message_type == "train" and context.node_config["partition-id"] in partitions:
            change(reply.content)
        return reply

    return mod


def cast(dtype: str) -> Any:
    def change(content: Any) -> None:
        record = content["arrays"]
        for name, array in list(record.items()):
            record[name] = Array(array.numpy().astype(dtype))

    return change


def learnt(result: Any, start: ArrayRecord) -> bool:
    return bool((np.abs(weights(result.arrays) - weights(start)) > 0.5).all())


# --- what is mended ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_nodes_that_answer_in_another_float_type(dtype: str, caplog: pytest.LogCaptureFixture) -> None:
    grid = InProcess(Quadratic([changing(cast(dtype), *range(10))]).app)
    strategy = quiet()
    result = strategy.start(grid, model(), num_rounds=2)
    assert learnt(result, model())
    assert strategy.audits[-1].kept == NODES
    assert {k: a.numpy().dtype for k, a in result.arrays.items()} == {k: a.numpy().dtype for k, a in model().items()}
    said = [r.message for r in caplog.records if r.levelno == logging.WARNING and "converted" in r.message]
    others = [f"nodes send {dtype} where the model is {due}: converted" for due in ("float32", "int64")]
    assert sorted(said) == [f"aggregate_train: {text}" for text in others]  # once, not once a round
    inside = Screened(FedAvg(**FEW)).start(grid, floats(), num_rounds=2)
    assert {a.numpy().dtype for a in inside.arrays.values()} == {np.dtype("float32")}


def test_what_is_beyond_the_models_type_is_dropped() -> None:
    def far(content: Any) -> None:
        content["arrays"]["b.bias"] = Array(np.full(5, 1e200))

    strategy = quiet()
    result = strategy.start(InProcess(Quadratic([changing(far, 3)]).app), model(), num_rounds=1)
    (dropped,) = strategy.audits[0].dropped
    assert (dropped.node, dropped.reason) == (NODES[3], "overflow")
    assert dropped.detail == "b.bias has entries of float64 that are beyond float32"
    assert learnt(result, model())


def without(*parts: str) -> Any:
    def change(content: Any) -> None:
        record = content["arrays"]
        for name in [name for name in record if any(part in name for part in parts)]:
            del record[name]

    return change


@pytest.mark.parametrize("around", [False, True])
def test_layers_that_nodes_keep_to_themselves_stay(around: bool, caplog: pytest.LogCaptureFixture) -> None:
    """FedBN: the norm layers are nobody's business but the node's."""
    honest, hostile_ones = range(3, 10), (0, 1, 2)

    def forged(content: Any) -> None:  # and who sends them all the same moves nothing
        content["arrays"]["a.weight"] = Array(np.full((3, 4), 1e3, np.float32))

    def grid() -> InProcess:
        mods = [changing(without("a."), *honest), changing(forged, *hostile_ones)]
        return InProcess(Quadratic(mods, spread=0.0).app)

    inner: Any = quiet("median")
    strategy = Screened(inner) if around else inner
    result = strategy.start(grid(), model(), num_rounds=3)
    for name, own in model().items():
        if name.startswith("a."):
            np.testing.assert_array_equal(result.arrays[name].numpy(), own.numpy())
    assert result.arrays["b.bias"].numpy().min() > 0.8
    assert caplog.text.count("these arrays stay as the server has them") == 1
    assert inner.audits[-1].kept == NODES


def test_a_minority_cannot_have_layers_left_out() -> None:
    mods = [changing(without("a."), 0, 1, 2, 3, 4)]
    strategy = quiet()
    result = strategy.start(InProcess(Quadratic(mods).app), model(), num_rounds=2)
    assert {v.reason for v in strategy.audits[0].dropped} == {"wrong-keys"}
    assert strategy.audits[0].kept == NODES[5:]
    assert learnt(result, model())


def test_optimisers_leave_local_layers_alone() -> None:
    strategy = Robust(FedAdam(fraction_evaluate=0.0), rule="mean")
    turns = InProcess(Quadratic().app)
    first = strategy.start(turns, model(), num_rounds=2).arrays  # its memory holds all layers
    mods = [changing(without("a."), *range(10))]
    result = strategy.start(InProcess(Quadratic(mods).app), first, num_rounds=1)
    np.testing.assert_array_equal(result.arrays["a.weight"].numpy(), first["a.weight"].numpy())
    assert (result.arrays["b.bias"].numpy() != first["b.bias"].numpy()).all()


def test_several_records(caplog: pytest.LogCaptureFixture) -> None:
    """SCAFFOLD's nodes send control variates beside the model."""

    def more(content: Any) -> None:
        content["control"] = ArrayRecord({"a.weight": Array(np.full((3, 4), 1e9, np.float32))})
        content["timing"] = MetricRecord({"seconds": 1.0})

    grid = InProcess(Quadratic([changing(more, *range(10))]).app)
    strategy = quiet()
    result = strategy.start(grid, model(), num_rounds=2)
    assert learnt(result, model())
    assert strategy.audits[-1].kept == NODES
    assert result.train_metrics_clientapp[1]["loss"] == 4.5
    assert caplog.text.count("the ArrayRecord 'control' of most nodes is not aggregated, only 'arrays' is") == 1
    with pytest.raises(SkippedError, match=r"2 MetricRecords where 1 is due, of which none is called 'mine' \(metric"):
        quiet(metricrecord_key="mine").start(grid, model(), num_rounds=5)


# --- what is refused before anybody trains ---------------------------------------------------------------------


def test_a_rule_that_needs_more_nodes_than_are_asked() -> None:
    calls: list[None] = []

    def called(message: Message, context: Context, call_next: Any) -> Message:
        calls.append(None)
        return call_next(message, context)

    grid = InProcess(Quadratic([called]).app, nodes=NODES[:5])
    text = (
        r"MultiKrum\(f=2.* got 5 \(f is at most 1\): 5 nodes are asked .*smaller f, or wait until .*: min_train_nodes=7"
    )
    with pytest.raises(ValueError, match=text):
        quiet("multi-krum:f=2").start(grid, model(), num_rounds=3)
    with pytest.raises(ValueError, match=r"got 4 \(f is at most 0\): 4 nodes are asked"):
        quiet("multi-krum:f=2", fraction_train=0.4).start(InProcess(Quadratic([called]).app), model(), num_rounds=3)
    assert not calls
    strategy = quiet("multi-krum:f=2", on_skip="warn")
    result = strategy.start(grid, model(), num_rounds=4)
    assert len(strategy.audits) == 4
    np.testing.assert_array_equal(vector(result.arrays), vector(model()))


@pytest.mark.parametrize("rule", ["median", "nnm:f=2 >> trimmed-mean:f=2", "clip-norm:radius=1 >> median"])
def test_examples_trusted_where_no_rows_are_weighed(rule: str) -> None:
    with pytest.raises(ValueError, match="looks at columns and weighs no rows"):
        quiet(rule, trust_examples=True)


@pytest.mark.parametrize("arguments", [{"on_skip": "ignore"}, {"max_skipped": 0}, {"max_skipped": True}])
def test_arguments_that_cannot_be(arguments: Any) -> None:
    for make in (quiet, lambda **given: Screened(FedAvg(), **given)):
        with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
            make(**arguments)


# --- what ends with the reason ----------------------------------------------------------------------------------

REASONS = {
    "crash": r"3 rounds in a row .*: no node sent a sound reply \(30 of 30 replies error: code 1: this node sends "
    r"nothing.*the nodes' app raises",
    "wrong-shape": r"30 of 30 replies wrong-shape: a\.weight has shape .*the same model",
    "no-metrics": r"wrong-records: 0 MetricRecords where 1 is due.*metricrecord_key",
    "nan": "30 of 30 replies nonfinite: .*a smaller learning rate",
}


@pytest.mark.parametrize("how", REASONS)
def test_three_rounds_in_a_row_end_the_run(how: str) -> None:
    app = Quadratic([hostile.reply_mod(how, EVERYBODY)]).app
    strategy = quiet()
    with pytest.raises(SkippedError, match=REASONS[how]):
        strategy.start(InProcess(app), model(), num_rounds=10)
    assert len(strategy.audits) == strategy.round == 3
    for screen in (
        Screened(FedAvg(**FEW)),
        Screened(DifferentialPrivacyServerSideFixedClipping(quiet(), 1.0, 1.0, 10)),
    ):
        with pytest.raises(SkippedError, match="3 rounds in a row"):
            screen.start(InProcess(app), floats(), num_rounds=10)


FEW: dict[str, Any] = {"fraction_evaluate": 0.0}


def lost_in(rounds: set[int]) -> Any:
    return lambda node, round: round in rounds


@pytest.mark.parametrize(("rounds", "skipped"), [(1, {1}), (2, {1, 2})])
def test_a_short_run_of_nothing_else_ends_so_too(rounds: int, skipped: set[int]) -> None:
    grid = InProcess(Quadratic().app, lost=lost_in(skipped))
    with pytest.raises(SkippedError, match=r"missing: no reply.*timeout"):
        quiet().start(grid, model(), num_rounds=rounds)
    quiet(on_skip="warn").start(grid, model(), num_rounds=rounds)
    assert learnt(quiet().start(grid, model(), num_rounds=rounds + 2), model())


def test_rounds_are_counted_in_a_row() -> None:
    grid = InProcess(Quadratic().app, lost=lost_in({2, 3, 5, 6, 8, 9}))
    strategy = quiet()
    assert learnt(strategy.start(grid, model(), num_rounds=9), model())
    with pytest.raises(SkippedError, match="2 rounds in a row"):
        quiet(max_skipped=2).start(grid, model(), num_rounds=9)


def test_who_stays_away_ends_no_run_that_has_nodes_to_spare() -> None:
    away = {NODES[0], NODES[1], NODES[2]}
    strategy = quiet("krum:f=2")  # needs 7 of the 10
    grid = InProcess(Quadratic().app, lost=lambda node, round: node in away)
    assert learnt(strategy.start(grid, model(), num_rounds=4), model())


def test_the_reason_names_what_most_share() -> None:
    mods = [changing(without("b."), 0, 1, 2, 3), hostile.reply_mod("crash", liars(5))]
    with pytest.raises(SkippedError) as raised:
        quiet("krum:f=2").start(InProcess(Quadratic(mods).app), model(), num_rounds=5)
    text = str(raised.value)
    assert "needs n >= 2f + 3 = 7 clients" in text
    assert "12 of 30 replies wrong-keys: lacks ['b.bias']; 3 of 30 replies error" in text
    assert "a smaller f, or rounds of more nodes" in text


def test_no_minority_ends_a_run() -> None:
    """With exactly as many nodes as the bound needs, one that stays away costs rounds, and the run goes on."""
    away = {NODES[0]}

    def grid() -> InProcess:
        return InProcess(Quadratic().app, nodes=NODES[:7], lost=lambda node, round: node in away and 2 <= round <= 7)

    strategy = quiet("krum:f=2")
    assert learnt(strategy.start(grid(), model(), num_rounds=9), model())
    assert [audit.skipped is None for audit in strategy.audits] == [True, *[False] * 6, True, True]

    def huge(content: Any) -> None:
        content["arrays"]["b.bias"] = Array(np.full(5, 3e38, np.float32))

    class Lost(InProcess):
        """Nodes that are no longer online are not even asked."""

        def get_node_ids(self) -> list[int]:
            return self.nodes[:6] if 2 <= strategy.round + 1 <= 7 else self.nodes

    strategy = quiet("krum:f=2")
    assert learnt(strategy.start(Lost(Quadratic().app, nodes=NODES[:7]), model(), num_rounds=9), model())
    assert [audit.skipped is None for audit in strategy.audits] == [True, *[False] * 6, True, True]
    far = FedAvgM(**FEW, server_learning_rate=10.0, server_momentum=0.5)
    overflowing = Robust(far, rule="mean")
    mods = [changing(huge, 0, 1)]
    with pytest.raises(SkippedError, match="all 5 rounds left the model as it was"):  # at its end, which it reached
        overflowing.start(InProcess(Quadratic(mods).app), model(), num_rounds=5)


def test_an_error_of_the_servers_own_ends_the_run() -> None:
    def evaluator(tensors: Any) -> Any:
        raise IndexError("no root data")

    with pytest.raises(SkippedError, match="3 rounds in a row left the model as it was: IndexError: no root data"):
        quiet("fltrust", evaluator=evaluator).start(InProcess(Quadratic().app), model(), num_rounds=9)
