"""A table of a sweep of one's own code keeps its rows whole, however far the sweep has come."""

import pytest

from fedward.report import load_run, read_sweep_runs
from fedward.report.grid import place
from fedward.report.own_code import rows_apart
from fedward.report.sweep_axes import axes_of
from fedward.report.sweep_exports import markdown
from fedward.report.sweep_page import render_sweep
from fedward.report.sweep_table import SweepData, grids
from fedward.sweeps import Row, make_sweep
from fedward.sweeps.apart import CodeOfRun, told_apart
from fedward.sweeps.rows import as_csv
from tests.report.runs import record, write_run
from tests.report.test_sweep_unfinished import cells_of

MODEL, RULE, ATTACK, OTHER = (
    {f"{name}.py": digit * 12}
    for name, digit in (("mymodel", "1"), ("myrule", "2"), ("myattack", "3"), ("myattack", "4"))
)
ATTACKS = ("no-attack", "alie", "myattack.flip")


def own_of(rule, attack):
    """The files that a run is made of."""
    return MODEL | (RULE if rule.startswith("myrule") else {}) | (ATTACK if attack.startswith("myattack") else {})


def cell(rule, attack, best=None, seed=0, own=None, **config):
    """A row of a cell that is done, or has not begun."""
    base = {"rule": rule, "attack": attack, "seed": seed, "model": "mymodel.net", "rounds": 1}
    known = {} if best is None else {"own": own_of(rule, attack) if own is None else own, "imported": {}}
    status, rounds = ("waiting", 0) if best is None else ("done", 1)
    name = f"{rule} under {attack}, {seed}, {config}, {best}"
    return Row(cell=name, key="", group="", status=status, config=base | config, best=best, rounds_done=rounds, **known)


def data_of(*rows):
    return SweepData(title="it", rows=tuple(rows_apart(rows)))


def table(*rows):
    return cells_of(markdown(data_of(*rows)))


def test_cells_that_have_not_begun_split_no_row():
    done = {("mean", "no-attack", 0): 0.7, ("median", "alie", 0): 0.8, ("median", "myattack.flip", 1): 0.5}
    rules = ("mean", "median")
    rows = [cell(r, a, done.get((r, a, s)), s) for s in (0, 1) for a in ATTACKS for r in rules]
    assert table(*rows) == {
        "Mean": ["**70.00**", "--", "--", "--"],
        "Median": ["--", "**80.00**", "**50.00**", "**50.00**"],
    }
    assert "own_code" not in as_csv(data_of(*rows).rows)
    page = render_sweep(data_of(*rows))
    assert "own_code" not in page
    assert page.count("of 2 seeds done") == 6


def test_a_rule_that_an_attack_is_missing_of_has_no_worst():
    rows = [cell("mean", "alie", 0.5), cell("mean", "myattack.flip", 0.4), cell("median", "alie", 0.6)]
    assert table(*rows, cell("median", "alie", seed=1), cell("median", "myattack.flip")) == {
        "Mean": ["50.00", "**40.00**", "**40.00**"],
        "Median": ["**60.00**", "--", "--"],
    }


def test_edited_code_of_an_attack_makes_columns():
    edited = {**MODEL, **OTHER}
    rows = [cell(rule, attack, 0.5) for rule in ("mean", "myrule.near") for attack in ("alie", "myattack.flip")]
    rows += [cell("mean", "alie", 0.7, seed=1), cell("mean", "myattack.flip", 0.3, seed=1, own=edited)]
    lines = markdown(data_of(*rows)).splitlines()
    [head] = (line for line in lines if line.startswith("| rule"))
    assert head == "| rule | ALIE | flip (myattack.py 333333) | flip (myattack.py 444444) | worst |"
    assert table(*rows) == {
        "Mean": ["**60.00 ± 14.14**", "**50.00**", "**30.00**", "**30.00**"],
        "near": ["50.00", "**50.00**", "--", "--"],
    }
    assert "attack_code" in as_csv(data_of(*rows).rows)


def test_edited_code_of_a_rule_makes_rows_that_are_held_against_all():
    edited = {**MODEL, "myrule.py": "9" * 12}
    rows = [cell("mean", a, 0.5) for a in ("alie", "zero")]
    rows += [cell("myrule.near", a, 0.4) for a in ("alie", "zero")]
    rows += [cell("myrule.near", a, 0.6, seed=1, own=edited) for a in ("alie", "zero")]
    rows += [cell("myrule.far", "alie", 0.3, own=edited), cell("myrule.far", "zero", 0.2, own=edited)]
    assert table(*rows) == {
        "Mean": ["50.00", "50.00", "50.00"],
        "near (myrule.py 222222)": ["40.00", "40.00", "40.00"],
        "near (myrule.py 999999)": ["**60.00**", "**60.00**", "**60.00**"],
        "far": ["30.00", "20.00", "20.00"],  # of another rule in the file there is one code
    }


def test_edited_code_of_a_model_makes_settings_for_all_attacks_and_rules():
    edited = {"mymodel.py": "9" * 12}
    rows = [cell("mean", "no-attack", 0.7), cell("mean", "alie", 0.5, own=edited), cell("median", "alie", 0.4)]
    waiting = cell("median", "no-attack")
    lines = [line.settings["own_code"] for line in grids(data_of(*rows, waiting))[0].lines]
    assert lines == ["mymodel.py 111111", "mymodel.py 999999", "mymodel.py 111111"]
    assert grids(data_of(*rows[:1], rows[2], waiting))[0].keys == ()


@pytest.mark.parametrize("name", ["byzantine", "lr"])
def test_an_axis_is_whole_before_all_of_it_has_begun(name):
    places = [(attack, seed, x) for attack in ATTACKS for seed in (0, 1) for x in (1, 2, 3)]
    rows = [cell("mean", a, 0.5 if x + s < 3 else None, s, **{name: x, "clients": 10}) for a, s, x in places]
    [grid] = grids(data_of(*rows))
    assert grid.keys == (name,)
    [axis] = axes_of(grid)
    [(_, points)] = axis.series("myattack.flip", axis.settings[0])
    assert len(points) == 2


def test_digests_make_no_axis():
    rows = [cell("mean", "alie", 0.5, seed=n, own={"mymodel.py": str(n) * 12}) for n in (1, 2)]
    [grid] = grids(data_of(*rows))
    assert grid.keys == ("own_code",)
    assert axes_of(grid) == []


def test_a_module_that_parts_import_is_compared_among_these():
    def made(rule, attack, helper=None):
        config = {"rule": rule, "attack": attack, "model": "mymodel.net"}
        imported = {} if helper is None else {"helper.py": helper * 12}
        return CodeOfRun(config=config, own=own_of(rule, attack), imported=imported)

    rows = [made("mean", "alie"), made("median", "alie"), made("mean", "myattack.flip", "1")]
    assert told_apart([*rows, made("median", "myattack.flip", "1")]) == [{}] * 4
    told = told_apart([*rows, made("median", "myattack.flip", "2")])
    assert told == [{}, {}, {"attack_code": "helper.py 111111"}, {"attack_code": "helper.py 222222"}]


def test_runs_in_folders_and_their_page(tmp_path):
    """Beside the cells of a sweep that nobody has run, and on a page of runs."""
    runs = [("mean", "alie", 0.5), ("mean", "myattack.flip", 0.4), ("median", "alie", 0.6)]
    table = {"rule": ["mean", "median"], "attack": "alie", "seed": [0, 1], "rounds": 1, "clients": 4, "byzantine": 1}
    sweep = make_sweep({"data": "fashion-mnist-subset", "model": "linear", **table}, name="it")
    for number, (rule, attack, accuracy) in enumerate(runs):
        config = {"rule": rule, "attack": attack, "model": "mymodel.net", "rounds": 1}
        head = {"own": own_of(rule, attack), "imported": {}}
        write_run(tmp_path / "runs" / str(number), [record(1, accuracy=accuracy)], head, **config)
    for number, its in enumerate(sweep.cells[:2]):
        head = {"own": MODEL, "imported": {}}
        config = its.spec.resolved()
        write_run(tmp_path / "cells" / str(number), [record(1, accuracy=0.5)], head, **config)
    assert {line.rule for line in grids(read_sweep_runs([tmp_path / "runs"], "it"))[0].lines} == {"mean", "median"}
    beside = read_sweep_runs([tmp_path / "cells"], "it", sweep)
    assert [row.status for row in beside.rows] == ["done", "done", "waiting", "waiting"]
    assert grids(beside)[0].keys == ()
    loaded = [load_run(folder) for folder in sorted((tmp_path / "runs").iterdir())]
    assert {entry.row for entry in place(loaded)} == {"mean", "median"}
