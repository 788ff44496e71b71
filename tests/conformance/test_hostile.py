"""Every registered rule under rows that were made to break it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fedward as fw
from fedward import rules
from fedward.stack import Dense, Layers, cosines
from fedward.testing import QuadraticEvaluator, fewest, random_stack

RULES = [pytest.param(entry.build(), id=entry.name) for entry in fw.catalogue("rule", packaged=True)]
ROUNDS = 4
LARGEST = {torch.float32: 3e38, torch.float64: 1e150}


def evaluator(rule: fw.Rule, d: int) -> QuadraticEvaluator | None:
    return QuadraticEvaluator(d) if rule.traits().root_data else None


def judge(aggregate: fw.Aggregator, G: Any, **more: Any) -> fw.Result[Tensor]:
    d = G.shape[1] if isinstance(G, Tensor) else G.d
    return aggregate(G, evaluator=evaluator(aggregate.rule, d), **more)


def once(rule: fw.Rule, G: Any) -> fw.Result[Tensor]:
    return judge(fw.Aggregator(rule), G)


def is_finite(result: fw.Result[Tensor]) -> bool:
    weights_are = result.weights is None or bool(result.weights.isfinite().all())
    return weights_are and bool(result.output.isfinite().all())


def remembered(aggregate: fw.Aggregator) -> bool:
    """Whether all that is remembered is finite; a score that was never given is NaN."""
    return all(bool(v.isfinite().all()) for k, v in aggregate.state.items() if not k.startswith("scores of "))


def trusting(rule: fw.Rule) -> int:
    """A row that is not the one that MoNNA trusts."""
    return 1 if isinstance(rule, rules.MoNNA) else 0


# --- rows that are not numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_one_nan_and_one_inf_among_the_fine_change_nothing(rule: fw.Rule, dtype: torch.dtype) -> None:
    with_them, without = fw.Aggregator(rule), fw.Aggregator(rule)
    for round in range(ROUNDS):
        G = random_stack(rule, seed=round).to(dtype)
        bad = G[:2].clone()
        bad[0, 3], bad[1, 7] = torch.nan, torch.inf if round % 2 else -torch.inf
        ids = [*range(len(G)), "nan", "inf"]
        a = judge(with_them, torch.cat([G, bad]), ids=ids)
        b = judge(without, G, ids=ids[:-2])
        assert is_finite(a)
        assert a.reasons[-2:] == (fw.Reason.NONFINITE, fw.Reason.NONFINITE)
        assert a.accepted[:-2].tolist() == b.accepted.tolist()
        torch.testing.assert_close(a.output, b.output, rtol=1e-6, atol=1e-6 * float(b.output.abs().max()))


@pytest.mark.parametrize("rule", RULES)
def test_few_clients_give_more_than_zero(rule: fw.Rule) -> None:
    for n in range(fewest(rule), 10):
        G = random_stack(rule, extra=n - fewest(rule), seed=n)
        result = once(rule, G)
        assert is_finite(result)
        # Two clients are each other's sybils; and the server's data may speak against all of them.
        if not isinstance(rule, rules.FoolsGold | rules.FLTrust) and n > 2:
            assert float(result.output.abs().max()) > 0, f"{n} clients gave zero"


# --- rows that are all alike --------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_identical_clients_are_judged_alike_whatever_the_blocks(rule: fw.Rule, dtype: torch.dtype) -> None:
    for seed in range(2):
        row = random_stack(rule, seed=seed)[:1].to(dtype)
        G = row.expand(fewest(rule) + 5, -1).contiguous()
        whole = once(rule, G)
        assert is_finite(whole)
        if "unanimity" in rule.traits().properties:
            torch.testing.assert_close(whole.output, row[0], rtol=1e-5, atol=1e-6)
        for other in (Dense(G, block=1), Dense(G, block=17), Dense(1024 * G, block=50)):
            if other.read(0, 1)[0, 0] != G[0, 0] and "scale" not in rule.traits().properties:
                continue
            again = once(rule, other)
            assert torch.equal(again.accepted, whole.accepted)


@pytest.mark.parametrize("rule", [rules.Krum(f=3), rules.MultiKrum(f=3, m=4), rules.CGE(f=3), rules.MDA(f=3)], ids=repr)
def test_of_identical_clients_the_first_are_taken(rule: fw.Rule) -> None:
    for seed in range(10):
        G = random_stack(rule, seed=seed)[:1].float().expand(12, -1).contiguous()
        accepted = once(rule, Dense(G, block=13)).accepted
        assert accepted.tolist() == sorted(accepted.tolist(), reverse=True)


@pytest.mark.parametrize("rule", [rules.SMEA(f=3), rules.DnC(f=3), rules.FABA(f=3)], ids=repr)
def test_of_identical_clients_the_same_are_taken_every_time(rule: fw.Rule) -> None:
    seen = set()
    for seed in range(10):
        G = random_stack(rule, seed=seed)[:1].float().expand(12, -1).contiguous()
        for block in (1, 13, 100, 1000):
            seen.add(tuple(once(rule, Dense(G, block=block)).accepted.tolist()))
    assert len(seen) == 1


@pytest.mark.parametrize("rule", RULES)
def test_colluders_who_send_one_row_are_judged_alike_whatever_the_blocks(rule: fw.Rule) -> None:
    for seed in range(6):  # every number of colluders, central and outlying
        G = random_stack(rule, seed=seed, extra=4).float()
        count = 2 + seed % 3
        rows = torch.randperm(len(G) - 1, generator=torch.Generator().manual_seed(seed))[:count] + 1
        central, outlying = G.mean(0), -3 * G.mean(0)
        G[rows] = central if seed % 2 else outlying
        whole = once(rule, G)
        layered = Layers([[row[:31], row[31:32], row[32:]] for row in G], block=20)
        others: list[Any] = [Dense(G, block=1), Dense(G, block=17), Dense(G, block=64)]
        if not isinstance(rule, rules.LASA):  # layers are its business
            others.append(layered)
        if "scale" in rule.traits().properties:
            others.append(Dense(1024 * G, block=29))
        for other in others:
            again = once(rule, other)
            assert torch.equal(again.accepted, whole.accepted), f"seed {seed}"
            if whole.weights is not None:
                assert again.weights is not None
                torch.testing.assert_close(again.weights, whole.weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "rule",
    [rules.Krum(f=2), rules.MultiKrum(f=2, m=2), rules.CGE(f=9), rules.MDA(f=4), rules.SMEA(f=4), rules.FABA(f=9)],
    ids=repr,
)
def test_of_colluders_who_send_one_row_row_order_decides(rule: fw.Rule) -> None:
    for seed in range(20):
        G = random_stack(rule, seed=seed)
        G = torch.cat([G, G, G])[:12].float()
        G[[3, 7, 8, 9]] = 0.5 * G.mean(0)
        accepted = once(rule, Dense(G, block=7 + seed)).accepted[[3, 7, 8, 9]].int().tolist()
        assert accepted in (sorted(accepted, reverse=True), sorted(accepted)), f"seed {seed}: {accepted}"


@pytest.mark.parametrize(
    "rule", [rules.RFA(), rules.GeometricMedian(), rules.Huber(threshold=0.5), rules.Mean(), rules.ClipMean()], ids=repr
)
def test_equal_weights_are_all_counted(rule: fw.Rule) -> None:
    G = torch.eye(6, dtype=torch.float64)  # every row is as far from any centre as every other
    torch.testing.assert_close(once(rule, G).output, torch.full((6,), 1 / 6, dtype=torch.float64))


@pytest.mark.parametrize("n", [2, 3, 6, 9, 12])
def test_what_holds_between_two_rows_is_the_same_from_both_sides(n: int) -> None:
    for seed in range(5):
        G = torch.randn(n, 203, generator=torch.Generator().manual_seed(seed))
        M = torch.rand(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for block in (1, 17, 64, 1000):
            base = Dense(G, block=block)
            for updates in (base, base.scale(M[0]), base.mix(M), base.take(torch.arange(n - 1))):
                for values in (updates.gram(), updates.sq_dists(), cosines(updates.gram())):
                    assert torch.equal(values, values.T)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_two_rows_that_are_nearest_to_each_other_are_as_far_from_each_other(n: int) -> None:
    for seed in range(20):
        G = random_stack(rules.SignGuardDist(), seed=seed)[:n]
        blocks = (1, 7, 17, 64, 1000)
        assert len({tuple(once(rules.SignGuardDist(), Dense(G, block=b)).accepted.tolist()) for b in blocks}) == 1


# --- rows that are too long ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [1e6, 1e10, 1e30, -1e30])
def test_a_row_that_is_scaled_up_gives_finite_outputs_round_after_round(
    rule: fw.Rule, dtype: torch.dtype, size: float
) -> None:
    aggregate = fw.Aggregator(rule)
    for round in range(ROUNDS):
        G = random_stack(rule, seed=round).to(dtype)
        G[trusting(rule)] *= size
        assert is_finite(judge(aggregate, G)), f"round {round}"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("turning", [False, True])
def test_a_row_near_the_largest_number_gives_finite_outputs_round_after_round(
    rule: fw.Rule, dtype: torch.dtype, turning: bool
) -> None:
    aggregate = fw.Aggregator(rule)
    for round in range(ROUNDS):
        G = random_stack(rule, seed=round).to(dtype)
        G[trusting(rule)] = LARGEST[dtype] * (-1 if turning and round % 2 else 1)
        assert is_finite(judge(aggregate, G)), f"round {round}"
        assert remembered(aggregate), f"round {round}"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("signs", [(1, 1), (1, -1)])
def test_two_clients_of_1e10_give_finite_outputs(rule: fw.Rule, dtype: torch.dtype, signs: tuple[int, int]) -> None:
    aggregate = fw.Aggregator(rule)
    for round in range(ROUNDS):
        G = random_stack(rule, seed=round, extra=8).to(dtype)
        G[-1], G[-2] = signs[0] * 1e10, signs[1] * 1e10
        assert is_finite(judge(aggregate, G))


@pytest.mark.parametrize(
    "rule",
    [
        rules.TrimmedMean(f=2),
        rules.Median(),
        rules.MeaMed(f=2),
        rules.Phocas(f=2),
        rules.Krum(f=2),
        rules.MultiKrum(f=2),
        rules.Bulyan(f=2),
        rules.MDA(f=2),
        rules.SMEA(f=2),
        rules.CAF(f=2),
        rules.CGE(f=2),
        rules.FABA(f=2),
        rules.MoNNA(f=2, pivot=0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("signs", [(1, 1), (1, -1)])
def test_two_clients_of_1e10_leave_no_trace(rule: fw.Rule, signs: tuple[int, int]) -> None:
    for dtype in (torch.float32, torch.float64):
        G = torch.ones(20, 5, dtype=dtype)
        G[4], G[11] = signs[0] * 1e10, signs[1] * 1e10
        torch.testing.assert_close(once(rule, G).output, torch.ones(5, dtype=dtype), rtol=1e-6, atol=0)


# --- a model that overflows ---------------------------------------------------------------------------------

JUDGES = [rules.LossRejection(f=1), rules.ErrorRateRejection(f=1), rules.UnionRejection(f=1), rules.Zeno(f=1, rho=5e-4)]


@pytest.mark.parametrize("size", [1e6, 1e20, 1e30, 3e38])
@pytest.mark.parametrize("place", [0, 3, 7])
@pytest.mark.parametrize("rule", JUDGES, ids=repr)
def test_who_takes_the_loss_to_infinity_is_left_out(rule: fw.Rule, place: int, size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator)
    inputs, labels = torch.randn(50, 5, generator=generator), torch.randint(0, 3, (50,), generator=generator)
    data = fw.RootEvaluator(model, inputs, labels, step=-0.1)
    own = data.update()
    G = own + 0.1 * torch.randn(8, len(own), generator=generator)
    G[place] = size * torch.randn(len(own), generator=generator).sign()
    result = fw.Aggregator(rule)(G, evaluator=data)
    assert not result.accepted[place]
    assert result.accepted.sum() >= 6
    assert bool(result.output.isfinite().all())


@pytest.mark.parametrize("first", [torch.inf, torch.nan])
def test_only_who_can_be_blamed_for_an_infinite_loss_is(first: float) -> None:
    class Overflowing(QuadraticEvaluator):
        def losses(self, steps: fw.stack.Updates) -> Tensor:
            losses = super().losses(steps)
            return torch.where(losses < 1e6, losses, first)

    G = random_stack(rules.LossRejection(f=1), extra=8)
    G[5] = 1e30
    result = fw.Aggregator(rules.LossRejection(f=1))(G, evaluator=Overflowing(G.shape[1]))
    assert result.accepted.tolist() == [i != 5 for i in range(len(G))]
    scores = result.scores["loss impact"]
    assert int(scores.argmax()) == 5
    assert bool((scores[5] > torch.cat([scores[:5], scores[6:]])).all())


# --- parameters that are no numbers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: rules.RFA(nu=float("nan")),
        lambda: rules.GeometricMedian(tolerance=float("nan")),
        lambda: rules.Huber(threshold=float("nan")),
        lambda: rules.CenteredClipping(radius=float("nan")),
        lambda: rules.SequentialCenteredClipping(radius=float("nan")),
        lambda: rules.FLAME(noise=float("nan")),
        lambda: rules.FLAME(noise=float("inf")),
        lambda: rules.Zeno(f=1, rho=float("nan")),
        lambda: rules.FoolsGold(confidence=float("nan")),
        lambda: rules.RFFL(decay=float("nan")),
        lambda: rules.RFFL(clip=float("nan")),
        lambda: rules.LASA(sparsity=float("nan")),
        lambda: rules.LASA(norm_bound=float("nan")),
        lambda: rules.FedSECA(momentum=float("nan")),
        lambda: rules.FedSECA(sparsity=float("nan")),
        lambda: rules.FLDetector(momentum=float("nan")),
        lambda: rules.RobustTailor(rules=(rules.Mean(), rules.Median()), probabilities=(float("nan"), 0.5)),
        lambda: rules.DnC(f=1, filter=float("nan")),
    ],
)
def test_nan_is_no_parameter(make: Any) -> None:
    with pytest.raises(ValueError, match=r"is a (finite )?number|probabilities|add up|finite"):
        make()
