"""Matrices over pairs of rows, worked on some rows at a time: whatever the size of the pieces, the same is decided."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.stack import Dense, Distances, Gram, SignConcordance, cosine_blocks, cosines, pairs
from fedward.stack.pairs import average_sides, by_rows, mirror, row_slices, submatrix

F64 = torch.float64
N, D = 13, 40

RULES: dict[str, fw.Rule] = {
    "krum": rules.Krum(f=3),
    "krum of one neighbour": rules.Krum(f=N - 3, bound="definition"),
    "multi-krum": rules.MultiKrum(f=3),
    "bulyan": rules.Bulyan(f=2),
    "faba": rules.FABA(f=3),
    "monna": rules.MoNNA(f=3, pivot=1),
    "geometric median": rules.GeometricMedian(),
    "geometric median at a row": mixers.Normalize() >> rules.GeometricMedian(),
    "rfa": rules.RFA(),
    "huber": rules.Huber(threshold=2.0),
    "single linkage": rules.CosineClustering(),
    "average linkage": rules.ClippedClustering(),
    "flame": rules.FLAME(),
    "foolsgold": rules.FoolsGold(),
    "copod": rules.CopodDOS(),
    "fedseca": rules.FedSECA(),
    "dnc": rules.DnC(f=3),
    "sign-guard-dist": rules.SignGuardDist(),
    "sign-guard-dist, official": rules.SignGuardDist(variant="official"),
    "nnm": mixers.NNM(f=3) >> rules.Mean(),
    "nnm and krum": mixers.NNM(f=3) >> rules.Krum(f=3),
    "group-majority": mixers.GroupMajority(r=3) >> rules.Mean(),
    "some rows": rules.CGE(f=3) >> rules.Krum(f=2),
    "centered clipping": rules.CenteredClipping(radius=3.0),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def drawn() -> Tensor:
    return normal(N, D) + 0.3


def with_twins() -> Tensor:
    """Colluders who send one row, the first client among them, and two zero rows."""
    rows = drawn()
    rows[[0, 5, 9, 12]] = 2 * rows[0]
    rows[[3, 7]] = 0
    return rows


def with_a_giant() -> Tensor:
    rows = drawn()
    rows[N - 1] *= 1e20
    return rows


STACKS: dict[str, Callable[[], Tensor]] = {"drawn": drawn, "twins": with_twins, "a giant": with_a_giant}


@pytest.fixture(params=[1, 4, 5], ids="pieces of {} rows".format)
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of so many of 13 rows."""
    monkeypatch.setattr(pairs, "_ROOM", N * request.param)


def decided(rule: fw.Rule, rows: Tensor) -> fw.Result:
    # Two rounds, for those that remember. Loops are for few rows, and the products of many are not theirs.
    aggregate = fw.Aggregator(rule)
    with fw.stack.loops_from(10**9):
        aggregate(rows)
        return aggregate(rows + 0.1 * normal(N, D, seed=1))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("name", RULES)
def test_rules_decide_the_same_by_pieces(name: str, stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = STACKS[stack]()
    whole = decided(RULES[name], rows)
    monkeypatch.setattr(pairs, "_ROOM", 4 * N)
    assert [len(range(N)[part]) for part in row_slices(N)] == [4, 4, 4, 1]
    pieces = decided(RULES[name], rows)
    assert torch.equal(pieces.accepted, whole.accepted)
    assert pieces.scores.keys() == whole.scores.keys()
    torch.testing.assert_close(pieces.output, whole.output, rtol=1e-9, atol=1e-9)
    for score in whole.scores:
        torch.testing.assert_close(pieces.scores[score], whole.scores[score], rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("stack", STACKS)
def test_distances_and_cosines_by_pieces_are_those_of_the_rows(stack: str) -> None:
    rows = STACKS[stack]()
    gram = mirror(rows @ rows.T)
    norms = rows.norm(dim=1)
    dists = torch.cat(list(Distances(gram).blocks()))
    torch.testing.assert_close(dists, torch.cdist(rows, rows).square(), rtol=1e-9, atol=1e-9)
    products = norms[:, None] * norms
    expected = torch.where(products > 0, rows @ rows.T / products, 0.0)
    torch.testing.assert_close(torch.cat(list(cosine_blocks(gram))), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(cosines(gram).diagonal(), (norms > 0).double())
    some = torch.tensor([5, 0, 3])
    assert torch.equal(Distances(gram).of(some), dists[some])
    if stack == "twins":
        same = torch.tensor([0, 5, 9, 12])
        assert torch.equal(dists[same], dists[:1].expand(4, -1))
        assert torch.equal(dists[:, same], dists[:, :1].expand(-1, 4))
        assert not dists[same][:, same].any()


@pytest.mark.usefixtures("small")
def test_both_sides_of_a_pair_become_their_mean() -> None:
    given = normal(N, N)
    assert torch.equal(average_sides(given.clone()), given / 2 + given.T / 2)
    symmetric = average_sides(given.clone())
    upper = symmetric.clone()
    for part in row_slices(N):
        upper[part, : part.start] = torch.nan  # what nobody has calculated
    assert torch.equal(mirror(upper), symmetric)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("statistic", [Gram(), SignConcordance()])
def test_statistics_of_pairs_by_pieces_are_exactly_symmetric_sums(statistic: Gram | SignConcordance) -> None:
    rows = with_twins()
    with fw.stack.loops_from(10**9):
        stack = Dense(rows, block=7)
        found = stack.compute(statistic)[0]
        mixed = stack.mix(normal(N + 1, N, seed=2)).gram()
    source = rows if statistic == Gram() else rows.sign()
    torch.testing.assert_close(found, source @ source.T)
    assert torch.equal(found, found.T)
    torch.testing.assert_close(mixed, normal(N + 1, N, seed=2) @ rows @ rows.T @ normal(N + 1, N, seed=2).T)
    assert torch.equal(mixed, mixed.T)


@pytest.mark.usefixtures("small")
def test_some_pairs_and_functions_of_rows() -> None:
    given = normal(N, N)
    chosen = torch.tensor([4, 4, 0, 12, 7])
    assert torch.equal(submatrix(given, chosen), torch.from_numpy(given.numpy()[np.ix_(chosen, chosen)]))
    assert torch.equal(by_rows(given, lambda rows: rows.amax(1)), given.amax(1))
