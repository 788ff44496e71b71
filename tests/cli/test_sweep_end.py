"""The table at the end of a sweep: of cells that are done alone."""

import io

from rich.console import Console

from fedward.cli.consoles import HarmlessConsole
from fedward.cli.sweep_end import how_figures_are_read, notes_of_cells, sweep_table
from fedward.sweeps import Row, make_sweep
from fedward.sweeps.measures import with_impacts

TABLE = {"data": "fashion-mnist-subset", "model": "linear", "clients": 10, "byzantine": 2, "rounds": 1}


def test_a_failed_seed_is_counted_as_missing_and_has_no_part_in_the_figures() -> None:
    sweep = make_sweep({**TABLE, "rule": ["mean", "median"], "attack": ["no-attack"], "seed": [0, 1]}, name="x")
    reached = {("mean", 0): 0.9, ("mean", 1): 0.1, ("median", 0): 0.8, ("median", 1): 0.8}
    rows = []
    for cell in sweep.cells:
        of = (cell.spec.rule, cell.spec.seed)
        config, best = cell.spec.resolved(), reached[of]
        status = "failed" if of == ("mean", 1) else "done"
        rows.append(Row(cell=cell.name, key="k", group="", status=status, config=config, best=best, last=best))
    console = Console(width=200)
    with console.capture() as shown:
        console.print(sweep_table(sweep, with_impacts(rows)))
    mean, median = (line.split() for line in shown.get().splitlines() if "no-attack" in line)
    assert mean[2:] == ["1", "of", "2", "90.0", "%", "90.0", "%", "0.0", "%"]
    assert median[2:5] == ["2", "of", "2"]
    assert median[-2:] == ["10.0", "%"]


def test_where_nobody_looks_nothing_is_cut() -> None:
    momenta = [k / 100 for k in range(45)]
    sweep = make_sweep({**TABLE, "rule": ["mean"], "attack": ["alie"], "seed": [0, 1], "momentum": momenta}, name="x")
    accepted = {"byzantine_accepted": 1.0, "honest_accepted": 0.97, "attack_impact": 0.04}
    rows = [
        Row(
            cell=f"{cell.name} {'with a long name ' * 20}",
            key="k",
            group="",
            status="done",
            config={**cell.spec.resolved(), "rule": f"mean of {'a long name ' * 20}"},
            best=0.8,
            last=0.8,
            measures=accepted,
            notes=("a note",),
        )
        for cell in sweep.cells
    ]
    file = HarmlessConsole(file=io.StringIO())
    file.print(sweep_table(sweep, rows, whole=True))
    lines = file.file.getvalue().splitlines()
    assert sum("a long name " * 20 in line and "97.0 %" in line and "4.0 %" in line for line in lines) == 45
    assert "more" not in lines[-1]
    assert len(notes_of_cells(rows, whole=True)) == 90
    console = Console(width=200)
    with console.capture() as shown:
        console.print(sweep_table(sweep, rows))
    assert "and 5 more" in shown.get()
    assert "97.0" not in shown.get()
    assert notes_of_cells(rows)[10:] == ["and 80 more such notes"]


def test_a_console_is_as_wide_as_its_terminal_or_as_it_is_told_to_be() -> None:
    told = {"COLUMNS": "60"}
    assert HarmlessConsole(file=io.StringIO(), _environ=told).width > 1000
    assert HarmlessConsole(file=io.StringIO(), _environ=told, force_terminal=True).width == 60
    assert HarmlessConsole(file=io.StringIO(), _environ={}, force_terminal=True).width < 1000
    assert HarmlessConsole(file=io.StringIO(), width=70).width == 70
    console = HarmlessConsole(file=io.StringIO())
    console.width = 50
    assert console.width == 50


def test_it_says_what_best_is_and_what_follows_the_sign() -> None:
    sweep = make_sweep({**TABLE, "rule": ["mean"], "attack": ["alie"], "seed": [0, 1], "evaluate_every": 5}, name="x")
    rows = [
        Row(cell=cell.name, key="k", group="", status="done", config=cell.spec.resolved(), best=0.8, last=0.8)
        for cell in sweep.cells
    ]
    best = "best: the best of a run's tests, one every 5 rounds, chosen on the test set itself"
    assert how_figures_are_read(rows) == f"{best}; ± is the standard deviation over seeds, with n - 1."
    assert how_figures_are_read(rows[:1]) == f"{best}."
