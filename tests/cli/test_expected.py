"""The f of a rule where not every client answers in every round."""

from __future__ import annotations

import random
from itertools import combinations
from math import comb, floor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.experiments.expected import Answers
from fedward.experiments.spec import SpecError, make_spec
from fedward.sim import Simulation
from fedward.sim.cohort import drawn_in_round
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


@given(
    n=st.integers(2, 30),
    participation=st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    dropout=st.sampled_from([0.0, 0.1, 0.3, 0.5]),
    late=st.sampled_from([0.0, 0.1, 0.25, 0.4]),
    seed=st.integers(0, 100),
)
def test_no_round_has_fewer_answers_or_more(
    n: int, participation: float, dropout: float, late: float, seed: int
) -> None:
    """Played with numbers alone: who is late answers a round later, and is not drawn for it."""
    answers = Answers.of(clients=n, byzantine=1, participation=participation, dropout=dropout, late=late)
    draw, active = random.Random(seed), drawn_in_round(n, participation)
    waiting: list[int] = []
    for _ in range(20):
        drawn = [client for client in draw.sample(range(n), active) if client not in waiting]
        lost, behind = (floor(round(share * len(drawn), 6)) for share in (dropout, late))
        assert answers.fewest <= len(drawn) - lost - behind + len(waiting) <= answers.most
        waiting = drawn[:behind]


def test_of_ten_clients_eight_answer_at_most_where_three_are_lost_and_one_is_late() -> None:
    assert Answers.of(clients=10, byzantine=2, participation=1, dropout=0.3, late=0.1).most == 8
