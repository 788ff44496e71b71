"""DeSGD's server against its oracle, over rounds of changing classes and workers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.testing import Check, random_stack
from fedward.testing.stacks import root_data
from tests.oracles import attacks as attacks_oracle
from tests.oracles import clusters, desgd
from tests.oracles import rules as oracle

BASES: list[tuple[fw.Rule, Callable]] = [
    (rules.Mean(), oracle.mean),
    (rules.Median(), oracle.median),
    (rules.TrimmedMean(f=2), lambda X: oracle.trimmed_mean(X, 2)),
    (rules.MultiKrum(f=2), lambda X: oracle.multi_krum(X, 2)[0]),
    (rules.CosineClustering(), lambda X: clusters.clustering(X)[0]),
    (mixers.ClipNorm(radius="median") >> rules.Mean(), oracle.clip_mean),
]


def rounds(seed: int, classes: int = 4, count: int = 13) -> list[tuple[int, list[int], np.ndarray]]:
    rng = np.random.default_rng(seed)
    centres, out = rng.normal(size=(classes, 9)), []
    for t in range(count):
        c = t % classes if seed % 2 else int(rng.integers(classes))
        present = sorted(rng.permutation(12)[: rng.integers(8, 13)].tolist())
        out.append((c, present, centres[c] + 0.4 * rng.normal(size=(len(present), 9))))
    return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("base", "run"), BASES, ids=lambda value: repr(value) if isinstance(value, fw.Rule) else "")
@pytest.mark.parametrize(("decay", "gamma", "divisor"), [(0.9, 0.5, "available"), (0.7, 0.3, 4), (1.0, 0.0, 4)])
def test_equals_its_oracle(
    seed: int, base: fw.Rule, run: Callable, decay: float, gamma: float, divisor: int | str
) -> None:
    aggregate = fw.Aggregator(rules.ClassWise(base=base, decay=decay, gamma=gamma, divisor=divisor))
    server = desgd.DeSGDServer(run, decay, gamma, None if divisor == "available" else int(divisor))
    for t, (c, present, X) in enumerate(rounds(seed)):
        result = aggregate(X, ids=present, group=c)
        np.testing.assert_allclose(result.output, server.step(X, c), rtol=1e-9, atol=1e-12, err_msg=f"round {t}")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("base", "run"), BASES, ids=lambda value: repr(value) if isinstance(value, fw.Rule) else "")
def test_rounds_of_several_classes_equal_their_oracle(seed: int, base: fw.Rule, run: Callable) -> None:
    """Rows of several classes in any order, a client sending one for each class that it holds."""
    rng = np.random.default_rng(seed)
    aggregate, server = fw.Aggregator(rules.ClassWise(base=base)), desgd.DeSGDServer(run)
    for t in range(7):
        chosen = sorted(rng.permutation(5)[: rng.integers(1, 4)].tolist())
        held = [(int(i), c) for c in chosen for i in rng.permutation(11)[: rng.integers(7, 10)]]
        held = [held[i] for i in rng.permutation(len(held))]
        X = rng.normal(size=(len(held), 6)) + np.array([[3 * c] for _, c in held])
        result = aggregate(X, ids=held, group={row: row[1] for row in held})
        by_class = {c: X[[k for k, (_, other) in enumerate(held) if other == c]] for c in chosen}
        np.testing.assert_allclose(
            result.output, server.step_of_several(by_class), rtol=1e-9, atol=1e-12, err_msg=f"{t}"
        )


def test_in_rounds_of_several_classes_each_row_has_the_verdict_of_its_class() -> None:
    rng = np.random.default_rng(1)
    held = [(i, c) for i in range(8) for c in (2, 5)]
    X = rng.normal(size=(len(held), 6))
    X[3] = np.nan
    for base in (rules.Krum(f=2), rules.SignGuard(), rules.TrimmedMean(f=2), mixers.NNM(f=2) >> rules.Krum(f=2)):
        whole = fw.Aggregator(rules.ClassWise(base=base))(X, ids=held, group={row: row[1] for row in held})
        for c in (2, 5):
            rows = [k for k, (_, other) in enumerate(held) if other == c]
            alone = fw.Aggregator(rules.ClassWise(base=base))(X[rows], ids=[held[k] for k in rows], group=c)
            assert whole.accepted[rows].tolist() == alone.accepted.tolist()
            assert [whole.reasons[k] for k in rows] == list(alone.reasons)
            if whole.weights is not None:
                np.testing.assert_allclose(whole.weights[rows], alone.weights / 2)
            for name, score in whole.scores.items():
                np.testing.assert_allclose(score[rows], alone.scores[name], rtol=1e-12)


def test_too_few_rows_of_a_class_are_an_error_that_names_it() -> None:
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.Krum(f=2)))
    with pytest.raises(fw.BoundError, match=r"class 4: Krum.* needs n >= 2f"):
        aggregate(np.ones((10, 3)), group={i: 4 if i < 2 else 1 for i in range(10)})
    assert aggregate.round == 0


def test_one_class_without_compensation_is_the_rule_itself() -> None:
    plain = fw.Aggregator(rules.FLDetector(window=2, momentum=0.5))
    wrapped = fw.Aggregator(rules.ClassWise(base=rules.FLDetector(window=2, momentum=0.5), gamma=0.0))
    for _, _, X in rounds(1):
        np.testing.assert_allclose(wrapped(X[:8]).output, plain(X[:8]).output, rtol=1e-9)


def test_buffers_of_other_classes_decay() -> None:
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.Mean(), decay=0.5, gamma=0.5))
    X = np.ones((3, 2))
    aggregate(X, group=7)
    for k in range(1, 5):
        aggregate(X, group=1)
        assert float(aggregate.state["class momentum of 7"].norm()) == pytest.approx(2**0.5 * 0.5**k)


def test_verdicts_are_those_of_the_rule_inside() -> None:
    for _, present, X in rounds(3):
        X[0] = 100.0
        plain, wrapped = fw.Aggregator(rules.Krum(f=2)), fw.Aggregator(rules.ClassWise(base=rules.Krum(f=2)))
        a, b = plain(X, ids=present), wrapped(X, ids=present, group=1)
        assert a.accepted.tolist() == b.accepted.tolist()
        assert a.reasons == b.reasons
        np.testing.assert_array_equal(a.scores["krum"], b.scores["krum"])


def test_no_average_can_overflow_what_the_rule_kept_out() -> None:
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.Median()))
    G = torch.ones(5, 4)
    G[0] = 3e38
    for t in range(6):
        output = aggregate(G, group=t % 2).output
        assert bool(output.isfinite().all())
    torch.testing.assert_close(output, torch.full((4,), 0.975))


BASES = [rules.SignGuard(fraction=1.0), rules.FedSECA(momentum=0.5), rules.DnC(f=2)]


@fw.testing.parametrize([rules.ClassWise(base=base) for base in BASES])
def test_conforms_around_any_rule(check: Check) -> None:
    check()


@pytest.mark.parametrize("entry", [e for e in fw.catalogue("rule") if e.name != "class-wise"], ids=lambda e: e.name)
def test_every_rule_of_the_catalogue_can_be_inside(entry: object) -> None:
    rule = rules.ClassWise(base=entry.build())
    aggregate = fw.Aggregator(rule)
    for t in range(4):
        G = random_stack(rule, seed=t)
        result = aggregate(G, group=t % 3, evaluator=root_data(rule, G.shape[1]))
        assert bool(result.output.isfinite().all())
    assert len([k for k in aggregate.state if k.startswith("class momentum")]) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decay": 1.1}, "decay is a number from 0 to 1"),
        ({"gamma": 1.0}, "gamma is a number of at least 0 and below 1"),
        ({"divisor": "all"}, "divisor is a whole number of at least 1 or 'available', got 'all'"),
        ({"divisor": 0}, "got 0"),
    ],
)
def test_bounds(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules.ClassWise(base=rules.Mean(), **changes)


def test_as_text() -> None:
    rule = fw.parse("class-wise:base=(bucketing:s=2 >> krum:f=1),gamma=0.25,divisor=10")
    assert rule == rules.ClassWise(base=mixers.Bucketing(s=2) >> rules.Krum(f=1), gamma=0.25, divisor=10)
    assert fw.parse(fw.describe(rule)) == rule


def test_alie_in_a_round_of_one_class_is_class_wise_alie() -> None:
    """The rows of a round are those of its class alone, so that no other attack is needed."""
    rng = np.random.default_rng(0)
    by_class = {c: rng.normal(size=(6, 5)) for c in range(3)}
    for c, honest in by_class.items():
        expected = attacks_oracle.attack_alie_classwise(by_class, c, 2, 1.0)
        np.testing.assert_allclose(attacks.ALIE(z=1.0)(honest, np.zeros((2, 5))), expected)


def test_a_row_of_no_class_is_refused_with_a_sentence() -> None:
    group = {i: i % 2 for i in range(8)}
    aggregate = fw.Aggregator(rules.ClassWise(base=rules.Mean()))
    with pytest.raises(ValueError, match=r"none for 8; .*class-wise:base="):
        aggregate(np.ones((9, 3)), group=group)


def test_a_mixed_row_is_not_taken_for_the_client_of_its_number() -> None:
    group = {i: i % 2 for i in range(8)}
    mixed = fw.Aggregator(mixers.Bucketing(s=2) >> rules.ClassWise(base=rules.Mean()))
    with pytest.raises(ValueError, match="none for 0; rows that a mixer made are nobody's"):
        mixed(np.ones((8, 3)), group=group)
    # A mixer that keeps clients apart keeps their classes, and a rule that knows of no classes does not mind.
    kept = fw.Aggregator(mixers.ClipNorm(radius=1.0) >> rules.ClassWise(base=rules.Mean()))
    assert kept(np.ones((8, 3)), group=group).accepted.all()
    plain = fw.Aggregator(mixers.Bucketing(s=2) >> rules.Mean())
    assert plain(np.ones((8, 3)), group=group).accepted.all()
