"""The table at the end of a sweep: of cells that are done alone."""

from rich.console import Console

from fedward.cli.sweep_end import sweep_table
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
