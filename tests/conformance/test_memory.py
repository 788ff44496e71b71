"""Rules with memory against their oracles, round by round, as clients come and go."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Iterator
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.testing import QuadraticEvaluator
from tests.oracles import clusters, election, fldetector, geometry, memory, mixing
from tests.oracles import rules as oracle

CLIENTS: list[Hashable] = [*range(8), *(str(i) for i in range(4)), "a client", ("site", 3)]
D = 37
ROUNDS = 18
SEEDS = range(6)

Round = tuple[list[Hashable], np.ndarray]
Step = Callable[[int, list[Hashable], np.ndarray], tuple[np.ndarray, list[Hashable] | None]]


def rounds(seed: int, fewest: int = 5, count: int = ROUNDS) -> Iterator[Round]:
    """Rows of random clients in random order; every client has a direction of its own beside the common one."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=D)
    own = 0.6 * rng.normal(size=(len(CLIENTS), D))
    own[:2] -= 2 * common  # two that pull the other way
    for _ in range(count):
        common = common + 0.2 * rng.normal(size=D)
        present = rng.permutation(len(CLIENTS))[: rng.integers(fewest, len(CLIENTS) + 1)]
        rows = common + own[present] + 0.3 * rng.normal(size=(len(present), D))
        yield [CLIENTS[i] for i in present], rows


def equal(actual: Any, expected: np.ndarray, message: str) -> None:
    np.testing.assert_allclose(
        np.asarray(actual), expected, rtol=1e-6, atol=1e-7 * max(float(np.abs(expected).max()), 1e-9), err_msg=message
    )


def perms(n: int, s: int, context: fw.Context) -> list[list[int]]:
    """What the rule draws to shuffle its clusters."""
    generator, length = context.generator("buckets"), -(-n // s)
    return [torch.randperm(len(c), generator=generator).tolist() for c in torch.arange(n).split(length)]


# --- each rule beside its oracle ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("confidence", [1.0, 0.3])
def test_fools_gold(seed: int, confidence: float) -> None:
    aggregate, reference = fw.Aggregator(rules.FoolsGold(confidence=confidence)), memory.FoolsGold(confidence)
    for t, (ids, X) in enumerate(rounds(seed)):
        if t % 3 == 0:
            X[1] = X[0]  # sybils
        expected, alpha = reference.round(X, ids)
        result = aggregate(X, ids=ids)
        equal(result.output, expected, f"round {t}")
        equal(result.weights * len(ids), alpha, f"round {t}")
        assert result.accepted.tolist() == (alpha > 0).tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("decay", "clip", "warmup"), [(0.8, None, 2), (0.5, 4.0, 0), (0.95, 2.0, 3)])
def test_rffl(seed: int, decay: float, clip: float | None, warmup: int) -> None:
    aggregate = fw.Aggregator(rules.RFFL(decay=decay, clip=clip, warmup=warmup))
    reference = memory.RFFL(decay, clip, warmup)
    for t, (ids, X) in enumerate(rounds(seed, fewest=3)):
        expected, kept = reference.round(X, ids)
        result = aggregate(X, ids=ids)
        equal(result.output, expected, f"round {t}")
        distrusted = [name not in kept for name in ids]
        assert all(r is fw.Reason.DISTRUSTED for r, bad in zip(result.reasons, distrusted, strict=True) if bad)
        assert [float(s) < 0 for s in result.scores["reputation"]] == distrusted, f"round {t}"
    if decay < 0.9:
        assert {0, 1} <= reference.state.removed


def test_rffl_never_removes_everybody() -> None:
    aggregate, reference = fw.Aggregator(rules.RFFL(decay=0.0, clip=None, warmup=0)), memory.RFFL(0.0, None, 0)
    rng = np.random.default_rng(0)
    for t in range(15):
        ids = list(rng.permutation(4)[:2].tolist())
        X = rng.normal(size=(2, D))
        expected, _ = reference.round(X, ids)
        equal(aggregate(X, ids=ids).output, expected, f"round {t}")
    assert len(reference.state.alive()) >= 1


def decided(scores: np.ndarray, references: np.ndarray, official: bool) -> bool:
    """Whether the gap statistic does not hang on rounding."""
    if len(scores) < 2 or np.ptp(scores) == 0:
        return len(scores) < 2
    if np.ptp(scores) < 1e-9:
        return False
    gaps, spreads = fldetector.gap_values(scores, 7, references, official)
    return all(abs(gaps[k] - gaps[k + 1] + spreads[k + 1]) > 1e-7 for k in range(len(gaps) - 1))


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_fldetector(seed: int, window: int, variant: str) -> None:
    def references(round: int, m: int) -> np.ndarray:
        generator = fw.Context(round=round, seed=seed).generator("references")
        return torch.rand(10, m, generator=generator, dtype=torch.float64).numpy()

    rule = rules.FLDetector(window=window, variant=variant)
    aggregate, official = fw.Aggregator(rule, seed=seed), variant == "official"
    reference = fldetector.FLDetector(references, window=window, official=official)
    rng = np.random.default_rng(seed)
    common, detected, malicious, compared = rng.normal(size=D), 0, {0, "2", 5}, 0
    for t in range(25):
        common = 0.95 * common
        everyone = rng.permutation(len(CLIENTS))[: rng.integers(9, len(CLIENTS) + 1)]
        ids = [CLIENTS[i] for i in everyone]
        X = np.array([common + 0.02 * rng.normal(size=D) + (name in malicious) * rng.normal(size=D) for name in ids])
        expected, kept = reference.round(X, ids)
        result = aggregate(X, ids=ids)
        tested = reference.last_suspicion[~np.isnan(reference.last_suspicion)]
        if reference.detecting and not decided(tested, references(t, len(tested)), official):
            break
        compared += 1
        # Suspicions follow from differences of rows and outputs over many rounds.
        np.testing.assert_allclose(result.scores["suspicion"], reference.last_suspicion, rtol=1e-4, err_msg=str(t))
        np.testing.assert_allclose(result.scores["deviation"], reference.last_scores, rtol=1e-4, err_msg=str(t))
        assert [name for name, ok in zip(ids, result.accepted, strict=True) if ok] == kept, f"round {t}"
        equal(result.output, expected, f"round {t}")
        detected += len(kept) < len(ids)
    assert compared >= 15
    assert detected >= 3


def test_fldetector_follows_the_server_s_momentum() -> None:
    aggregate = fw.Aggregator(rules.FLDetector(window=3, momentum=0.5))
    received: dict[Hashable, np.ndarray] = {}
    outputs: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    for t, (ids, X) in enumerate(rounds(3)):
        scores = None
        if len(outputs) >= 2:
            S = np.column_stack(steps[:-1][-3:])
            Y = np.column_stack([b - a for a, b in pairwise(outputs)][-3:])
            hv = fldetector.lbfgs_hvp(S, Y, steps[-1])
            scores = fldetector.fldetector_distances(X, [received.get(name) for name in ids], hv)
        result = aggregate(X, ids=ids)
        if scores is not None:
            np.testing.assert_allclose(result.scores["deviation"], scores, rtol=1e-5, err_msg=str(t))
        outputs.append(np.array(result.output))
        steps.append(outputs[-1] + (0.5 * steps[-1] if steps else 0))
        received.update(zip(ids, X, strict=True))


def clipped_clustering() -> Step:
    past: list[float] = []

    def step(t: int, ids: list[Hashable], X: np.ndarray) -> tuple[np.ndarray, list[Hashable]]:
        output, kept = clusters.clipped_clustering(X, past)
        past.extend(float(np.linalg.norm(x)) for x in X)
        return output, [ids[i] for i in kept]

    return step


def centered_clipping(radius: float, iterations: int) -> Step:
    previous = np.zeros(D)

    def step(t: int, ids: list[Hashable], X: np.ndarray) -> tuple[np.ndarray, None]:
        nonlocal previous
        previous = geometry.centered_clipping(X, previous, radius, iterations)
        return previous, None

    return step


def sequential_clipping(radius: float, s: int, seed: int) -> Step:
    previous = np.zeros(D)

    def step(t: int, ids: list[Hashable], X: np.ndarray) -> tuple[np.ndarray, None]:
        nonlocal previous
        draws = perms(len(X), s, fw.Context(round=t, seed=seed))
        previous = mixing.cc_sequential_bucketing(X, previous, radius, s, draws)
        return previous, None

    return step


def fedseca(momentum: float, sparsity: float) -> Step:
    m = np.zeros(D)

    def step(t: int, ids: list[Hashable], X: np.ndarray) -> tuple[np.ndarray, None]:
        nonlocal m
        m = momentum * m + (1 - momentum) * election.fedseca(X, sparsity)
        return m, None

    return step


def sequential_bucketing(s: int, seed: int, then: Callable[[np.ndarray], np.ndarray]) -> Step:
    previous = np.zeros(D)

    def step(t: int, ids: list[Hashable], X: np.ndarray) -> tuple[np.ndarray, None]:
        nonlocal previous
        draws = perms(len(X), s, fw.Context(round=t, seed=seed).fold("mixer"))
        buckets = mixing.sequential_buckets(X, previous, s, draws)
        previous = then(np.array([X[bucket].mean(0) for bucket in buckets]))
        return previous, None

    return step


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("rule", "make"),
    [
        (rules.ClippedClustering(), lambda seed: clipped_clustering()),
        (rules.CenteredClipping(radius=2.0), lambda seed: centered_clipping(2.0, 1)),
        (rules.CenteredClipping(radius=4.0, iterations=3), lambda seed: centered_clipping(4.0, 3)),
        (rules.SequentialCenteredClipping(radius=2.0), lambda seed: sequential_clipping(2.0, 2, seed)),
        (rules.SequentialCenteredClipping(radius=5.0, s=3), lambda seed: sequential_clipping(5.0, 3, seed)),
        (rules.SequentialCenteredClipping(radius=3.0, s=50), lambda seed: sequential_clipping(3.0, 50, seed)),
        (rules.SequentialCenteredClipping(radius=3.0, s=1), lambda seed: sequential_clipping(3.0, 1, seed)),
        (rules.FedSECA(momentum=0.5), lambda seed: fedseca(0.5, 0.9)),
        (rules.FedSECA(momentum=0.9, sparsity=0.2), lambda seed: fedseca(0.9, 0.2)),
        (mixers.SequentialBucketing(s=2) >> rules.Mean(), lambda seed: sequential_bucketing(2, seed, oracle.mean)),
        (mixers.SequentialBucketing(s=3) >> rules.Mean(), lambda seed: sequential_bucketing(3, seed, oracle.mean)),
        (mixers.SequentialBucketing(s=4) >> rules.Median(), lambda seed: sequential_bucketing(4, seed, oracle.median)),
    ],
    ids=lambda x: repr(x) if isinstance(x, fw.Rule) else "",
)
def test_round_by_round(rule: fw.Rule, make: Callable[[int], Step], seed: int) -> None:
    aggregate, step = fw.Aggregator(rule, seed=seed), make(seed)
    for t, (ids, X) in enumerate(rounds(seed)):
        expected, kept = step(t, ids, X)
        result = aggregate(X, ids=ids)
        equal(result.output, expected, f"round {t}")
        if kept is not None:
            assert [name for name, ok in zip(ids, result.accepted, strict=True) if ok] == kept, f"round {t}"


@pytest.mark.parametrize("seed", SEEDS)
def test_robust_tailor_teaches_only_the_rule_that_was_drawn(seed: int) -> None:
    gold = memory.FoolsGold()

    def fools_gold(t: int, ids: list[Hashable], X: np.ndarray) -> tuple[np.ndarray, None]:
        return gold.round(X, ids)[0], None

    parts: list[tuple[fw.Rule, Step]] = [
        (rules.CenteredClipping(radius=3.0), centered_clipping(3.0, 1)),
        (rules.FoolsGold(), fools_gold),
        (rules.ClippedClustering(), clipped_clustering()),
        (rules.FedSECA(momentum=0.5, sparsity=0.5), fedseca(0.5, 0.5)),
        (rules.Median(), lambda t, ids, X: (oracle.median(X), None)),
    ]
    rule = rules.RobustTailor(rules=tuple(part for part, _ in parts))
    aggregate, drawn = fw.Aggregator(rule, seed=seed), []
    for t, (ids, X) in enumerate(rounds(seed, count=30)):
        drawn.append(rule.drawn(fw.Context(round=t, seed=seed)))
        expected, _ = parts[drawn[-1]][1](t, ids, X)
        equal(aggregate(X, ids=ids).output, expected, f"round {t}")
    assert len(set(drawn)) == len(parts)


def test_robust_tailor_keeps_the_memories_of_more_than_ten_rules_apart() -> None:
    many = tuple(rules.CenteredClipping(radius=1.0 + k) for k in range(12))
    aggregate, rule = fw.Aggregator(rules.RobustTailor(rules=many)), rules.RobustTailor(rules=many)
    steps = [centered_clipping(1.0 + k, 1) for k in range(12)]
    for t, (ids, X) in enumerate(rounds(0, count=60)):
        expected, _ = steps[rule.drawn(fw.Context(round=t))](t, ids, X)
        equal(aggregate(X, ids=ids).output, expected, f"round {t}")


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
