"""Rules with memory against their oracles, round by round, as clients come and go."""

from __future__ import annotations

import io
from collections.abc import Hashable
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.testing import QuadraticEvaluator
from tests.conformance.rounds import D, equal, rounds

# --- memory of any rule -------------------------------------------------------------------------------------

TAILOR = rules.RobustTailor(rules=(rules.FoolsGold(), rules.CenteredClipping(radius=2.0), rules.RFFL(warmup=1)))
WITH_MEMORY = [
    *(entry.build() for entry in fw.catalogue("rule", packaged=True) if entry.history),
    rules.FLDetector(window=2),
    rules.FLDetector(window=3, momentum=0.5),
    rules.RFFL(decay=0.5, warmup=2),
    rules.FedSECA(momentum=0.5, sparsity=0.5),
    rules.SIREN(rollback="printed", penalty=0.1),
    rules.SIREN(variant="official", rounds=9),
    rules.ClassWise(base=rules.FLDetector(window=2)),
    rules.Delayed(base=rules.FoolsGold(), start=3),
    rules.SignGuardSim(fraction=1.0),
    TAILOR,
    mixers.SequentialBucketing(s=2) >> rules.Median(),
    mixers.SequentialBucketing(s=2) >> rules.CenteredClipping(radius=2.0),
    mixers.ClipNorm(radius="median") >> rules.FoolsGold(),
    mixers.ClipNorm(radius="median") >> rules.FLDetector(window=2),
]


def go_on(aggregate: fw.Aggregator, X: Any, ids: list[Hashable], t: int) -> fw.Result[Any]:
    """Round t, with all that a rule may go by: alarms of some clients, a class, data of the server's own."""
    alarms = {client: {"alarm": (crc32(repr(client).encode()) + t) % 3 == 0} for client in ids if t % 4}
    evaluator = QuadraticEvaluator(D) if aggregate.rule.traits().root_data else None
    return aggregate(X, ids=ids, messages=alarms, evaluator=evaluator, group=t % 3)


def same(a: fw.Result[Any], b: fw.Result[Any], message: str) -> None:
    np.testing.assert_array_equal(a.output, b.output, err_msg=message)
    np.testing.assert_array_equal(a.accepted, b.accepted, err_msg=message)
    if a.weights is not None:
        np.testing.assert_array_equal(a.weights, b.weights, err_msg=message)
    assert a.reasons == b.reasons
    for name, score in a.scores.items():
        np.testing.assert_array_equal(score, b.scores[name], err_msg=f"{message}, {name}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", WITH_MEMORY, ids=repr)
def test_resuming_in_the_middle_is_bitwise_the_same(rule: fw.Rule, dtype: type) -> None:
    straight, resumed = fw.Aggregator(rule, seed=4), fw.Aggregator(rule, seed=4)
    for t, (ids, X) in enumerate(rounds(1)):
        if t in (1, 5, 9):
            buffer = io.BytesIO()
            torch.save((straight if t == 1 else resumed).state_dict(), buffer)
            buffer.seek(0)
            resumed = fw.Aggregator(rule, seed=4)
            resumed.load_state_dict(torch.load(buffer, weights_only=True))
        a = go_on(straight, X.astype(dtype), ids, t)
        if t >= 1:
            same(a, go_on(resumed, X.astype(dtype), ids, t), f"round {t}")


@pytest.mark.parametrize("rule", [r for r in WITH_MEMORY if "permutation" in r.traits().properties], ids=repr)
def test_the_order_of_rows_changes_nothing(rule: fw.Rule) -> None:
    one, other, rng = fw.Aggregator(rule), fw.Aggregator(rule), np.random.default_rng(0)
    for t, (ids, X) in enumerate(rounds(2)):
        order = rng.permutation(len(ids))
        a, b = go_on(one, X, ids, t), go_on(other, X[order], [ids[i] for i in order], t)
        equal(b.output, np.asarray(a.output), f"round {t}")
        assert a.accepted[order].tolist() == b.accepted.tolist(), f"round {t}"


@pytest.mark.parametrize("rule", WITH_MEMORY, ids=repr)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_who_sends_nan_once_was_absent_once(rule: fw.Rule, bad: float) -> None:
    sent, absent = fw.Aggregator(rule), fw.Aggregator(rule)
    for t, (ids, X) in enumerate(rounds(3, fewest=7)):
        broken, rest = X.copy(), list(range(len(ids)))
        if t in (0, 4, 5, 9):
            broken[2, 5] = bad
            rest.remove(2)
        a, b = go_on(sent, broken, ids, t), go_on(absent, X[rest], [ids[i] for i in rest], t)
        equal(a.output, np.asarray(b.output), f"round {t}")
        assert a.accepted[rest].tolist() == b.accepted.tolist(), f"round {t}"
        assert a.reasons[2] is fw.Reason.NONFINITE or len(rest) == len(ids)


@pytest.mark.parametrize("rule", WITH_MEMORY, ids=repr)
def test_a_call_that_fails_is_forgotten(rule: fw.Rule) -> None:
    one, other = fw.Aggregator(rule), fw.Aggregator(rule)
    for t, (ids, X) in enumerate(rounds(5, count=8)):
        if t in (0, 3, 6):
            with pytest.raises(fw.BoundError):
                go_on(one, np.full_like(X, np.nan), ids, t)
        same(go_on(one, X, ids, t), go_on(other, X, ids, t), f"round {t}")


@pytest.mark.parametrize("rule", WITH_MEMORY, ids=repr)
def test_what_the_caller_does_with_rows_and_output_is_not_remembered(rule: fw.Rule) -> None:
    one, other = fw.Aggregator(rule), fw.Aggregator(rule)
    for t, (ids, X) in enumerate(rounds(6, count=8)):
        rows = torch.from_numpy(X.copy())
        a, b = go_on(one, rows, ids, t), go_on(other, torch.from_numpy(X.copy()), ids, t)
        np.testing.assert_array_equal(a.output, b.output, err_msg=f"round {t}")
        rows.fill_(7)
        a.output.fill_(7)


def test_client_3_and_client_3_in_quotes_are_two() -> None:
    X = np.random.default_rng(0).normal(size=(4, D))
    for rule in (rules.FoolsGold(), rules.RFFL(), rules.FLDetector(window=1)):
        aggregate = fw.Aggregator(rule)
        for t in range(4):
            aggregate(X + t, ids=[3, "3", "'3'", (3,)])
        names = {key.partition(" of ")[0] for key in aggregate.state if " of " in key}
        assert names
        for name in names:
            assert len([key for key in aggregate.state if key.startswith(f"{name} of ")]) == 4


@pytest.mark.parametrize("rule", [rules.FoolsGold(), rules.RFFL(decay=0.5, warmup=1), rules.FLDetector(window=2)])
def test_ids_that_are_equal_are_one_client(rule: fw.Rule) -> None:
    plain, numpy = fw.Aggregator(rule), fw.Aggregator(rule)
    rng = np.random.default_rng(0)
    for t in range(8):
        ids = rng.permutation(9)[:7]
        X = rng.normal(size=(7, D)) + 1
        a = plain(X, ids=ids.tolist())
        b = numpy(X, ids=list(ids) if t % 2 else ids.tolist())
        same(a, b, f"round {t}")


@pytest.mark.parametrize("rule", WITH_MEMORY, ids=repr)
def test_a_client_of_the_largest_numbers_does_not_spoil_the_memory(rule: fw.Rule) -> None:
    aggregate = fw.Aggregator(rule)
    for t, (ids, X) in enumerate(rounds(7, fewest=7)):
        X = X.astype(np.float32)
        if t < 6:
            X[0] = 3e38 * (-1) ** (t // 2)
            ids = ["the largest", *ids[1:]]
        result = go_on(aggregate, X, ids, t)
        assert np.isfinite(result.output).all(), f"round {t}"
        assert result.weights is None or np.isfinite(result.weights).all(), f"round {t}"


def test_fools_gold_adds_up_half_precision_rows_for_long() -> None:
    rng = np.random.default_rng(0)
    rows = [torch.from_numpy(1 + 0.5 * rng.normal(size=(5, D))).bfloat16() for _ in range(500)]
    half, single = fw.Aggregator(rules.FoolsGold()), fw.Aggregator(rules.FoolsGold())
    for G in rows:
        a, b = half(G), single(G.float())
    torch.testing.assert_close(a.scores["trust"], b.scores["trust"], rtol=0.02, atol=0.02)
    for key, total in single.state.items():
        torch.testing.assert_close(half.state[key].double(), total.double(), rtol=0.02, atol=0.02)


def test_a_rejection_rule_has_no_memory() -> None:
    rule = rules.LossRejection(f=1)
    X = np.random.default_rng(0).normal(size=(6, D))
    aggregate = fw.Aggregator(rule)
    first = aggregate(X, evaluator=QuadraticEvaluator(D))
    aggregate(-X, evaluator=QuadraticEvaluator(D))
    same(first, aggregate(X, evaluator=QuadraticEvaluator(D)), "again")


@pytest.mark.parametrize("size", [1e6, 1e30, 3e38])
def test_fldetector_detects_who_turns_round_however_far(size: float) -> None:
    aggregate = fw.Aggregator(rules.FLDetector(window=2))
    rng = np.random.default_rng(0)
    common = rng.normal(size=D)
    for t in range(16):
        X = (common + 0.02 * rng.normal(size=(9, D))).astype(np.float32)
        if t >= 8:
            X[4] = size * (-1) ** t
        result = aggregate(X)
    assert result.reasons[4] is fw.Reason.DISTRUSTED
    assert result.accepted.tolist() == [i != 4 for i in range(9)]
