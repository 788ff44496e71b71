"""The page that holds what was measured against what is published: only what was measured, and all of that."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fedward import published
from fedward.sweeps import Cell, Row, write_rows
from scripts import make_reproduction as made

NAME = "siren-table3"


def cells(profile: str | None) -> dict[tuple[str, str, str], Cell]:
    found = published.read(NAME, profile=profile).cells
    return {(cell.group, cell.settings["rule"], cell.settings["attack"]): cell for cell in found}


LONG, SHORT = cells(None), cells("short")
CLEAN = ("0", "mean", "no-attack")
MEDIAN = ("40", "median", "label-flip")
SIREN = ("40", "siren", "false-alarms:inner=label-flip")


def write_run(folder: Path, cell: Cell, last: float, **more: object) -> None:
    run = {"config": cell.spec.resolved(), "rounds": cell.spec.rounds, "best_accuracy": 0.9, "final_accuracy": last}
    file = folder / "runs.json"
    folder.mkdir(parents=True, exist_ok=True)
    there = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**there, str(len(there)): {**run, **more}}))


def write_sweep(folder: Path, cell: Cell, lasts: dict[int, float], status: str = "done") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    row = Row(cell=cell.name, key="k", group=cell.group, status=status, config={})
    configs = {seed: {**cell.spec.resolved(), "seed": seed} for seed in lasts}
    write_rows([replace(row, config=configs[seed], best=0.9, last=lasts[seed]) for seed in lasts], folder)


def compared(results: Path) -> dict[tuple[str, str, str], made.Compared]:
    found = made.compared(NAME, made.all_found(results))
    return {(one.number.group, one.number.rule, one.number.attack): one for one in found}


def test_what_was_measured_is_found_by_its_settings(tmp_path: Path) -> None:
    write_run(tmp_path / "anything", LONG[CLEAN], 0.55)
    write_run(tmp_path / "anything", SHORT[SIREN], 0.40, versions={"code": "abc"})
    write_sweep(tmp_path / "sweep", LONG[MEDIAN], {0: 0.30, 3: 0.50})
    write_sweep(tmp_path / "failed", LONG[SIREN], {0: 0.49}, status="failed")
    write_run(tmp_path / "unfinished", LONG[SIREN], 0.49, rounds=3)
    found = compared(tmp_path)
    assert {cell: one.verdict for cell, one in found.items() if one.verdict != "not run"} == {
        CLEAN: "reproduced",
        MEDIAN: "reproduced",  # 37.21 is a collapse from 55.33, and so is 40
        SIREN: "not compared",  # without a short run of the mean without attack
    }
    assert found[CLEAN].told() == "55.00"
    assert found[MEDIAN].told() == "40.00 ± 14.14"
    assert found[SIREN].told() == "40.00 (short)"
    assert found[SIREN].where == (("anything", "abc"),)
    assert found[CLEAN].where == (("anything", None),)
    text = made.page(tmp_path, [], [NAME])
    assert "Ours: results/anything (code abc), results/anything (code unknown), results/sweep (code unknown)" in text


def test_the_published_setting_counts_where_both_were_run(tmp_path: Path) -> None:
    write_run(tmp_path / "short", SHORT[SIREN], 0.40)
    write_run(tmp_path / "long", LONG[SIREN], 0.49)
    assert compared(tmp_path)[SIREN].told() == "49.00"


def test_in_small_losses_are_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "one", SHORT[SIREN], 0.40)  # 49.82 of 55.33 in the paper
    write_run(tmp_path / "one", SHORT[MEDIAN], 0.20)  # 37.21
    for clean, siren, median in ((0.44, "reproduced", "reproduced"), (0.55, "differs", "reproduced")):
        write_run(tmp_path / f"clean {clean}", SHORT[CLEAN], clean)
        found = compared(tmp_path)
        assert (found[SIREN].verdict, found[MEDIAN].verdict) == (siren, median)
        assert found[MEDIAN].mark == "~"
    text = made.page(tmp_path, [], [NAME])
    assert "49.82 / 40.00 (short) **differs**" in text
    assert "37.21 / 20.00 (short) ~" in text


def test_nothing_is_told_that_was_not_measured(tmp_path: Path) -> None:
    assert {one.verdict for one in compared(tmp_path).values()} == {"not run"}
    names = [NAME, "siren-figure17", "signguard-table2"]
    text = made.page(tmp_path, [], names)
    assert all(f'<a id="{name}"></a>' in text for name in names)
    assert "Run: 0 of 3 cells in the published setting; 0 of 3 cells in the short setting." in text
    shown = text.replace("published / ours", "").count(" / ")
    assert shown == text.count(" / -") == sum(len(published.look_up(name).numbers) for name in names)


def test_drops_are_from_our_own_baseline(tmp_path: Path) -> None:
    cells = published.read("desgd-table2", seeds=1).cells
    found = {(cell.group, cell.settings["rule"], cell.settings["attack"]): cell for cell in cells}
    dnc = ("with", "class-wise:base=dnc", "alie:z=1")

    def ours() -> made.Compared:
        every = made.compared("desgd-table2", made.all_found(tmp_path))
        return next(one for one in every if (one.number.group, one.number.rule, one.number.attack) == dnc)

    write_run(tmp_path / "one", found[dnc], 0.5, best_accuracy=0.80)
    assert ours().verdict == "not run"  # there is nothing to drop from
    write_run(tmp_path / "one", found["baseline", "mean", "no-attack"], 0.5, best_accuracy=0.85)
    assert (ours().told(), ours().verdict) == ("5.00", "reproduced")


# --- explanations ---------------------------------------------------------------------------------------------


def test_what_differs_has_its_paragraph(tmp_path: Path) -> None:
    write_run(tmp_path / "results" / "one", LONG[SIREN], 0.40)
    file = tmp_path / "explanations.toml"
    file.write_text(
        f'[[explanation]]\npublished = "{NAME}"\ntext = "Of the table."\n'
        f'[[explanation]]\npublished = "{NAME}"\nmatch = {{ rule = "siren" }}\ntext = """\nOf\nSIREN.\n"""\n'
    )
    explained = made.explanations(file)
    text = made.page(tmp_path / "results", explained, [NAME])
    assert "49.82 / 40.00, 1 seed. Of SIREN." in text
    assert "Of the table." not in text
    assert "Nobody has looked into it yet." in made.page(tmp_path / "results", [], [NAME])


def test_explanations_of_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "explanations.toml"
    file.write_text('[[explanation]]\npublished = "siren-table4"\ntext = ""\n')
    with pytest.raises(SystemExit, match="nothing is published as 'siren-table4'"):
        made.explanations(file)
    file.write_text(f'[[explanation]]\npublished = "{NAME}"\nmatch = {{ rules = "siren" }}\ntext = ""\n')
    with pytest.raises(SystemExit, match="rules: match takes group, rule"):
        made.explanations(file)


def test_the_explanations_that_are_there_are_of_something() -> None:
    for one in made.explanations(made.EXPLANATIONS):
        assert any(one.fits(one.published, number) for number in published.look_up(one.published).numbers), one
