"""Claims of robustness: how far two outliers move what a rule makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.testing import QuadraticEvaluator

# Largest errors over all cases, in honest diameters; "same" and "apart" are identical and independent outliers.
WITHSTAND = [
    (rules.ClipMean(), 0.8),
    (rules.TrimmedMean(f=2), 0.4),
    (rules.Median(), 0.4),
    (rules.GeometricMedian(), 0.3),
    (rules.RFA(), 0.3),
    (rules.Krum(f=2), 1.0),
    (rules.MultiKrum(f=2), 0.3),
    (rules.Bulyan(f=2), 0.5),
    (rules.SignGuard(), 1.0),
    (rules.SignGuardSim(), 1.0),
    (rules.SignGuardDist(), 1.0),
    (rules.FedSECA(sparsity=0.0), 0.6),
    (rules.FLTrust(), 0.5),
    (rules.Huber(threshold=2.0), 0.3),
    (rules.Huber(threshold=0.02), 0.3),
    (rules.FABA(f=2), 1e-5),
    (rules.MDA(f=2), 1e-5),
    (rules.SMEA(f=2), 1e-5),
    (rules.CAF(f=2), 0.2),
    (rules.CGE(f=2), 1e-5),
    (rules.MoNNA(f=2, pivot=5), 1e-5),
    (rules.MeaMed(f=2), 1e-5),
    (rules.Phocas(f=2), 1e-5),
    (rules.FLAME(), 0.4),
    (rules.LASA(), 1.0),
    (rules.ClippedClustering(), 0.6),
    (rules.Zeno(f=2, rho=5e-4), 1e-5),
    (rules.LossRejection(f=2), 1e-5),
    (rules.UnionRejection(f=2), 1e-5),
    (rules.CenteredClipping(radius=10.0), 1.0),
    (rules.SequentialCenteredClipping(radius=10.0), 1.0),
    (mixers.NNM(f=2) >> rules.Median(), 1e-5),
    (mixers.NNM(f=2) >> rules.Krum(f=2), 1.0),
    (mixers.Bucketing(s=2) >> rules.Median(), 0.6),
    (mixers.ARC(f=2) >> rules.Mean(), 0.8),
    (mixers.ARC(f=2) >> rules.TrimmedMean(f=2), 0.4),
]
# One direction, or one cut, removes one outlier: these are exact if the outliers are one row.
WITHSTAND_ONE_ROW = [
    rules.DnC(f=2),
    rules.CosineClustering(),
    rules.CosineClustering(linkage="complete"),
    rules.CosineClustering(linkage="average"),
]
FAIL = [
    rules.Mean(),
    rules.TIES(),
    rules.TIES(sparsity=0.0),
    mixers.NNM(f=2) >> rules.Mean(),
    rules.RFFL(clip=None),
    rules.FLDetector(),
]


def errors(rule: fw.Rule, scale: float, same: bool) -> list[float]:
    """Distances of the output from the honest mean, in honest diameters."""
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        base = rng.normal(size=40)
        honest = base + 0.3 * rng.normal(size=(10, 40))
        evil = scale * rng.normal(size=(1 if same else 2, 40)) * np.ones((2, 1))
        diameter = max(float(np.linalg.norm(a - b)) for a in honest for b in honest)
        data = None
        if rule.traits().root_data:
            data = QuadraticEvaluator(40)
            data.target = torch.from_numpy(base)
        for dtype in (np.float32, np.float64):
            output = rule(np.concatenate([evil, honest]).astype(dtype), evaluator=data)
            found.append(float(np.linalg.norm(output.astype(np.float64) - honest.mean(0))) / diameter)
    return found


@pytest.mark.parametrize("scale", [1e6, 1e30])
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("rule", "most"), WITHSTAND, ids=lambda x: repr(x))
def test_two_outliers_of_twelve_do_not_move_it_far(rule: fw.Rule, most: float, same: bool, scale: float) -> None:
    assert max(errors(rule, scale, same)) < most


@pytest.mark.parametrize("scale", [1e6, 1e30])
@pytest.mark.parametrize("rule", WITHSTAND_ONE_ROW, ids=repr)
def test_two_outliers_that_are_one_row_are_left_out(rule: fw.Rule, scale: float) -> None:
    assert max(errors(rule, scale, True)) < 1e-5


@pytest.mark.parametrize("same", [True, False])
def test_copoddos_weighs_outliers_down_but_not_away(same: bool) -> None:
    assert max(errors(rules.CopodDOS(), 1e6, same)) < 1


@pytest.mark.parametrize("rule", FAIL, ids=repr)
@pytest.mark.parametrize("same", [True, False])
def test_what_is_no_defence_fails(rule: fw.Rule, same: bool) -> None:
    assert min(errors(rule, 1e6, same)) > 1e4
