"""Runs of a rule of one's own, before and after it was edited, are not seeds of one thing."""

import json

import pytest

from fedward.report import load_run, read_sweep_runs, render
from fedward.report.grid import place
from fedward.report.sweep_exports import latex, markdown
from fedward.report.sweep_page import render_sweep
from fedward.report.sweep_table import grids
from fedward.sweeps.apart import CodeOfRun, told_apart
from tests.report.runs import record, write_run

OLD, NEW = {"near.py": "1a2b3c4d5e6f"}, {"near.py": "6f5e4d3c2b1a"}


def run(folder, name, accuracy, own=None, imported=None, **config):
    head = {key: value for key, value in (("own", own), ("imported", imported)) if value is not None}
    base = {"rule": "near.near", "attack": "alie", "rounds": 1, "clients": 4, "byzantine": 1, "seed": 0}
    return write_run(folder / name, [record(1, accuracy=accuracy, loss=1.0)], head, **(base | config))


@pytest.mark.parametrize("imports", [False, True])
def test_seeds_of_before_an_edit_and_after_it_are_two_lines(tmp_path, imports):
    same = {"near.py": "0" * 12}
    for name, seed, version, accuracy in (("a", 0, OLD, 0.2), ("b", 1, NEW, 0.6), ("c", 2, NEW, 0.8)):
        run(tmp_path, name, accuracy, *((same, version) if imports else (version,)), seed=seed)
    run(tmp_path, "mean", 0.5, rule="mean")
    data = read_sweep_runs([tmp_path], "both")
    [grid] = grids(data)
    assert {line.rule: line.places["alie"].over.mean for line in grid.lines} == {
        "near.near (near.py 1a2b3c)": 0.2,
        "near.near (near.py 6f5e4d)": pytest.approx(0.7),
        "mean": 0.5,
    }
    assert "near.py 1a2b3c" in markdown(data)
    page = render([load_run(tmp_path / name) for name in "abc"])
    assert "near.py 1a2b3c" in page
    rows = {entry.row for entry in place([load_run(tmp_path / name) for name in ("a", "b", "c", "mean")])}
    assert len(rows) == 3
    assert "mean" in rows


def test_runs_of_one_code_are_seeds_as_ever(tmp_path):
    for seed in range(3):
        run(tmp_path, f"run-{seed}", 0.5, OLD, {}, seed=seed)
    [grid] = grids(read_sweep_runs([tmp_path], "one"))
    [line] = grid.lines
    assert len(line.places["alie"].over.values) == 3
    assert len({entry.row for entry in place([load_run(tmp_path / f"run-{seed}") for seed in range(3)])}) == 1


def test_what_nobody_took_note_of_tells_no_runs_apart():
    def made(imported, **config):
        return CodeOfRun(config={"rule": "near", **config}, own=OLD, imported=imported)

    noted = {"beneath.py": "1" * 12}
    assert told_apart([made(None, seed=0), made(noted, seed=1)]) == [{}, {}]
    assert told_apart([made({}, seed=0), made(noted, seed=1)]) == [
        {"own_code": "no beneath.py"},
        {"own_code": "beneath.py 111111"},
    ]
    assert told_apart([made({}, rule="a"), made(noted, rule="b")]) == [{}, {}]  # two rules, told apart as it is
    odd = CodeOfRun(config={}, own={"\x1b[31m.py": "1"}, imported=None)
    [told, _] = told_apart([odd, CodeOfRun(config={}, own=OLD, imported=None)])
    assert told
    assert "\x1b" not in str(told.values())


def test_a_clean_run_of_other_code_is_nobodys_reference(tmp_path):
    """Its model was edited: what Mean reaches without attack is two things."""
    for name, version, seed, reached in (("a", OLD, 0, 0.9), ("b", NEW, 1, 0.7)):
        run(tmp_path, name, reached, version, rule="mean", attack="no-attack", seed=seed)
    for name, version in (("old", OLD), ("new", NEW)):
        run(tmp_path, name, 0.5, version, rule="krum:f=1")
    rows = {row.cell: row for row in read_sweep_runs([tmp_path], "x").rows}
    assert rows["old"].measures["attack_impact"] == pytest.approx(0.4)
    assert rows["new"].measures["attack_impact"] == pytest.approx(0.2)
    (tmp_path / "b" / "run.json").unlink()
    rows = {row.cell: row for row in read_sweep_runs([tmp_path], "x").rows}
    assert rows["new"].measures["attack_impact"] is None


def test_a_page_says_that_the_rule_that_is_here_is_another(tmp_path, monkeypatch):
    folder = tmp_path / "solo"
    run(folder, "a", 0.5, OLD)
    monkeypatch.chdir(tmp_path)
    assert read_sweep_runs([folder], "x").edited == ()  # there is none here
    (tmp_path / "near.py").write_text("raise RuntimeError('it is never run')\n", encoding="utf-8")
    data = read_sweep_runs([folder], "x")
    [note] = data.edited
    assert note == "1 of 1 run was made before near.py was edited as it is here: the figures are those of before."
    assert note in markdown(data)
    assert f"% {note}\n" in latex(data)
    assert note in latex(data).partition("caption")[2]
    assert note in render_sweep(data)
    assert "before near.py was edited as it is here" in render([load_run(folder / "a")])
    head = json.loads((folder / "a" / "run.json").read_text())
    head["config"]["rule"] = "os.path"
    (folder / "a" / "run.json").write_text(json.dumps(head))
    assert read_sweep_runs([folder], "x").edited == ()
