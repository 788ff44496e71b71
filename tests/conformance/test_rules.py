"""Every registered rule passes the suite, and equals its naive oracle on every kind of stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import fedward as fw
from fedward import mixers, rules
from fedward.stack import Dense
from fedward.testing import PROPERTIES, Check, QuadraticEvaluator, check_rule, example_stacks, random_stack
from fedward.testing.rounds import output_of
from tests.conformance.test_signguard_oracles import CONTEXT, decided
from tests.oracles import clusters, election, geometry, memory, mixing, root_data
from tests.oracles import rules as oracle

Oracle = Callable[[np.ndarray], np.ndarray]


def dnc_oracle(rule: rules.DnC) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        sets = [sample.coordinates(X.shape[1]).numpy() for sample in rule.samples(CONTEXT)]
        return oracle.dnc(X, rule.f, sets, rule.filter)[0]

    return run


def fedseca_oracle(rule: rules.FedSECA) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        if rule.variant == "official":
            whole = election.fedseca_repo(X, rule.sparsity)
        else:
            whole = election.fedseca_parts(X, rule.sparsity, rule.clip, rule.clamp, rule.vote or "none", rule.merge)
        return (1 - rule.momentum) * whole

    return run


def sequential_oracle(rule: rules.SequentialCenteredClipping) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        generator, length = CONTEXT.generator("buckets"), -(-len(X) // rule.s)
        sizes = [len(c) for c in torch.arange(len(X)).split(length)]
        perms = [torch.randperm(k, generator=generator).tolist() for k in sizes]
        return mixing.cc_sequential_bucketing(X, np.zeros(X.shape[1]), rule.radius, rule.s, perms)

    return run


def flame_oracle(rule: rules.FLAME) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        noise = torch.randn(X.shape[1], generator=CONTEXT.generator("noise")).double().numpy()
        return clusters.flame(X, noise, rule.noise)

    return run


def root(X: np.ndarray) -> QuadraticEvaluator:
    return QuadraticEvaluator(X.shape[1])


def root_loss(X: np.ndarray) -> Callable[[np.ndarray], float]:
    target = root(X).target.numpy()
    return lambda x: float(np.mean((x - target) ** 2) / 2)


def root_error(X: np.ndarray) -> Callable[[np.ndarray], float]:
    loss = root_loss(X)
    return lambda x: 1 - 1 / (1 + loss(x))


def rejection_oracle(f: int, kind: str, base: Oracle = oracle.mean) -> Oracle:
    def run(X: np.ndarray) -> np.ndarray:
        if kind == "union":
            return root_data.fang_union(X, f, base, root_error(X), root_loss(X))[0]
        return root_data.fang_reject(X, f, base, root_error(X) if kind == "error" else root_loss(X))[0]

    return run


def lasa_decided(rule: rules.LASA, X: np.ndarray) -> bool:
    """Whether no score is so close to its bound that rounding decides: on few columns sign balances are coarse."""
    sparse = election.lasa_sparse(X, rule.sparsity)
    lengths = election.median_z_scores(list(np.linalg.norm(sparse, axis=1)))
    balances = election.median_z_scores([election.positive_share(row) for row in sparse])
    gaps = [abs(z - rule.norm_bound) for z in lengths] + [abs(z - rule.sign_bound) for z in balances]
    return min(gaps) > 1e-9


def tailored(rule: rules.RobustTailor, oracles: tuple[Oracle, ...]) -> Oracle:
    return oracles[rule.drawn(CONTEXT)]


MIXED = rules.RobustTailor(rules=(rules.Median(), rules.GeometricMedian()))


# One line a rule: an instance and its oracle. A rule that is registered and not here fails `test_none_is_missing`.
CASES: dict[str, list[tuple[fw.Rule, Oracle]]] = {
    "mean": [(rules.Mean(), oracle.mean)],
    "median": [(rules.Median(), oracle.median)],
    "trimmed-mean": [(rules.TrimmedMean(f=f), lambda X, f=f: oracle.trimmed_mean(X, f)) for f in (0, 1, 4)],
    "geometric-median": [(rules.GeometricMedian(), oracle.geomed)],
    "krum": [(rules.Krum(f=f), lambda X, f=f: oracle.krum(X, f)[0]) for f in (0, 1, 4)],
    "multi-krum": [
        *((rules.MultiKrum(f=f), lambda X, f=f: oracle.multi_krum(X, f)[0]) for f in (1, 4)),
        (rules.MultiKrum(f=2, m=5), lambda X: oracle.multi_krum(X, 2, 5)[0]),
    ],
    "bulyan": [(rules.Bulyan(f=f), lambda X, f=f: oracle.bulyan(X, f)[0]) for f in (0, 1, 3)],
    "dnc": [
        (rule, dnc_oracle(rule))
        for rule in (rules.DnC(f=2), rules.DnC(f=3, iterations=3, subsample=60), rules.DnC(f=2, filter=1.5))
    ],
    "clip-mean": [(rules.ClipMean(), oracle.clip_mean)],
    "mea-med": [(rules.MeaMed(f=f), lambda X, f=f: election.meamed(X, f)) for f in (0, 1, 4)],
    "phocas": [(rules.Phocas(f=f), lambda X, f=f: election.phocas(X, f)) for f in (0, 1, 4)],
    "sign-majority": [(rules.SignMajority(), election.signsgd_mv)],
    "ties": [
        (rules.TIES(sparsity=b, elect=e), lambda X, b=b, e=e: election.ties_modified(X, b, e))
        for b, e in ((0.9, "count"), (0.5, "mass"), (0.0, "count"))
    ],
    "fedseca": [
        (rule, fedseca_oracle(rule))
        for rule in (
            rules.FedSECA(),
            rules.FedSECA(sparsity=0.0, momentum=0.5),
            rules.FedSECA(variant="official"),
            rules.FedSECA(sparsity=None, clip=False, clamp=False, merge="mean"),
            rules.FedSECA(sparsity=0.5, vote="count"),
            rules.FedSECA(sparsity=None, vote="mass", clamp=False),
            rules.FedSECA(sparsity=0.37, vote=None, clip=False),
        )
    ],
    "lasa": [
        (rules.LASA(), lambda X: election.lasa(X, [(0, X.shape[1])])),
        (
            rules.LASA(sparsity=0.0, norm_bound=1.0, sign_bound=2.0),
            lambda X: election.lasa(X, [(0, X.shape[1])], 0.0, 1.0, 2.0),
        ),
    ],
    "rfa": [
        (rules.RFA(nu=v, iterations=r), lambda X, v=v, r=r: geometry.rfa(X, v, r)) for v, r in ((0.1, 3), (1e-6, 8))
    ],
    "huber": [(rules.Huber(threshold=t), lambda X, t=t: geometry.huber_agg(X, t)) for t in (0.02, 2.0, 1e6)],
    "centered-clipping": [
        (
            rules.CenteredClipping(radius=r, iterations=k),
            lambda X, r=r, k=k: geometry.centered_clipping(X, np.zeros(X.shape[1]), r, k),
        )
        for r, k in ((10.0, 1), (2.0, 3))
    ],
    "sequential-centered-clipping": [
        (rule, sequential_oracle(rule))
        for rule in (
            rules.SequentialCenteredClipping(radius=10.0),
            rules.SequentialCenteredClipping(radius=3.0, s=4),
        )
    ],
    "cge": [(rules.CGE(f=f), lambda X, f=f: geometry.cge(X, f)) for f in (0, 1, 4)],
    "faba": [(rules.FABA(f=f), lambda X, f=f: geometry.faba(X, f)[0]) for f in (0, 1, 4)],
    "monna": [(rules.MoNNA(f=f, pivot=p), lambda X, f=f, p=p: geometry.monna(X, f, p)) for f, p in ((1, 0), (3, 1))],
    "mda": [(rules.MDA(f=f), lambda X, f=f: geometry.mda(X, f)[0]) for f in (0, 1, 3)],
    "smea": [(rules.SMEA(f=f), lambda X, f=f: geometry.smea(X, f)[0]) for f in (0, 1, 3)],
    "caf": [(rules.CAF(f=f), lambda X, f=f: geometry.caf(X, f)) for f in (0, 1, 4)],
    "cosine-clustering": [
        (rules.CosineClustering(linkage=k), lambda X, k=k: clusters.clustering(X, k)[0])
        for k in ("single", "complete", "average")
    ],
    "clipped-clustering": [(rules.ClippedClustering(), lambda X: clusters.clipped_clustering(X)[0])],
    "flame": [(rule, flame_oracle(rule)) for rule in (rules.FLAME(), rules.FLAME(noise=0.0))],
    "copoddos": [(rules.CopodDOS(), lambda X: geometry.copod_dos(X)[0])],
    "fools-gold": [(rules.FoolsGold(confidence=c), lambda X, c=c: memory.foolsgold(X, X, c)[0]) for c in (1.0, 0.2)],
    "rffl": [
        (rules.RFFL(clip=c), lambda X, c=c: memory.RFFL(clip=c).round(X, list(range(len(X))))[0]) for c in (None, 5.0)
    ],
    "fldetector": [(rules.FLDetector(), oracle.mean), (rules.FLDetector(window=1, momentum=0.5), oracle.mean)],
    "fltrust": [(rules.FLTrust(), lambda X: root_data.fltrust(X, root(X).target.numpy()))],
    "zeno": [(rules.Zeno(f=2, rho=r), lambda X, r=r: root_data.zeno(X, root_loss(X), 2, r)[0]) for r in (0.0, 5e-4)],
    "error-rate-rejection": [(rules.ErrorRateRejection(f=2), rejection_oracle(2, "error"))],
    "loss-rejection": [
        (rules.LossRejection(f=2), rejection_oracle(2, "loss")),
        (rules.LossRejection(f=1, base=rules.Median()), rejection_oracle(1, "loss", oracle.median)),
    ],
    "union-rejection": [(rules.UnionRejection(f=2), rejection_oracle(2, "union"))],
    "robust-tailor": [(MIXED, tailored(MIXED, (oracle.median, oracle.geomed)))],
    # Without alarms, before its start and in its first round these are what is inside; more in files of their own.
    "siren": [(rules.SIREN(), oracle.mean), (rules.SIREN(variant="official"), oracle.mean)],
    "delayed": [
        (rules.Delayed(base=rules.Krum(f=1)), oracle.mean),
        (rules.Delayed(base=rules.Median(), start=0), oracle.median),
    ],
    "class-wise": [
        (rules.ClassWise(base=rules.TrimmedMean(f=2)), lambda X: 0.5 * oracle.trimmed_mean(X, 2)),
        (rules.ClassWise(base=rules.Krum(f=1), gamma=0.0), lambda X: oracle.krum(X, 1)[0]),
        (rules.ClassWise(base=rules.CosineClustering(), gamma=0.2), lambda X: 0.8 * clusters.clustering(X)[0]),
    ],
    # In small groups it has a file of its own.
    "hierarchical": [(rules.Hierarchical(base=rules.Median()), oracle.median)],
    "de-moa": [(rules.DeMoA(base=rules.Median()), oracle.median), (rules.DeMoA(base=rules.Mean()), oracle.mean)],
    # The SignGuard family has tests of its own below: its clusters can hang on rounding, which a stack must not.
    "sign-guard": [],
    "sign-guard-sim": [],
    "sign-guard-dist": [],
}
ORACLES = [pytest.param(rule, run, id=repr(rule)) for cases in CASES.values() for rule, run in cases]
OTHERS = [
    *(rules.SignGuard(variant=v, clip=c) for v in ("paper", "official") for c in (True, False)),
    *(cls(variant=v) for cls in (rules.SignGuardSim, rules.SignGuardDist) for v in ("paper", "official")),
    rules.SignGuard(cluster=False),
    rules.SignGuard(lower=0, upper=float("inf")),
    mixers.ClipNorm(radius="median") >> rules.Mean(),
    mixers.ClipNorm(radius=2.0) >> rules.Krum(f=2),
    mixers.ClipNorm(radius="median") >> rules.SignGuard(),
    mixers.ClipNorm(radius=3) >> mixers.ClipNorm(radius="median") >> rules.TrimmedMean(f=2),
]


def test_none_is_missing() -> None:
    assert set(CASES) == {entry.name for entry in fw.catalogue("rule", packaged=True)}


@pytest.mark.parametrize(("rule", "run"), ORACLES)
def test_conforms_and_equals_its_oracle(rule: fw.Rule, run: Oracle) -> None:
    check_rule(rule, oracle=run)


@fw.testing.parametrize(OTHERS)
def test_conforms(check: Check) -> None:
    check()


@pytest.mark.parametrize(("rule", "run"), ORACLES)
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), extra=st.integers(0, 6), d=st.integers(2, 60))
def test_equals_its_oracle_anywhere(rule: fw.Rule, run: Oracle, seed: int, extra: int, d: int) -> None:
    G = random_stack(rule, seed=seed, extra=extra, d=d)
    if isinstance(rule, rules.LASA):
        assume(lasa_decided(rule, G.numpy()))
    expected = run(G.numpy())
    np.testing.assert_allclose(output_of(rule, G).numpy(), expected, rtol=1e-6, atol=1e-6 * abs(expected).max())


@pytest.mark.parametrize(("rule", "run"), ORACLES)
def test_float32_is_close_to_its_oracle(rule: fw.Rule, run: Oracle) -> None:
    for name, G in example_stacks(rule).items():
        expected = run(G.float().double().numpy())
        np.testing.assert_allclose(
            output_of(rule, G.float()), expected, rtol=1e-4, atol=1e-4 * abs(expected).max(), err_msg=name
        )


@pytest.mark.parametrize("rule", [entry.build() for entry in fw.catalogue("rule")], ids=repr)
@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_claimed_properties_hold_anywhere(rule: fw.Rule, seed: int, data: st.DataObject) -> None:
    claim = data.draw(st.sampled_from(sorted(rule.traits().properties)))
    G = random_stack(rule, seed=seed)
    if isinstance(rule, rules.SignGuard):
        rule, G = replace(rule, fraction=1.0), random_stack(rule, seed=seed, d=1009)
        assume(decided(rule, G))
    PROPERTIES[claim](rule, G)


# --- Krum and its kin ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [1, 3])
def test_bulyan_picks_in_the_order_of_its_oracle(f: int) -> None:
    from fedward.rules.distance import bulyan_picks

    for seed in range(20):
        G = random_stack(rules.Bulyan(f=3), seed=seed)
        picks, _ = bulyan_picks(Dense(G).sq_dists(), f)
        assert picks.tolist() == oracle.bulyan_picks(G.numpy(), f)


def test_identical_colluders_are_picked_in_row_order() -> None:
    for seed in range(20):
        G = random_stack(rules.Krum(f=4), seed=seed, d=5000).float()
        G[[3, 7, 8, 9]] = G.mean(0)  # central, so Krum is bound to pick one of them
        assert fw.Aggregator(rules.Krum(f=4))(G).accepted.nonzero().flatten().tolist() == [3]
        accepted = fw.Aggregator(rules.MultiKrum(f=4, m=3))(G).accepted.nonzero().flatten().tolist()
        assert accepted == [3, 7, 8]


def test_trimmed_mean_is_exact_beside_two_clients_of_1e10() -> None:
    G = torch.full((20, 3), 1.0)
    G[4], G[11] = 1e10, -1e10
    assert torch.equal(rules.TrimmedMean(f=2)(G), torch.ones(3))


@pytest.mark.parametrize("scale", [1e6, 1e30])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(
    "rule",
    [
        rules.TrimmedMean(f=2),
        rules.Median(),
        rules.GeometricMedian(),
        rules.Krum(f=2),
        rules.MultiKrum(f=2),
        rules.Bulyan(f=2),
        rules.SignGuard(),
        rules.SignGuardSim(),
        rules.SignGuardDist(),
        mixers.ClipNorm(radius="median") >> rules.Mean(),
    ],
    ids=repr,
)
def test_two_of_twelve_cannot_move_it_out_of_the_honest(rule: fw.Rule, same: bool, scale: float) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        honest = rng.normal(size=40) + 0.3 * rng.normal(size=(10, 40))
        evil = scale * rng.normal(size=(1 if same else 2, 40)) * np.ones((2, 1))
        diameter = max(np.linalg.norm(a - b) for a in honest for b in honest)
        for dtype in (np.float32, np.float64):
            output = rule(np.concatenate([evil, honest]).astype(dtype))
            assert np.linalg.norm(output - honest.mean(0)) < diameter
