"""Each rule with a memory beside its oracle, round by round."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import pairwise

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from tests.conformance.rounds import CLIENTS, SEEDS, D, equal, rounds
from tests.oracles import clusters, election, fldetector, geometry, memory, mixing
from tests.oracles import rules as oracle

Step = Callable[[int, list[Hashable], np.ndarray], tuple[np.ndarray, list[Hashable] | None]]


def perms(n: int, s: int, context: fw.Context) -> list[list[int]]:
    """What the rule draws to shuffle its clusters."""
    generator, length = context.generator("buckets"), -(-n // s)
    return [torch.randperm(len(c), generator=generator).tolist() for c in torch.arange(n).split(length)]


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
