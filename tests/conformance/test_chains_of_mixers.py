"""Chains of mixers and rules beside the oracles of what they are made of, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.stack import Dense
from tests.conformance.test_mixers import MIXERS, Oracle, bucketing, close, stacks
from tests.oracles import election, mixing
from tests.oracles import rules as oracle

THEN: list[tuple[fw.Rule, Oracle]] = [
    (rules.Mean(), oracle.mean),
    (rules.Median(), oracle.median),
    (rules.Krum(f=0), lambda Y: oracle.krum(Y, 0)[0]),
    (rules.Krum(f=1), lambda Y: oracle.krum(Y, 1)[0]),
    (rules.GeometricMedian(), oracle.geomed),
    (rules.FedSECA(sparsity=0.5), lambda Y: election.fedseca(Y, 0.5)),
    (rules.TIES(sparsity=0.5), lambda Y: election.ties_modified(Y, 0.5)),
]


def tells_apart(Y: np.ndarray, rule: fw.Rule) -> bool:
    """Whether the rule's choice among the mixed rows does not hang on the rounding of equal rows."""
    if isinstance(rule, rules.Krum):
        scores = np.array(oracle.krum_scores(Y, rule.f))
        first = Y[scores <= scores.min() + 1e-9 * (1 + scores.min())]
        return np.allclose(first, first[0], rtol=1e-9, atol=1e-12)  # whichever of equal rows it is
    if isinstance(rule, rules.GeometricMedian):
        return True
    # A mixed entry that is zero but for rounding has no sign, nor have equal magnitudes an order.
    ordered = np.sort(np.abs(Y), axis=1)
    return bool((np.abs(Y) > 1e-12).all() and (np.diff(ordered, axis=1) > 1e-12).all())


def fits(mixer: fw.Mixer, rule: fw.Rule) -> bool:
    """Whether the mixer leaves the rule as many rows as it needs."""
    try:
        (mixer >> rule).check(len(stacks()[0]))
    except fw.BoundError:
        return False
    return True


PAIRS = [(*mixing, *deciding) for mixing in MIXERS for deciding in THEN]
# Of three rows the two that are nearest to one another have one score: rounding says which of them Krum takes.
CHAINS = [
    pytest.param(mixer, make, rule, run, id=f"{mixer!r}-{rule!r}")
    for mixer, make, rule, run in PAIRS
    if fits(mixer, rule) and not (isinstance(rule, rules.Krum) and mixer.rows(len(stacks()[0])) == 3)
]


def test_chains_of_too_few_rows_are_refused() -> None:
    refused = [mixer >> rule for mixer, _, rule, _ in PAIRS if not fits(mixer, rule)]
    assert len(refused) > 10
    for chain in refused:
        for X in stacks():
            with pytest.raises(fw.BoundError, match="clients after"):
                fw.Aggregator(chain)(X)


@pytest.mark.parametrize(("mixer", "make", "rule", "run"), CHAINS)
def test_chains_equal_the_oracle_of_the_rule_on_that_of_the_mixer(
    mixer: fw.Mixer, make: Callable[[fw.Context], Oracle], rule: fw.Rule, run: Oracle
) -> None:
    chain, compared = mixer >> rule, 0
    for seed, X in enumerate(stacks()):
        context = fw.Context(round=0, seed=seed)
        Y = make(context.fold("mixer"))(X)
        if isinstance(rule, rules.FedSECA | rules.TIES | rules.Krum) and not tells_apart(Y, rule):
            continue
        compared += 1
        result = fw.Aggregator(chain, seed=seed)(Dense(torch.from_numpy(X), block=8))
        close(result.output, run(Y), rtol=1e-6)
        if result.weights is not None:
            close(result.weights.numpy() @ X, run(Y), rtol=1e-6)
    assert compared >= 2


@pytest.mark.parametrize(
    ("chain", "run"),
    [
        (
            mixers.ARC(f=2) >> mixers.NNM(f=2) >> rules.TrimmedMean(f=2),
            lambda X, c: oracle.trimmed_mean(mixing.nnm(mixing.arc(X, 2), 2), 2),
        ),
        (
            mixers.NNM(f=2) >> mixers.ARC(f=2) >> rules.Median(),
            lambda X, c: oracle.median(mixing.arc(mixing.nnm(X, 2), 2)),
        ),
        (
            mixers.Bucketing(s=2) >> mixers.NNM(f=1) >> rules.Median(),
            lambda X, c: oracle.median(mixing.nnm(bucketing(2, c.fold("mixer").fold("0"))(X), 1)),
        ),
        (
            mixers.GroupMajority(r=3) >> mixers.Bucketing(s=2) >> rules.GeometricMedian(),
            lambda X, c: oracle.geomed(bucketing(2, c.fold("mixer").fold("1"))(mixing.group_majority(X, 3))),
        ),
        (
            mixers.Bucketing(s=2) >> mixers.Bucketing(s=2) >> rules.Mean(),
            lambda X, c: oracle.mean(
                bucketing(2, c.fold("mixer").fold("1"))(bucketing(2, c.fold("mixer").fold("0"))(X))
            ),
        ),
        (
            mixers.Normalize() >> mixers.NNM(f=3) >> rules.MultiKrum(f=3),
            lambda X, c: oracle.multi_krum(mixing.nnm(mixing.normalize(X), 3), 3)[0],
        ),
    ],
    ids=lambda x: repr(x) if isinstance(x, fw.Rule) else "",
)
def test_mixers_one_after_another(chain: fw.Rule, run: Callable[[np.ndarray, fw.Context], np.ndarray]) -> None:
    for seed in range(10):
        X = np.random.default_rng(seed).normal(size=(13, 30)) + 1
        result = fw.Aggregator(chain, seed=seed)(Dense(torch.from_numpy(X), block=11))
        close(result.output, run(X, fw.Context(seed=seed)), rtol=1e-6)
