"""Too few clients, too few finite ones, and what mixers leave of them."""

import re
from dataclasses import dataclass

import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.core import Bound, BoundError
from fedward.stack import Dense, Gram
from tests.stack.test_inputs import FORMS, random_rows


@dataclass(frozen=True, kw_only=True)
class Pairs(fw.Mixer):
    """Averages of neighbours."""

    def rows(self, n):
        return (n + 1) // 2

    def matrix(self, updates, context):
        M = torch.zeros(self.rows(updates.n), updates.n, dtype=torch.float64)
        M[torch.arange(updates.n) // 2, torch.arange(updates.n)] = 1
        return M / M.sum(1, keepdim=True)


@dataclass(frozen=True, kw_only=True)
class AtLeast(Pairs):
    """Needs so many rows itself."""

    least: int

    def check(self, n):
        if n < self.least:
            raise BoundError(f"{self!r} needs n >= {self.least} clients, got {n}")


@pytest.mark.parametrize(
    ("rule", "n", "message"),
    [
        (
            rules.Krum(f=5),
            12,
            "Krum(f=5, bound='theorem') needs n >= 2f + 3 = 13 clients "
            "(n >= f + 3 = 8 with bound='definition'), got 12",
        ),
        (
            rules.MultiKrum(f=2),
            6,
            "MultiKrum(f=2, m=None, bound='theorem') needs n >= 2f + 3 = 7 clients "
            "(n >= f + 3 = 5 with bound='definition'), got 6",
        ),
        (
            rules.Bulyan(f=1),
            6,
            "Bulyan(f=1, bound='theorem') needs n >= 4f + 3 = 7 clients "
            "(n >= 4f + 1 = 5 with bound='definition'), got 6",
        ),
        (rules.TrimmedMean(f=3), 6, "TrimmedMean(f=3) needs n >= 2f + 1 = 7 clients, got 6"),
        (rules.MultiKrum(f=0, m=9), 8, "averages m = 9 rows, got 8 clients: lower m"),
        (
            Pairs() >> rules.Krum(f=5),
            20,
            "Krum(f=5, bound='theorem') needs n >= 2f + 3 = 13 clients "
            "(n >= f + 3 = 8 with bound='definition'), got 10 (f is at most 3) (20 clients after Pairs())",
        ),
        (Pairs() >> Pairs() >> rules.Krum(f=1), 16, "got 4 (f is at most 0) (16 clients after Pairs() >> Pairs())"),
        (AtLeast(least=9) >> rules.Mean(), 8, "AtLeast(least=9) needs n >= 9 clients, got 8"),
        (Pairs() >> AtLeast(least=9) >> rules.Mean(), 16, "needs n >= 9 clients, got 8 (16 clients after Pairs())"),
    ],
    ids=str,
)
def test_too_few_clients_for_f(rule, n, message):
    with pytest.raises(BoundError, match=re.escape(message)) as caught:
        rule(random_rows(n))
    assert isinstance(caught.value, ValueError)
    bigger = rule(random_rows(4 * n))
    assert bigger.shape == (12,)


@pytest.mark.parametrize(
    ("rule", "n", "bad", "message"),
    [
        (
            rules.Krum(f=2),
            8,
            2,
            "Krum(f=2, bound='theorem') needs n >= 2f + 3 = 7 clients "
            "(n >= f + 3 = 5 with bound='definition'), got 6 (f is at most 1) (6 of 8 clients sent finite rows)",
        ),
        (
            Pairs() >> rules.Krum(f=5),
            26,
            2,
            "Krum(f=5, bound='theorem') needs n >= 2f + 3 = 13 clients "
            "(n >= f + 3 = 8 with bound='definition'), got 12 (f is at most 4) (24 clients after Pairs()) "
            "(24 of 26 clients sent finite rows)",
        ),
        (
            rules.Median(),
            3,
            3,
            "every one of the 3 clients sent NaN or Inf, or a norm beyond 1e154: keep the previous model",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_too_few_finite_clients_for_f(rule, n, bad, message, value):
    G = random_rows(n)
    G[:bad, 3] = value
    with pytest.raises(BoundError, match=re.escape(message)):
        rule(G)


@pytest.mark.parametrize("f", [-1, 1.5, "2", None, True])
def test_f_is_a_count(f):
    with pytest.raises(ValueError, match=re.escape(f"got {f!r}")):
        rules.Krum(f=f)


def test_formulas_of_bounds():
    assert [str(b) for b in (Bound(), Bound(1, 1), Bound(2, 0), Bound(4, 3))] == [
        "n >= 1",
        "n >= f + 1",
        "n >= 2f",
        "n >= 4f + 3",
    ]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("form", ["tensor", "array", "list of tensors", "state dicts"])
def test_nonfinite_rows_are_left_out(bad, form):
    G = random_rows(7)
    hostile = G.clone()
    hostile[0, 5], hostile[4] = bad, bad
    kept = [1, 2, 3, 5, 6]
    for rule in (rules.Mean(), rules.Median(), rules.Krum(f=1), rules.GeometricMedian(), rules.SignGuard()):
        result = fw.Aggregator(rule)(FORMS[form](hostile))
        torch.testing.assert_close(torch.as_tensor(result.output), rule(G[kept]))
        assert [r == fw.Reason.NONFINITE for r in result.reasons] == [i not in kept for i in range(7)]
        assert not result.accepted[0]


def test_a_chain_reads_what_its_mixer_and_rule_need_in_one_pass():
    updates = Dense(random_rows(20), block=5)
    fw.Aggregator(Pairs() >> mixers.ClipNorm(radius="median") >> rules.Krum(f=2))(updates)
    assert updates.d < updates.columns_read <= 2 * updates.d
    assert (Pairs() >> rules.Krum(f=2)).statistics({}, fw.Context()) == (Gram(),)


@dataclass(frozen=True, kw_only=True)
class Signed(fw.ScalingMixer):
    """Halves rows that have more negative entries than positive ones."""

    def statistics(self, context):
        return (fw.stack.SignCounts(),)

    def factors(self, updates, context):
        counts = updates.sign_counts()
        return torch.where(counts[:, 0] < counts[:, 2], 0.5, 1.0).double()


@pytest.mark.parametrize("chain", [Pairs() >> Signed() >> rules.Mean(), Pairs() >> (Signed() >> rules.Mean())], ids=str)
def test_a_chain_declares_the_passes_it_takes(chain):
    """Signs of averages do not follow from anything below them, so the second mixer costs a pass."""
    updates = Dense(random_rows(20), block=5)
    fw.Aggregator(chain)(updates)
    assert updates.columns_read / updates.d <= chain.traits().passes
