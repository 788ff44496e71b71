"""A figure of a training in which rounds took no step is marked, and one of no training at all is none."""

import csv
import io
from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from fedward.cli.sweep_end import sweep_table
from fedward.report import read_sweep_runs
from fedward.report.sweep_exports import latex, markdown
from fedward.report.sweep_figures import draw
from fedward.report.sweep_finished import left_out
from fedward.report.sweep_page import render_sweep
from fedward.report.sweep_skips import no_step_told, skips_told
from fedward.report.sweep_table import grids
from fedward.sweeps.measures import references, with_impacts
from fedward.sweeps.rows import as_csv
from tests.report.runs import page_of, record, write_run
from tests.report.sweeps import made_up
from tests.report.test_sweep import table_of
from tests.report.test_sweep_unfinished import TABLE, cells_of, level

RAISED = (
    "rule(bad.boom, f=2) raised FunctionError: the function bad.boom raised ValueError, 'oops, my bug' (in boom, "
    "/home/me/bad.py, line 3), where a rule makes one row, (1810,), of G (10, 1810), a float32 tensor"
)
SHORT = "the function bad.boom raised ValueError, 'oops, my bug'"
FEW = "krum needs 5 rows, got 4"


def skipping(data, skips, *cells):
    """Rounds of these cells took no step; where all of them did, nothing was learned."""
    rows = []
    for row in data.rows:
        its = Counter(skips) if row.cell in cells else Counter()
        vain = f"no round changed the model: {next(iter(its))}" if sum(its.values()) == row.rounds_done else ""
        rows.append(replace(row, skips=its, in_vain=vain))
    return replace(data, rows=tuple(with_impacts(rows)))


MEAN = ("mean under alie", "mean under alie, seed 1")


def test_a_run_that_took_no_step_has_no_figure(tmp_path):
    data = skipping(made_up(TABLE, level), {RAISED: 40}, *MEAN)
    assert cells_of(markdown(data))["Mean"] == ["**95.00 ± 7.07**", "--"]
    assert cells_of(markdown(replace(data, measure="last")))["Mean"][1] == "--"
    for text in (markdown(data), latex(data)):
        assert f"2 runs in which no round changed the model are not counted: {SHORT}." in text
        assert "home/me" not in text
        assert "not finished" not in text
    one = skipping(made_up(TABLE, level), {RAISED: 40}, MEAN[0])
    assert cells_of(markdown(one))["Mean"][1] == "**60.00**"
    assert "1 run in which no round changed the model is not counted" in markdown(one)
    assert "1 of 2 seeds, 1 learned nothing" in render_sweep(one)
    assert table_of(render_sweep(data))[1][2] == "nothing learned"
    gone = replace(data, rows=tuple(row for row in data.rows if row.cell not in MEAN))
    assert draw(data, ".svg", "curves") == draw(gone, ".svg", "curves")
    assert draw(data, ".svg", "curves") != draw(made_up(TABLE, level), ".svg", "curves")


def test_nothing_is_measured_by_it():
    data = skipping(made_up(TABLE, level), {RAISED: 40}, "mean under no-attack", "mean under no-attack, seed 1")
    assert references(data.rows) == {}
    console = Console(width=120, file=io.StringIO())
    console.print(sweep_table(type("It", (), {"axes": ["seed"]}), data.rows))
    [line] = (
        each.split() for each in console.file.getvalue().splitlines() if each.split()[:2] == ["mean", "no-attack"]
    )
    assert line[2:6] == ["0", "of", "2", "-"]


def test_a_run_without_finite_numbers_is_told_in_its_own_words():
    data = made_up(TABLE, level)
    rows = [replace(row, in_vain="no honest client sent finite numbers" * (row.cell in MEAN)) for row in data.rows]
    told = no_step_told(replace(data, rows=tuple(rows)))
    assert told == "2 runs in which no honest client sent finite numbers are not counted."


def test_figures_of_rounds_without_a_step_are_marked():
    data = skipping(made_up({**TABLE, "attack": ["zero", "alie"]}, lambda cell: 0.5), {RAISED: 9, FEW: 1}, *MEAN)
    assert cells_of(markdown(data))["Mean"] == ["**50.00 ± 0.00**", "**50.00 ± 0.00†**", "**50.00†**"]
    assert cells_of(markdown(data))["Median"] == ["**50.00 ± 0.00**", "**50.00 ± 0.00**", "**50.00**"]
    told = f"† In 20 of 80 rounds of Mean no step was taken: {SHORT} (and 1 other reason)."
    assert told in markdown(data)
    assert r"\textbf{50.00 $\pm$ 0.00$^\dagger$}" in latex(data)
    assert told.replace("†", r"$^\dagger$") in latex(data)
    page = render_sweep(data)
    assert "no step in 20 of 80 rounds" in page
    assert "In 20 of 80 rounds of mean no step was taken" in page
    for ending in (".csv", ".svg", ".md"):
        assert any("In 20 of 80 rounds of mean" in note for note in left_out(data, ending))
    assert "†" not in markdown(made_up(TABLE, level))


def test_what_a_rule_refuses_is_told_as_it_is():
    data = skipping(made_up(TABLE, level), {FEW: 3}, MEAN[0])
    assert f"† In 3 of 80 rounds of Mean no step was taken: {FEW}." in markdown(data)
    assert "rais" not in markdown(data)


def test_of_many_rules_some_are_named():
    rules = ["mean", "median", "krum", "multi-krum", "sign-guard", "trimmed-mean", "faba"]
    data = made_up({"rule": rules, "attack": "alie"}, lambda cell: 0.5)
    told = skips_told(grids(skipping(data, {FEW: 1}, *(row.cell for row in data.rows))))
    assert told.count("no step was taken") == 5
    assert told.endswith("; in some rounds of 2 more rules.")


@pytest.mark.parametrize("skipped", [1, 2])
def test_folders_of_runs_say_it_too(tmp_path, skipped):
    for rule, why in (("mean", None), ("boom", RAISED)):
        rounds = [record(n, accuracy=0.25, skipped=why if n <= skipped else None) for n in (1, 2)]
        for attack in ("alie", "zero"):
            write_run(tmp_path / f"{rule}-{attack}", rounds, rule=rule, attack=attack, rounds=2)
    data = read_sweep_runs([tmp_path], "it")
    table = list(csv.DictReader(io.StringIO(as_csv(data.rows))))
    assert {(line["rule"], line["skipped"]) for line in table} == {("mean", "0"), ("boom", str(skipped))}
    assert cells_of(markdown(data))["boom"][0] == ("**25.00†**" if skipped == 1 else "--")
    assert {bool(line["in_vain"]) for line in table if line["rule"] == "boom"} == {skipped == 2}
    assert not any(line["in_vain"] for line in table if line["rule"] == "mean")
    page = page_of(*sorted(tmp_path.iterdir()))
    assert ("nothing learned" in page) == (skipped == 2)
    alone = page_of(tmp_path / "boom-alie")
    assert ("25.00%" in alone) == (skipped == 1)
    assert alone.count("nothing learned") == (2 if skipped == 2 else 0)  # in the summary, and beside its name
