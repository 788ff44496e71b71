"""Attacks that a tuned sweep has as tables are told apart as those that it has as text."""

from __future__ import annotations

from fedward.sweeps.choices import choose
from fedward.sweeps.grid import make_sweep
from fedward.sweeps.rows import Row
from fedward.sweeps.trials import trials


def test_no_attack_as_a_table_is_no_attack() -> None:
    table = {
        "data": "fashion-mnist-subset",
        "model": "linear",
        "clients": 10,
        "byzantine": 2,
        "rule": ["mean"],
        "attack": [{"name": "no-attack"}, {"name": "alie", "z": 0.5}],
        "tune": {"lr": [0.1, 0.2]},
    }
    tried = trials(make_sweep(table, name="tables"))
    assert [trial.attack for trial in tried] == ["no-attack", "alie:z=0.5"] * 2
    reached = dict(zip((trial.cell.name for trial in tried), (0.8, 0.3, 0.7, 0.5), strict=True))
    rows = [Row(cell=name, key="", group="", status="done", config={}, best=best) for name, best in reached.items()]
    clean, worst = choose(tried, rows)
    assert (clean.attack, clean.score, clean.values) == ("no-attack", 0.8, {"lr": 0.1})
    assert (worst.attack, worst.score, worst.values) == ("alie:z=0.5", 0.5, {"lr": 0.2})
