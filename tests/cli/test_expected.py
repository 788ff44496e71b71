"""The f of a rule where not every client answers in every round."""

from __future__ import annotations

from itertools import combinations
from math import comb
from pathlib import Path

import pytest

from fedward.experiments.expected import Answers
from fedward.experiments.spec import SpecError, make_spec
from fedward.sim import Simulation
from tests.cli.test_cli import QUICK, invoke

SUBSET = {"data": "fashion-mnist-subset", "model": "linear", "batch_size": 2}


def test_the_share_of_rounds_is_counted() -> None:
    answers = Answers.of(clients=7, byzantine=3, participation=0.5, dropout=0, late=0)
    assert (answers.fewest, answers.most) == (4, 4)
    rounds = list(combinations(range(7), 4))
    for f in range(-1, 5):
        more = sum(sum(client < 3 for client in chosen) > f for chosen in rounds) / len(rounds)
        assert answers.exceeding(f) == pytest.approx(more)
    many = Answers.of(clients=1000, byzantine=200, participation=0.1, dropout=0, late=0)
    exact = sum(comb(200, k) * comb(800, 100 - k) for k in range(29, 101)) / comb(1000, 100)
    assert many.exceeding(28) == pytest.approx(exact)
    assert many.exceeding(many.worst) <= 0.01 < many.exceeding(many.worst - 1)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({}, "multi-krum:f=10"),  # everybody answers
        ({"participation": 0.2}, "multi-krum:f=3"),  # 5 is exceeded in one round of a hundred; 10 answers allow 3
        ({"participation": 0.5}, "multi-krum:f=8"),
        ({"participation": 0.5, "rule": "median"}, "median"),
        ({"participation": 0.2, "rule": "mda"}, "mda:f=4"),
        ({"participation": 0.2, "rule": "multi-krum:f=1"}, "multi-krum:f=1"),  # given
        ({"participation": 0.2, "rule": {"name": "multi-krum", "m": 4}}, "multi-krum:f=3,m=4"),
        ({"participation": 0.2, "rule": "nnm >> trimmed-mean"}, "nnm:f=4 >> trimmed-mean:f=4"),
        ({"dropout": 0.2}, "multi-krum:f=10"),  # all ten answer in one round of twelve
        ({"late": 0.2}, "multi-krum:f=10"),
    ],
)
def test_f_is_what_a_round_has_and_no_more_than_the_rule_takes(values: dict[str, object], rule: str) -> None:
    spec = make_spec({"rule": "multi-krum", **values})
    assert spec.resolved()["rule"] == rule


def test_what_a_specification_takes_a_simulation_takes() -> None:
    refused = 0
    for clients, byzantine, participation, dropout, late in [
        (50, 10, 0.2, 0.0, 0.0),
        (50, 10, 0.3, 0.2, 0.0),
        (30, 5, 0.5, 0.1, 0.3),
        (12, 3, 1.0, 0.0, 0.4),
        (9, 2, 0.28, 0.0, 0.0),
        (25, 6, 0.28, 0.0, 0.0),
    ]:
        shares = {"participation": participation, "dropout": dropout, "late": late}
        for rule in ("krum", "bulyan", "trimmed-mean", "mean"):
            values = {**SUBSET, "clients": clients, "byzantine": byzantine, "rule": rule, **shares}
            try:
                spec = make_spec(values)
            except SpecError:
                refused += 1
                with pytest.raises(SpecError, match="are sure to answer in a round; let more of them take part"):
                    make_spec(values)
            else:
                assert isinstance(spec.simulation(), Simulation)
    assert 0 < refused < 12


def test_how_often_f_is_exceeded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_spec({"rule": "multi-krum"}).warning == ""
    assert make_spec({"rule": "median", "participation": 0.2}).warning == ""
    assert "31 % of the rounds more than f = 2" in make_spec({"rule": "krum:f=2", "participation": 0.2}).warning
    options = ["--participation", "0.5", "--rule", "multi-krum", "--rounds", "1"]
    text = invoke("run", *QUICK, *options)
    assert "multi-krum:f=1: 6 of 12 clients answer in a round; in 23 % of the rounds more than f = 1" in text
    assert "multi-krum:f=2" in invoke("run", *QUICK, "--rounds", "1", "--rule", "multi-krum", "--out", "all")
