"""Mixers against their definition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.stack import Dense, Layers, materialise
from fedward.testing.rules import rule_checks
from tests.oracles import election, mixing
from tests.oracles import rules as oracle

Oracle = Callable[[np.ndarray], np.ndarray]


def pairs() -> Iterator[tuple[fw.Mixer, fw.Rule, int | None]]:
    """Every mixer, every rule and a third of the suite, another one each time; None where they do not go together."""
    for i, rule in enumerate([*(entry.build() for entry in fw.catalogue("rule")), rules.Krum(f=2)]):
        third = i
        for entry in fw.catalogue("mixer"):
            mixer = entry.build()
            together = mixer.traits().keeps_clients or not rule.traits().by_client
            yield mixer, rule, third % 3 if together else None
            third += together


@pytest.mark.parametrize(("mixer", "rule", "third"), [*pairs()], ids=repr)
def test_conforms_before_every_rule(mixer: fw.Mixer, rule: fw.Rule, third: int | None) -> None:
    if third is None:
        with pytest.raises(ValueError, match="uses the clients' ids, and after"):
            mixer >> rule
        return
    for check in rule_checks(mixer >> rule)[third::3]:
        check()


def test_clip_mean_equals_its_oracle() -> None:
    rule = mixers.ClipNorm(radius="median") >> rules.Mean()
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(9 + seed % 2, 30)) * rng.gamma(1.0, size=(9 + seed % 2, 1))
        X[0] = 0
        np.testing.assert_allclose(rule(X), oracle.clip_mean(X), rtol=1e-9)


def test_clip_norm_clips_by_weight() -> None:
    G = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.0, 0.0]])
    matrix = mixers.ClipNorm(radius=2).matrix(Dense(G), fw.Context())
    torch.testing.assert_close(matrix, torch.diag(torch.tensor([0.4, 1.0, 1.0], dtype=torch.float64)))


def test_a_chain_reads_the_data_twice() -> None:
    updates = Dense(torch.randn(9, 100), block=16)
    fw.Aggregator(mixers.ClipNorm(radius="median") >> mixers.ClipNorm(radius=1.0) >> rules.Krum(f=2))(updates)
    assert updates.d < updates.columns_read <= 2 * updates.d  # Krum writes one row


@pytest.mark.parametrize("radius", [0, -1.0, "mean", float("nan")])
def test_bad_radius_is_named(radius: float | str) -> None:
    with pytest.raises(ValueError, match="radius"):
        mixers.ClipNorm(radius=radius)


# --- every mixer beside its oracle --------------------------------------------------------------------------


def bucketing(s: int, context: fw.Context) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        return mixing.bucketing(X, torch.randperm(len(X), generator=context.generator("buckets")).tolist(), s)

    return run


def sequential(s: int, context: fw.Context) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        previous = np.zeros(X.shape[1]) if context.previous is None else context.previous.double().numpy()
        generator, length = context.generator("buckets"), -(-len(X) // s)
        perms = [torch.randperm(len(c), generator=generator).tolist() for c in torch.arange(len(X)).split(length)]
        return np.array([X[bucket].mean(0) for bucket in mixing.sequential_buckets(X, previous, s, perms)])

    return run


def clipped(radius: float | None) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        return election.clip_rows(X, oracle.med([oracle.norm(x) for x in X]) if radius is None else radius)

    return run


MIXERS: list[tuple[fw.Mixer, Callable[[fw.Context], Oracle]]] = [
    (mixers.ClipNorm(radius="median"), lambda context: clipped(None)),
    (mixers.ClipNorm(radius=4.0), lambda context: clipped(4.0)),
    (mixers.Normalize(), lambda context: mixing.normalize),
    *((mixers.NNM(f=f), lambda context, f=f: lambda X: mixing.nnm(X, f)) for f in (0, 1, 3)),
    *((mixers.ARC(f=f), lambda context, f=f: lambda X: mixing.arc(X, f)) for f in (0, 1, 3, 4)),
    *((mixers.Bucketing(s=s), lambda context, s=s: bucketing(s, context)) for s in (1, 2, 3, 10, 50)),
    *((mixers.SequentialBucketing(s=s), lambda context, s=s: sequential(s, context)) for s in (1, 2, 3, 7, 50)),
    *((mixers.GroupMajority(r=r), lambda context, r=r: lambda X: mixing.group_majority(X, r)) for r in (1, 3, 4, 50)),
]


def stacks(n: int = 11, d: int = 30) -> list[np.ndarray]:
    """Random rows of many lengths; some sent twice or more, in groups of neighbours and elsewhere; a zero row."""
    made = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=d) + rng.normal(size=(n, d)) * rng.gamma(1.0, size=(n, 1))
        if seed % 2:
            X[5] = X[3]
            X[7] = X[8]
            X[10] = X[3]
        if seed % 3 == 2:
            X[4] = 0
        made.append(X)
    return made


def close(actual: Any, expected: np.ndarray, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=rtol, atol=rtol * max(float(abs(expected).max()), 1))


@pytest.mark.parametrize("block", [1, 7, 1000])
@pytest.mark.parametrize(("mixer", "make"), MIXERS, ids=lambda x: repr(x) if isinstance(x, fw.Mixer) else "")
def test_equals_its_oracle_as_a_matrix_and_as_a_view(
    mixer: fw.Mixer, make: Callable[[fw.Context], Oracle], block: int
) -> None:
    for seed, X in enumerate(stacks()):
        previous = torch.from_numpy(X[1] - X[2]) if seed % 2 else None
        context = fw.Context(round=seed, seed=3, previous=previous)
        expected = make(context)(X)
        layered = Layers([[row[:9], row[9:]] for row in map(torch.from_numpy, X)], block=block)
        for updates in (Dense(torch.from_numpy(X), block=block), layered):
            M = mixer.matrix(updates, context)
            assert (tuple(M.shape), M.dtype) == ((mixer.rows(len(X)), len(X)), torch.float64)
            close(M.numpy() @ X, expected)
            close(materialise(mixer.view(updates, context)), expected)
        if mixer.traits().diagonal:
            assert torch.equal(M, M.diagonal().diag())


# --- what follows from the definitions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [rules.MultiKrum(f=2), rules.GeometricMedian(), rules.CAF(f=2), rules.MDA(f=2)], ids=repr
)
@pytest.mark.parametrize("mixer", [mixers.NNM(f=2), mixers.ARC(f=2), mixers.Bucketing(s=2)], ids=repr)
def test_weights_of_clients_are_those_of_mixed_rows_times_the_matrix(mixer: fw.Mixer, rule: fw.Rule) -> None:
    for seed in range(8):
        X = np.random.default_rng(seed).normal(size=(15, 30)) + 1
        updates, context = Dense(torch.from_numpy(X)), fw.Context(seed=seed)
        M = mixer.matrix(updates, context.fold("mixer"))
        below = rule.decide(Dense(M @ torch.from_numpy(X)), {}, context.fold("rule"))
        result = fw.Aggregator(mixer >> rule, seed=seed)(updates)
        close(result.weights, (M.T @ below.weights).numpy(), rtol=1e-7)
        close(result.weights.numpy() @ X, np.asarray(result.output))


def test_nnm_with_f_0_makes_every_row_the_mean() -> None:
    X = np.random.default_rng(0).normal(size=(7, 12))
    view = mixers.NNM(f=0).view(Dense(torch.from_numpy(X)), fw.Context())
    close(materialise(view), np.tile(X.mean(0), (7, 1)))
    for rule in (rules.Mean(), rules.Median(), rules.Krum(f=1), rules.GeometricMedian(), rules.CosineClustering()):
        close((mixers.NNM(f=0) >> rule)(X), X.mean(0))


def test_nnm_takes_colluders_in_row_order() -> None:
    for seed in range(10):
        G = torch.from_numpy(np.random.default_rng(seed).normal(size=(9, 3000))).float()
        G[[2, 5, 6, 8]] = 0.3 * G.mean(0)
        first = mixers.NNM(f=6).matrix(Dense(G, block=7), fw.Context())
        assert first[2].nonzero().flatten().tolist() == [2, 5, 6]
        for block in (1, 64, 3000):
            assert torch.equal(first, mixers.NNM(f=6).matrix(Dense(G, block=block), fw.Context()))


def test_arc_clips_as_many_rows_as_it_says() -> None:
    for n in range(3, 30):
        lengths = torch.arange(1.0, n + 1, dtype=torch.float64)
        for f in range((n - 1) // 2 + 1):
            factors = mixers.ARC(f=f).factors(Dense(lengths[:, None]), fw.Context())
            assert int((factors < 1).sum()) == 2 * f * (n - f) // n, f"n = {n}, f = {f}"


@pytest.mark.parametrize("cls", [mixers.Bucketing, mixers.SequentialBucketing])
@pytest.mark.parametrize(("n", "s"), [(9, 1), (9, 2), (9, 3), (9, 9), (9, 10), (1, 5), (10, 4), (7, 6)])
def test_buckets_hold_every_client_once(cls: Any, n: int, s: int) -> None:
    for seed in range(5):
        G = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 4)))
        context = fw.Context(seed=seed, previous=G[0] if seed else None)
        M = cls(s=s).matrix(Dense(G), context)
        members = M > 0
        assert len(M) == -(-n // s)
        assert (members.sum(0) == 1).all()
        torch.testing.assert_close(M.sum(1), torch.ones(len(M), dtype=torch.float64))
        torch.testing.assert_close(M, members.double() / members.sum(1, keepdim=True))
        assert int(members.sum(1).max()) <= s


def test_buckets_are_drawn_anew_every_round() -> None:
    G = Dense(torch.randn(12, 3))
    seen = {tuple(mixers.Bucketing(s=3).matrix(G, fw.Context(round=t)).argmax(0).tolist()) for t in range(20)}
    assert len(seen) > 15


def test_monna_trusts_the_client_it_names_or_none() -> None:
    G = torch.randn(9, 6, generator=torch.Generator().manual_seed(0)) + 1
    G[0] = torch.nan
    with pytest.raises(fw.BoundError, match="trusts client 0, which is not among the 8 with finite rows"):
        fw.Aggregator(mixers.NNM(f=1) >> rules.MoNNA(f=1, pivot=0))(G)


def test_memory_per_client_follows_clients_through_nnm() -> None:
    for rule in (rules.FoolsGold(), rules.RFFL(), rules.FLDetector(window=2)):
        rng = np.random.default_rng(0)
        one, other = (fw.Aggregator(mixers.NNM(f=1) >> rule) for _ in range(2))
        for t in range(8):
            X, order = rng.normal(size=(7, 12)) + 1, rng.permutation(7)
            expected = one(X, ids=range(7)).output
            np.testing.assert_allclose(other(X[order], ids=order.tolist()).output, expected, err_msg=f"{rule}, {t}")


def keeping() -> Iterator[fw.Rule]:
    """Every rule that goes by no order of rows and has no data, behind every mixer that keeps clients apart."""
    for mixer in (entry.build() for entry in fw.catalogue("mixer")):
        for rule in (entry.build() for entry in fw.catalogue("rule")):
            traits = rule.traits()
            # Norms that a mixer has made equal are ties, which go by the order of rows.
            tied = isinstance(rule, rules.CGE) and mixer.traits().diagonal
            keeps = mixer.traits().keeps_clients and "permutation" in traits.properties
            if keeps and not traits.root_data and not tied:
                yield mixer >> rule


@pytest.mark.parametrize("rule", [*keeping(), mixers.NNM(f=2) >> rules.MultiKrum(f=2)], ids=repr)
def test_what_is_said_of_a_client_hangs_on_its_row_and_not_on_who_comes_first(rule: fw.Rule) -> None:
    rng = np.random.default_rng(0)
    n = 12
    one, other = fw.Aggregator(rule), fw.Aggregator(rule)
    for _ in range(3):
        X = rng.normal(size=(n, 6)) * 0.1 + 1
        X[0] = -10
        order = [*range(1, n), 0]
        first, second = one(X, ids=range(n)), other(X[order], ids=order)
        assert first.accepted[order].tolist() == second.accepted.tolist()
        assert [first.reasons[i] for i in order] == [*second.reasons]
        for name, score in first.scores.items():
            np.testing.assert_allclose(score[order], second.scores[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_the_score_of_a_client_behind_nnm_is_that_of_its_own_row() -> None:
    """Its neighbours all have the same part in that row as itself, and the first of them may be a liar."""
    X = torch.randn(8, 6, generator=torch.Generator().manual_seed(0)) * 0.1 + 1
    X[0] = -10
    result = fw.Aggregator(mixers.NNM(f=2) >> rules.MultiKrum(f=2))(X)
    mixed = materialise(mixers.NNM(f=2).view(Dense(X), fw.Context()))
    expected = fw.Aggregator(rules.MultiKrum(f=2))(mixed).scores["krum"]
    torch.testing.assert_close(result.scores["krum"], expected, rtol=1e-6, atol=1e-9)
    assert float(expected[0]) > 100 * float(expected[1:].max())


# --- bounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain", "n", "message"),
    [
        (
            mixers.Bucketing(s=2) >> rules.Krum(f=5),
            20,
            "Krum(f=5, bound='theorem') needs n >= 2f + 3 = 13 clients "
            "(n >= f + 3 = 8 with bound='definition'), got 10 (f is at most 3) (20 clients after Bucketing(s=2))",
        ),
        (
            mixers.SequentialBucketing(s=3) >> rules.TrimmedMean(f=2),
            12,
            "TrimmedMean(f=2) needs n >= 2f + 1 = 5 clients, got 4 (f is at most 1) "
            "(12 clients after SequentialBucketing(s=3))",
        ),
        (
            mixers.GroupMajority(r=3) >> mixers.Bucketing(s=2) >> rules.Krum(f=1),
            24,
            "Krum(f=1, bound='theorem') needs n >= 2f + 3 = 5 clients "
            "(n >= f + 3 = 4 with bound='definition'), got 4 (f is at most 0) "
            "(24 clients after GroupMajority(r=3, first=0) >> Bucketing(s=2))",
        ),
        (
            mixers.Bucketing(s=2) >> mixers.NNM(f=4) >> rules.Mean(),
            8,
            "NNM(f=4) needs n >= f + 1 = 5 clients, got 4 (f is at most 3) (8 clients after Bucketing(s=2))",
        ),
        (mixers.NNM(f=4) >> rules.Mean(), 4, "NNM(f=4) needs n >= f + 1 = 5 clients, got 4 (f is at most 3)"),
        (mixers.ARC(f=4) >> rules.Mean(), 8, "ARC(f=4) needs n >= 2f + 1 = 9 clients, got 8 (f is at most 3)"),
    ],
    ids=lambda x: repr(x) if isinstance(x, fw.Rule) else None,
)
def test_too_few_clients_are_named_with_what_was_done_to_them(chain: fw.Rule, n: int, message: str) -> None:
    with pytest.raises(fw.BoundError) as caught:
        chain(torch.randn(n, 3))
    assert str(caught.value) == message


@pytest.mark.parametrize("make", [mixers.Bucketing, mixers.SequentialBucketing])
@pytest.mark.parametrize("s", [0, -2])
def test_bad_s_is_named(make: Any, s: int) -> None:
    with pytest.raises(ValueError, match="s is a whole number of at least 1, got"):
        make(s=s)


@pytest.mark.parametrize("make", [mixers.Bucketing, mixers.SequentialBucketing])
def test_s_is_a_whole_number(make: Any) -> None:
    with pytest.raises(ValueError, match=r"s is a whole number of at least 1, got 2\.5"):
        make(s=2.5)


def test_bad_r_is_named() -> None:
    with pytest.raises(ValueError, match="r is a whole number of at least 1, got 0"):
        mixers.GroupMajority(r=0)
    with pytest.raises(ValueError, match="f counts"):
        mixers.NNM(f=-1)


def test_who_is_like_the_accepted_is_not_called_far_behind_neighbours() -> None:
    """Ties keep clients 5 and 6 out of every mix; what 5 is judged by is a row that was accepted."""
    result = fw.Aggregator(mixers.NNM(f=2) >> rules.CGE(f=1))(torch.ones(7, 4))
    assert result.accepted.tolist() == [True] * 5 + [False] * 2
    assert result.reasons[5:] == (fw.Reason.NOT_SELECTED, fw.Reason.NORM_TOO_LARGE)
