"""Byzantine clients that are counted or named, from the shell to the run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fedward import attacks, rules
from fedward.cli.app import app
from fedward.experiments.load import load_spec
from fedward.experiments.spec import RunSpec, SpecError, make_spec
from fedward.redteam import Captured, play

QUICK: dict[str, Any] = {"data": "fashion-mnist-subset", "model": "linear", "clients": 6, "rule": "median", "rounds": 1}


@pytest.mark.parametrize(
    ("given", "ids", "text"),
    [
        (2, {0, 1}, 2),
        ("2", {0, 1}, 2),
        ("3,4", {3, 4}, "3,4"),
        ("3,", {3}, "3,"),
        ([3, 4], {3, 4}, "3,4"),
        (0, set(), 0),
    ],
)
def test_clients_are_counted_or_named(given: Any, ids: set[int], text: Any) -> None:
    spec = make_spec({**QUICK, "byzantine": given})
    assert spec.simulation().byzantine == ids
    assert spec.answers.byzantine == len(ids)
    assert spec.resolved()["byzantine"] == text
    again = make_spec(json.loads(json.dumps(spec.resolved())))
    assert again.resolved() == spec.resolved()
    assert again.name() == spec.name()


def test_the_same_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("clients = 5\nbyzantine = [3, 4]\nrule = 'krum:f=1'\n")
    spec: RunSpec = load_spec(tmp_path / "run.toml")
    assert spec.byzantine == (3, 4)
    assert "byzantine=3-4" in spec.name()


def test_named_clients_hold_all_data_where_byzantine_ones_do() -> None:
    spec = make_spec({**QUICK, "byzantine": "1,3", "byzantine_data": "all"})
    sizes = [len(shard) for shard in spec.simulation().data.shards]
    assert [size == 10_000 for size in sizes] == [False, True, False, True, False, False]


def test_rules_expect_as_many_as_are_named() -> None:
    spec = make_spec({**QUICK, "byzantine": "1,", "rule": "krum"})
    assert spec.resolved()["rule"].startswith("krum:f=1")
    assert make_spec({**QUICK, "byzantine": [1], "rule": {"name": "krum"}}).resolved()["rule"].startswith("krum:f=1")


@pytest.mark.parametrize("given", ["3,x", "x", "1,1", "6,", "0,1,2,3,4,5", -1, 6, [7], "1.5"])
def test_nobody_else_is_taken(given: Any) -> None:
    with pytest.raises(SpecError, match="byzantine"):
        make_spec({**QUICK, "byzantine": given})


def test_the_red_team_plays_the_clients_that_are_named() -> None:
    rows = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    captured = [Captured(rows=rows, previous=None, evaluator=None)]  # type: ignore[arg-type]  # nobody asks it
    order = [2, 5, 0, 1, 3, 4]
    moved = [Captured(rows=rows[order], previous=None, evaluator=None)]  # type: ignore[arg-type]
    named = play(rules.Mean(), attacks.SignFlip(scale=3), captured, byzantine=[2, 5])
    first = play(rules.Mean(), attacks.SignFlip(scale=3), moved, byzantine=2)
    assert named.kappa == pytest.approx(first.kappa)
    assert named.progress == pytest.approx(first.progress)


def test_a_list_of_numbers_in_a_file_is_said_to_be_clients(tmp_path: Path) -> None:
    """A list of anything else is several values of its key."""
    file = tmp_path / "run.toml"
    file.write_text(
        "data = 'fashion-mnist-subset'\nmodel = 'linear'\nclients = 5\nbyzantine = [1, 2]\nrule = 'mean'\nrounds = 1\n"
    )
    done = CliRunner().invoke(app, ["run", "--config", str(file), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert 'byzantine = [1, 2]: the clients 1, 2; so many of them would be ["1", "2"].' in done.output
    done = CliRunner().invoke(app, ["run", "--config", str(file), "--byzantine", "1,2", "--out", str(tmp_path / "run")])
    assert "so many of them" not in done.output
