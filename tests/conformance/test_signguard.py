"""SignGuard where updates are nearly alike or exactly on a bound, its order, its warm-up in epochs and in rounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import clients, rules
from fedward.rules import sign
from fedward.sim import Dataset, FederatedData, Split
from fedward.sim.cohort import rounds_per_epoch
from fedward.stack import Dense, Sample
from tests.oracles import signguard as oracle

FAMILY = [rules.SignGuard, rules.SignGuardSim, rules.SignGuardDist]


# --- honest updates that are nearly alike -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("variant", ["paper", "official"])
@pytest.mark.parametrize("cls", FAMILY)
def test_updates_that_are_nearly_alike_are_averaged(
    cls: type[rules.SignGuard], variant: str, dtype: torch.dtype
) -> None:
    for spread in (10.0**-k for k in range(1, 13, 2)):
        aggregate = fw.Aggregator(cls(variant=variant))  # type: ignore[arg-type]
        for round in range(5):
            generator = torch.Generator().manual_seed(round)
            base = torch.randn(400, generator=generator, dtype=torch.float64)
            G = base + spread * torch.randn(12, 400, generator=generator, dtype=torch.float64)
            result = aggregate(G.to(dtype))
            assert int(result.accepted.sum()) >= 6, (spread, round)
            torch.testing.assert_close(result.output.double(), base, rtol=0, atol=5 * spread + 1e-5)


# --- exactly on a bound -------------------------------------------------------------------------------------


def rows_of_length(*lengths: float) -> torch.Tensor:
    """Rows of one direction, whose entries are all of one size: their lengths are exact but for one root."""
    return torch.tensor(lengths, dtype=torch.float64)[:, None] * torch.tensor([1.0, -1.0, 1.0, -1.0]).double() / 2


@pytest.mark.parametrize("median", [1.0, 0.7, 30.0, 1e-3, 0.1, 0.3, 1.1, 7.7, 0.07, 1 / 3])
@pytest.mark.parametrize("cls", FAMILY)
def test_a_norm_on_a_bound_is_inside_in_the_paper_and_outside_in_its_code(cls: type, median: float) -> None:
    ratios = torch.tensor([0.1, 3.0, 0.1 - 1e-9, 3.0 + 1e-9, *[1.0] * 7], dtype=torch.float64)
    G = rows_of_length(*(median * ratios).tolist())
    paper = fw.Aggregator(cls(cluster=False))(G)
    assert paper.accepted.tolist() == [True, True, False, False, *[True] * 7]
    assert paper.reasons[2:4] == (fw.Reason.NORM_TOO_SMALL, fw.Reason.NORM_TOO_LARGE)
    official = fw.Aggregator(cls(cluster=False, variant="official"))(G)
    assert official.accepted.tolist() == [*[False] * 4, *[True] * 7]
    just_inside = rows_of_length(*(median * ratios + median * torch.tensor([2e-9, -2e-9, *[0.0] * 9])).tolist())
    assert fw.Aggregator(cls(cluster=False, variant="official"))(just_inside).accepted[:2].all()


def test_bounds_at_one_keep_exactly_the_median_norm() -> None:
    G = rows_of_length(1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0)
    aggregate = fw.Aggregator(rules.SignGuard(lower=1, upper=1, cluster=False))
    assert aggregate(G).accepted.tolist() == [False, False, True, True, True, False, False]


def test_a_row_of_the_median_length_is_not_shortened() -> None:
    G = rows_of_length(1.0, 2.0, 2.0, 2.5)
    # The median is 2; in the official variant, of an even number the lower of the two in the middle.
    weights = fw.Aggregator(rules.SignGuard(cluster=False))(G).weights
    torch.testing.assert_close(weights, torch.tensor([1.0, 1.0, 1.0, 0.8], dtype=torch.float64) / 4, rtol=1e-14, atol=0)
    G = rows_of_length(1.0, 2.0, 3.0, 4.0)
    for variant, radius in (("paper", 2.5), ("official", 2.0)):
        weights = fw.Aggregator(rules.SignGuard(cluster=False, variant=variant))(G).weights  # type: ignore[arg-type]
        assert weights is not None
        assert (weights * 4).tolist() == pytest.approx([min(1.0, radius / k) for k in (1, 2, 3, 4)], rel=1e-14)


def test_the_distance_feature_of_the_median_row_is_far() -> None:
    # Distances 0 to 4 from the reference: the row in the middle is not below the median.
    G = torch.zeros(5, 8, dtype=torch.float64)
    G[:, 0], G[:, 1] = 1, torch.arange(5)
    context, state = fw.Context(round=9), {"reference": G[0].clone()}
    plan = rules.SignGuardDist(cluster=False).decide(Dense(G), state, context)
    assert plan.scores["feature"].tolist() == [0, 0, 0.2, 0.2, 0.2]
    # 1.1 times the lower median 2 is 2.2: a row at 2.2 is far, one below it near.
    G[3, 1], G[4, 1] = 2.2, 2.2 - 1e-9
    plan = rules.SignGuardDist(cluster=False, variant="official").decide(Dense(G), state, context)
    assert plan.scores["feature"].tolist() == [0, 0, 0, 0.2, 0]


def test_rows_that_are_one_row_have_one_distance_feature_whatever_the_blocks() -> None:
    rule = rules.SignGuardDist(cluster=False)
    for seed in range(10):
        G = torch.randn(1, 301, generator=torch.Generator().manual_seed(seed)) + torch.zeros(9, 1)
        G[:2] *= 0.99
        state, context = (
            {"reference": torch.randn(301, generator=torch.Generator().manual_seed(99))},
            fw.Context(round=9),
        )
        for block in (7, 64, 1000):
            feature = rule.decide(Dense(G, block=block), state, context).scores["feature"]
            assert len(set(feature[2:].tolist())) == 1


def test_rows_at_one_distance_have_one_distance_feature_whatever_rounding_says() -> None:
    rule = rules.SignGuardDist(cluster=False)
    state, context = {"reference": torch.full((301,), 0.3)}, fw.Context(round=9)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        row = torch.randn(301, generator=generator, dtype=torch.float64)
        G = torch.stack([0.9 * row, 0.9 * row, *(row[torch.randperm(301, generator=generator)] for _ in range(7))])
        assert rule.decide(Dense(G), state, context).scores["feature"].tolist() == [0, 0, *[0.2] * 7]


def test_the_distance_feature_of_the_longest_rows_is_a_number() -> None:
    G = 1e152 * torch.randn(9, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = {"reference": -G[0]}
    feature = rules.SignGuardDist().decide(Dense(G), state, fw.Context(round=9)).scores["feature"]
    small = rules.SignGuardDist().decide(Dense(G / 1e152), {"reference": -G[0] / 1e152}, fw.Context(round=9))
    assert feature.tolist() == small.scores["feature"].tolist()


@pytest.mark.parametrize("official", [False, True])
def test_typical_cosines_are_medians_over_the_other_rows(official: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in (1, 2, 3, 8, 9):
        G = torch.randn(n, 30, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
        cos = torch.nn.functional.cosine_similarity(G[:, None], G[None], dim=2)
        expected = [
            np.sort(np.append(np.delete(row, i), 0.0))[(n - 1) // 2] if official else np.median(np.delete(row, i))
            for i, row in enumerate(cos.numpy())
            if n > 1 or official
        ] or [1.0]
        for room in (1, 20, 2**24):
            monkeypatch.setattr(sign, "_ROOM", room)
            found = sign.typical_cosines(G @ G.T, G.norm(dim=1), official=official)
            assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


# --- order --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8, 60])
@pytest.mark.parametrize("cls", FAMILY)
def test_the_order_of_clients_decides_nothing(cls: type, n: int) -> None:
    """Rows of few signs, so that clusters of one size and equal distances are common; half of them with a zero row."""
    rule = cls(fraction=1.0)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        G = torch.from_numpy(rng.choice([-1.0, 1.0], size=(n, 6)))
        G[: seed % 2] = 0
        order = torch.from_numpy(rng.permutation(n))
        one, other = fw.Aggregator(rule), fw.Aggregator(rule)
        for _ in range(4):
            assert torch.equal(one(G).accepted[order], other(G[order]).accepted)


def test_the_official_sample_hangs_on_the_order_and_no_more_is_claimed() -> None:
    for cls, sampled in ((rules.SignGuard, True), (rules.SignGuardSim, True), (rules.SignGuardDist, False)):
        assert ("permutation" in cls(variant="official").traits().properties) is not sampled
        assert "permutation" in cls().traits().properties


def test_official_dist_takes_the_bandwidth_from_every_client() -> None:
    differs = 0
    for seed in range(2):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=120) + rng.normal(size=(64, 120))
        X[:13] *= -1
        rule = rules.SignGuardDist(variant="official", fraction=1.0)
        expected, kept = oracle.signguard_repo(X, np.arange(120), "dist")
        found = rule.decide(Dense(torch.from_numpy(X)), {}, fw.Context())
        assert found.weights is not None
        assert found.weights.nonzero().flatten().tolist() == kept
        np.testing.assert_allclose(found.execute(), expected, rtol=1e-9)
        drawn = np.random.RandomState(0).permutation(64)[:50]
        differs += oracle.signguard_repo(X, np.arange(120), "dist", sample_idx=drawn)[1] != kept
    assert differs > 0


# --- the warm-up --------------------------------------------------------------------------------------------

SINCE = [
    (rules.SignGuardSim(), None, 3),
    (rules.SignGuardSim(), 20.0, 60),
    (rules.SignGuardSim(variant="official"), 20.0, 60),
    (rules.SignGuardDist(), 20.0, 60),
    (rules.SignGuardDist(), 120.0, 360),
    (rules.SignGuardDist(variant="official"), None, 1),
    (rules.SignGuardDist(variant="official"), 20.0, 20),
    (rules.SignGuardDist(variant="official", warmup=7), 20.0, 7),
    (rules.SignGuardDist(variant="official", warmup="2 epochs"), 20.0, 40),
    (rules.SignGuardSim(warmup=7), 20.0, 7),
    (rules.SignGuardSim(warmup="1 epoch"), 20.0, 20),
    (rules.SignGuardSim(warmup="0.5 epochs"), 20.0, 10),
    (rules.SignGuardSim(warmup="3 epochs"), 1 / 3, 1),
    (rules.SignGuardSim(), 1 / 5, 1),
    (rules.SignGuardSim(warmup="0.14 epochs"), 50.0, 7),  # 7.000000000000001, as floats have it
    (rules.SignGuardSim(warmup="1 epoch"), 1e-9, 1),
]


@pytest.mark.parametrize(("rule", "per_epoch", "first"), SINCE, ids=str)
def test_the_first_round_that_looks_back(rule: rules.SignGuardSim, per_epoch: float | None, first: int) -> None:
    reference = torch.ones(4)
    for round in (first - 1, first):
        context = fw.Context(round=round, rounds_per_epoch=per_epoch).fold("part")
        assert (rule.reference({"reference": reference}, context) is reference) == (round == first)


@pytest.mark.parametrize("cls", [rules.SignGuardSim, rules.SignGuardDist])
@pytest.mark.parametrize("warmup", ["3 parsecs", "0 epochs", "0.0 epochs", "-1 epochs", "", "epochs", "3", 0, -2])
def test_a_warm_up_that_is_none_is_refused(cls: type, warmup: int | str) -> None:
    with pytest.raises(ValueError, match=r"warmup is a number of rounds.*3 epochs.*got"):
        cls(warmup=warmup)
    for value in (2.5, True):
        with pytest.raises(ValueError, match="warmup"):
            cls(warmup=value)


@pytest.mark.parametrize("text", ["sign-guard-sim:warmup=3 epochs", "sign-guard-dist:warmup=60", "sign-guard-sim"])
def test_a_warm_up_as_text(text: str) -> None:
    rule = fw.parse(text)
    assert fw.describe(rule) == text
    assert fw.parse(f"delayed:base=({text}),start=0").base == rule
    name, _, warmup = text.partition(":warmup=")
    table = {"name": name, **({"warmup": int(warmup) if warmup.isdigit() else warmup} if warmup else {})}
    assert fw.parse(table) == rule


def shards(*sizes: int) -> list[clients.Shard]:
    labels = torch.arange(sum(sizes)) % 3
    return [clients.Shard(labels[:, None], labels, places) for places in torch.arange(sum(sizes)).split(list(sizes))]


def test_rounds_per_epoch_of_the_papers_setting() -> None:
    fifty = shards(*[1200] * 50)
    assert rounds_per_epoch(clients.Gradient(batch_size=60), fifty) == 20.0
    assert sign.warmup_rounds("3 epochs", rounds_per_epoch(clients.Gradient(batch_size=60), fifty)) == 60


GRADIENT, LOCAL = clients.Gradient(batch_size=60), clients.LocalSGD(batch_size=60)
PER_ROUND = [
    (GRADIENT, [1200], 1 / 20),
    (GRADIENT, [40], 1.0),
    (GRADIENT, [600, 1800], 1 / 20),
    (LOCAL, [1200], 1.0),
    (clients.LocalSGD(batch_size=60, epochs=5), [100, 1200], 5.0),
    (clients.LocalSGD(batch_size=60, steps=4), [1200], 1 / 5),
    (clients.WorkerMomentum(inner=GRADIENT), [1200], 1 / 20),
    (clients.Siren(inner=LOCAL), [1200], 1.0),
    (clients.Siren(inner=clients.LocalSGD(batch_size=60, steps=9)), [1200], 1 / 2),
    (clients.ClassMomentum(batch_size=20), [1200], 1 / 20),
    (clients.ClassMomentum(batch_size=20, classes=3), [1200], 1 / 20),
]


@pytest.mark.parametrize(("algorithm", "sizes", "epochs"), PER_ROUND, ids=str)
def test_epochs_that_a_round_takes(algorithm: clients.Client, sizes: list[int], epochs: float) -> None:
    assert rounds_per_epoch(algorithm, shards(*sizes)) == pytest.approx(1 / epochs, rel=1e-12)


def test_every_client_algorithm_knows_its_epochs() -> None:
    for entry in fw.catalogue("client"):
        assert rounds_per_epoch(entry.build(), shards(1200, 600)) is not None, entry.name


class Own(clients.Gradient):
    """Somebody's own algorithm, which says nothing of epochs."""

    def epochs_per_round(self, shard: clients.Shard) -> None:  # type: ignore[override]
        return None


@pytest.mark.parametrize(
    ("algorithm", "first"),
    [(clients.Gradient(batch_size=5), 6), (clients.Gradient(batch_size=10), 3), (Own(batch_size=5), 3)],
)
@pytest.mark.parametrize(
    "around", [lambda r: r, lambda r: fw.mixers.ClipNorm(radius=9.0) >> r, lambda r: rules.Delayed(base=r, start=1)]
)
def test_a_simulation_counts_the_epochs_of_its_clients(algorithm: clients.Client, first: int, around) -> None:
    seen: list[int] = []

    class Watched(rules.SignGuardSim):
        def reference(self, state, context):  # type: ignore[no-untyped-def]
            found = super().reference(state, context)
            if found is not None:
                seen.append(context.round)
            return found

    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    split = Split(inputs=inputs, labels=inputs[:, :3].argmax(1))
    data = FederatedData(
        dataset=Dataset(name="tiny", train=split, test=split, classes=3), shards=torch.arange(60).split(10)
    )
    simulation = fw.Simulation(
        model=lambda: nn.Linear(4, 3), data=data, rule=around(Watched()), clients=algorithm, seed=1
    )
    for _ in simulation.run(8, evaluate_every=8):
        pass
    assert min(seen) == first


# --- the official variant where it is easily taken for the paper's -----------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9])
def test_official_features_are_those_of_the_released_code_for_few_rows_and_unlike_ones(n: int) -> None:
    negative = 0
    for seed in range(40):
        G = torch.randn(n, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        if seed % 2:  # rows that point away from one another
            G -= G.mean(0)
        for cls, feature in (
            (rules.SignGuardSim, oracle.similarity_feature_repo),
            (rules.SignGuardDist, oracle.distance_feature_repo),
        ):
            found = cls(variant="official").extra_feature(Dense(G), {}, fw.Context())
            np.testing.assert_allclose(found, feature(G.numpy()), rtol=1e-9, atol=1e-12)
        middle = np.sort(sign.typical_cosines(G @ G.T, G.norm(dim=1), official=True))[(n - 1) // 2]
        negative += middle < -1e-6
    assert negative > 10


def test_the_official_run_of_columns_never_ends_with_the_last_one() -> None:
    # Its start is below d - k: of 5 columns and runs of 2, it is 0, 1 or 2.
    drawn = {tuple(Sample(seed=s, count=2, contiguous=True).coordinates(5).tolist()) for s in range(60)}
    assert drawn == {(0, 1), (1, 2), (2, 3)}
