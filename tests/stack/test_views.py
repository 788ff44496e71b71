"""Views: whatever is nested in whatever, they are what the materialised stack is."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedward.stack import (
    Dense,
    Dots,
    Extended,
    Gram,
    Joined,
    Layers,
    MixedByClient,
    Sample,
    SignConcordance,
    SignCounts,
    SqNorms,
    as_updates,
    materialise,
)

D = 23
F64 = torch.float64


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def spread(block):
    return block.amax(0) - block.amin(0)


# Each step makes a view and, beside it, the same rows in memory and their weights on the clients (rows @ base);
# None where a row is not made of clients' rows alone.
def mix(view, G, B, seed):
    M = normal(1 + seed % 5, view.n, seed=seed)
    M[0, seed % view.n] = 0
    return view.mix(M), M @ G, M @ B


def permute(view, G, B, seed):
    M = torch.eye(view.n, dtype=F64)[torch.randperm(view.n, generator=torch.Generator().manual_seed(seed))]
    return view.mix(M), M @ G, M @ B


def scale(view, G, B, seed):
    factors = normal(view.n, seed=seed).abs()
    factors[seed % view.n] = 0
    return view.scale(factors), factors[:, None] * G, factors[:, None] * B


def take(view, G, B, seed):
    rows = torch.randperm(view.n, generator=torch.Generator().manual_seed(seed))[: 1 + seed % view.n]
    return view.take(rows), G[rows], B[rows]


def anchor(view, G, B, seed):
    rows = normal(1 + seed % 2, D, seed=seed)
    return view.anchored(rows), torch.cat([G, rows]), torch.cat([B, torch.zeros(len(rows), B.shape[1], dtype=F64)])


def extend(view, G, B, seed):
    kernel = spread if seed % 2 else (lambda block: block.mean(0))
    return Extended(view, kernel), torch.cat([G, kernel(G)[None]]), torch.cat([B, torch.zeros_like(B[:1])])


def join(view, G, B, seed):
    below = normal(2, D, seed=seed)
    return Joined(view, Dense(below)), torch.cat([G, below]), torch.cat([B, torch.zeros_like(B[:1]).expand(2, -1)])


def root(view, G, B, seed):
    return as_updates(view), G, torch.eye(view.n, dtype=F64)


STEPS = {f.__name__: f for f in (mix, permute, scale, take, anchor, extend, join, root)}


def sources(G, block):
    yield Dense(G, block=block)
    yield Layers([[row[:4], row[4:5], row[5:]] for row in G], block=block)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9 * max(1.0, float(b.abs().max())))


def check_view(view, G, B, seed):
    n, rows = len(G), torch.randperm(len(G), generator=torch.Generator().manual_seed(seed))[: 1 + seed % len(G)]
    assert (view.n, view.d, len(view.ids)) == (n, D, n)
    close(view.read(0, D), G)
    close(view.read(3, 17, rows), G[rows, 3:17])
    close(materialise(view), G)
    close(view.gram(), G @ G.T)
    close(view.norms(), G.norm(dim=1))
    sq_dists = (G[:, None] - G[None]).square().sum(-1)
    torch.testing.assert_close(view.sq_dists(), sq_dists, rtol=1e-7, atol=1e-9 * float(G.square().sum(1).max()) + 1e-12)
    assert bool((view.sq_dists().diagonal() == 0).all())
    anchors = normal(2, D, seed=seed + 1)
    close(view.compute(Dots(rows=anchors))[0], G @ anchors.T)
    sample = Sample(seed=seed, count=7)
    picked = G[:, sample.coordinates(D)]
    close(view.compute(Gram(sample=sample))[0], picked @ picked.T)
    # Signs are those of what is read: a sum that comes to zero here may be a rounding error there.
    signs = materialise(view).sign()
    assert torch.equal((signs - G.sign()).abs() * (G.abs() > 1e-9), torch.zeros_like(G))
    assert torch.equal(view.sign_counts(), torch.stack([(signs == s).sum(1) for s in (1, 0, -1)], 1).double())
    assert torch.equal(view.compute(SignConcordance())[0], signs @ signs.T)
    weights = normal(n, seed=seed + 2)
    weights[seed % n] = 0
    close(view.combine(weights), weights @ G)
    close(view.columns(spread), spread(G))
    close(view.to_clients(weights), weights @ B)
    assert view.to_clients(weights).shape == (B.shape[1],)
    owner = view.owner()
    assert owner.shape == (B.shape[1],)
    assert bool(((owner >= -1) & (owner < n)).all())


@settings(max_examples=120)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 50)), min_size=1, max_size=4),
    st.integers(1, 6),
    st.sampled_from([1, 5, 23, 100]),
    st.booleans(),
)
def test_nested_views_are_what_the_materialised_stack_is(steps, n, block, layers):
    G = normal(n, D, seed=n)
    G[G.abs() < 0.2] = 0
    view, B = list(sources(G, block))[layers], torch.eye(n, dtype=F64)
    for name, seed in steps:
        view, G, B = STEPS[name](view, G, B, seed)
    check_view(view, G, B, seed=len(steps))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["mix", "permute", "scale", "take"]), st.integers(0, 50)), max_size=5),
    st.integers(1, 6),
)
def test_weights_on_the_clients_give_the_combination(steps, n):
    base = normal(n, D, seed=n)
    view, G, B = Dense(base), base, torch.eye(n, dtype=F64)
    for name, seed in steps:
        view, G, B = STEPS[name](view, G, B, seed)
    weights = normal(view.n, seed=9)
    close(view.to_clients(weights) @ base, view.combine(weights))
    close(view.to_clients(weights) @ base, weights @ G)


def test_identical_rows_stay_identical_through_views():
    G = normal(5, D, seed=0).float()
    G[3] = G[1]
    for view in (Dense(G).scale(torch.full((5,), 0.3, dtype=F64)), Dense(G).mix(0.1 * torch.eye(5, dtype=F64))):
        dists = view.sq_dists()
        assert float(dists[1, 3]) == 0
        assert torch.equal(dists[1], dists[3])


# --- no pass over the data where none is needed -------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_gram_of_mixes_of_mixes_reads_the_data_once_at_most(known):
    base = Dense(normal(6, D, seed=0), block=5)
    if known:
        base.gram()
    read = base.columns_read
    view = base
    for seed in range(40):
        view = view.mix(normal(6, 6, seed=seed) / 3)
        view.gram(), view.norms(), view.sq_dists(), view.take(torch.tensor([1, 2])).gram()
        base.mix(normal(3, 6, seed=seed)).sq_dists()
    assert base.columns_read == (read if known else D)


def test_scaled_and_taken_rows_need_no_pass_for_any_statistic():
    base = Dense(normal(6, D, seed=0))
    asked = (SqNorms(), Gram(), SignCounts(), SignConcordance(), SignCounts(sample=Sample(seed=0, fraction=0.3)))
    base.compute(*asked)
    view = base.scale(torch.rand(6, dtype=F64)).take(torch.tensor([0, 5, 3])).scale(torch.ones(3, dtype=F64))
    view.compute(*asked)
    as_updates(view).compute(*asked)
    assert base.columns_read == D


@pytest.mark.parametrize("columns", [1, 2, 7, 64, 333])
def test_rows_that_are_mixed_alike_are_alike_to_the_last_bit(columns):
    G = normal(40, columns, seed=0)
    weights = normal(3, 40, seed=1)[torch.arange(40) % 3]
    rows = MixedByClient(Dense(G), weights).read(0, columns)
    close(rows, weights @ G)
    for first in range(3):
        assert bool((rows[first::3] == rows[first]).all())
    some = torch.tensor([5, 0, 39, 2])
    assert torch.equal(MixedByClient(Dense(G), weights).read(0, columns, some), rows[some])


def test_anchors_known_beforehand_need_no_further_pass():
    base, anchors = Dense(normal(6, D, seed=0)), normal(2, D, seed=1)
    base.compute(Gram(), SqNorms(), Dots(rows=anchors))
    view = base.anchored(anchors)
    _ = view.gram(), view.norms(), view.sq_dists()
    assert base.columns_read == D


@pytest.mark.parametrize("statistic", ["gram", "norms", "sq_dists", "sign_counts", "concordance"])
def test_an_anchor_may_be_a_single_row_of_shape_d(statistic):
    G, row = normal(4, D, seed=0), normal(D, seed=1)
    expected = getattr(Dense(torch.cat([G, row[None]])), statistic)()
    torch.testing.assert_close(getattr(Dense(G).anchored(row), statistic)(), expected, rtol=1e-12, atol=1e-9)
    close(Dense(G).anchored(row).combine(torch.ones(5, dtype=F64)), G.sum(0) + row)


# --- rows that must not be touched --------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_dropped_rows_may_be_anything(bad):
    G = normal(6, D, seed=0)
    G[1, 3], G[4] = bad, bad
    kept = torch.tensor([0, 2, 3, 5])
    clean = G[kept]
    for base in sources(G, 5):
        view = base.take(kept)
        check_view(view, clean, torch.eye(6, dtype=F64)[kept], seed=3)
        mixed = view.mix(normal(3, 4, seed=1))
        close(mixed.combine(torch.ones(3, dtype=F64)), torch.ones(3, dtype=F64) @ normal(3, 4, seed=1) @ clean)
        assert bool(materialise(view.scale(torch.rand(4, dtype=F64))).isfinite().all())
        assert bool(mixed.sq_dists().isfinite().all())


def test_rows_of_weight_zero_may_be_anything_under_any_view():
    G = normal(4, D, seed=0)
    G[2] = torch.nan
    clean = G.clone()
    clean[2] = 0
    weights = torch.tensor([0.5, 0.25, 0, 0.25], dtype=F64)
    eye = torch.eye(4, dtype=F64)
    base = Dense(G, block=5)
    for view in (base, base.mix(eye), base.scale(torch.ones(4, dtype=F64)), as_updates(base.mix(eye))):
        close(view.combine(weights), weights @ clean)
    joined = torch.cat([weights, torch.zeros(1, dtype=F64)])
    for view in (Joined(base, Dense(G[2:3])), Extended(base, lambda block: block.mean(0))):
        close(view.combine(joined), weights @ clean)


def test_an_anchor_of_weight_zero_may_be_anything():
    G = normal(4, D, seed=0)
    weights = torch.tensor([0.5, 0.25, 0, 0.25, 0], dtype=F64)
    close(Dense(G).anchored(torch.full((1, D), torch.nan, dtype=F64)).combine(weights), weights[:4] @ G)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("factor", [1e-300, 1e-40, 1.0, 1e30])
def test_signs_of_scaled_rows_are_exact(dtype, factor):
    G = normal(5, D, seed=0).to(dtype)
    base = Dense(G)
    view = base.scale(torch.full((5,), factor, dtype=F64))
    nested = view.take(torch.tensor([4, 1])).scale(torch.full((2,), factor, dtype=F64))
    for scaled, rows in ((view, range(5)), (nested, [4, 1])):
        rows = torch.tensor(list(rows))
        assert torch.equal(scaled.sign_counts(), base.sign_counts()[rows])
        assert torch.equal(scaled.sign_counts(0.4, seed=1), base.sign_counts(0.4, seed=1)[rows])
        assert torch.equal(scaled.concordance(), base.concordance()[rows][:, rows])


@pytest.mark.parametrize("below", ["anchored", "extended", "joined"])
def test_signs_of_scaled_rows_are_exact_with_a_row_below_them(below):
    base = Dense(normal(5, D, seed=0).float())
    scaled = base.scale(torch.full((5,), 1e-300, dtype=F64))
    view = {
        "anchored": lambda: scaled.anchored(torch.ones(1, D)),
        "extended": lambda: Extended(scaled, lambda block: block.mean(0)),
        "joined": lambda: Joined(scaled, Dense(torch.ones(1, D))),
    }[below]()
    assert torch.equal(view.sign_counts()[:5], base.sign_counts())


def test_a_row_scaled_by_zero_has_no_signs():
    base = Dense(normal(3, D, seed=0))
    view = base.scale(torch.tensor([1.0, 0.0, 0.5], dtype=F64))
    assert view.sign_counts()[1].tolist() == [0, D, 0]
    assert view.concordance()[1].tolist() == [0, 0, 0]


def test_mixed_signs_are_those_of_the_mixed_rows():
    G = normal(4, D, seed=0)
    view = Dense(G).mix(torch.tensor([[0.5, 0.5, 0, 0], [0, 0, -1, 0]], dtype=F64))
    assert torch.equal(view.sign_counts()[1], Dense(-G[2:3]).sign_counts()[0])
    assert not torch.equal(view.sign_counts()[0], Dense(G).sign_counts()[0])


# --- taking, owning, refusing -------------------------------------------------------------------------------


def test_a_row_taken_twice_counts_twice():
    G = normal(3, D, seed=0)
    view = Dense(G).take(torch.tensor([1, 1, 0]))
    weights = torch.tensor([0.25, 0.5, 1.0], dtype=F64)
    close(view.combine(weights), weights @ G[[1, 1, 0]])
    close(view.to_clients(weights), torch.tensor([1.0, 0.75, 0.0], dtype=F64))


def test_ids_follow_the_rows():
    base = Dense(normal(4, D, seed=0), ids=["a", "b", "c", "d"])
    assert base.take(torch.tensor([2, 0])).ids == ("c", "a")
    assert base.scale(torch.ones(4, dtype=F64)).ids == base.ids
    assert as_updates(base.scale(torch.ones(4, dtype=F64)).take(torch.tensor([3]))).ids == ("d",)


def test_owner_is_the_row_a_client_contributes_most_to():
    M = torch.tensor([[0.9, 0.1, 0, 0], [0.1, -2.0, 0, 0]], dtype=F64)
    view = Dense(normal(4, D, seed=0)).mix(M)
    assert view.owner().tolist() == [0, 1, -1, -1]
    assert view.take(torch.tensor([1])).owner().tolist() == [-1, 0, -1, -1]
    assert view.anchored(torch.ones(D)).owner().tolist() == [0, 1, -1, -1]


def test_weights_of_rows_that_belong_to_nobody_are_weights_on_no_client():
    base = Dense(normal(2, D, seed=0))
    weights = torch.tensor([0.5, 0.25, 7.0], dtype=F64)
    for view in (
        base.anchored(torch.ones(D)),
        Extended(base, lambda b: b.mean(0)),
        Joined(base, Dense(torch.ones(1, D))),
    ):
        assert view.to_clients(weights).tolist() == [0.5, 0.25]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_anchors_of_another_precision_are_not_summed_in_half(dtype):
    anchors = torch.tensor([[256.0], [1.0]]).to(dtype)
    output = Dense(torch.zeros(1, 1)).anchored(anchors).combine(torch.ones(3, dtype=F64))
    assert (output.dtype, float(output)) == (torch.float32, 257.0)


def test_a_sum_of_rows_in_half_precision_and_anchors_is_rounded_once():
    """Half precision has every other number from 2048 on: 2048 + 1 is 2048 there, and so is that + 1."""
    base = Dense(torch.tensor([[2048.0], [1.0], [float("nan")]], dtype=torch.float16))
    weights = torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=F64)
    output = base.anchored(torch.ones(1)).combine(weights)
    assert (output.dtype, float(output)) == (torch.float16, 2050.0)


@given(st.lists(st.integers(0, 6), max_size=9))
def test_rows_of_both_parts_of_a_longer_stack_are_read_in_any_order(rows):
    G, anchors = normal(4, D, seed=0), normal(3, D, seed=1)
    places = torch.tensor(rows, dtype=torch.long)
    for view in (Dense(G).anchored(anchors), Joined(Dense(G), Dense(anchors))):
        assert torch.equal(view.read(2, 9, places), torch.cat([G, anchors])[places, 2:9])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda u: u.mix(torch.eye(3)), r"takes a matrix \(m, 4\) with m >= 1, got \(3, 3\)"),
        (lambda u: u.mix(torch.ones(4)), r"got \(4,\)"),
        (lambda u: u.mix(torch.ones(0, 4)), r"got \(0, 4\)"),
        (lambda u: u.scale(torch.ones(3)), "4 finite factors"),
        (lambda u: u.scale(torch.tensor([1.0, -1, 1, 1])), "factors >= 0"),
        (lambda u: u.scale(torch.tensor([1.0, torch.nan, 1, 1])), "4 finite factors"),
        (lambda u: u.anchored(torch.ones(D + 1)), f"d = {D} columns, got shape"),
        (lambda u: Joined(u, Dense(torch.ones(1, 2))), f"d = {D} and d = 2"),
    ],
)
def test_views_refuse_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make(Dense(normal(4, D, seed=0)))
