"""Keep a sweep among the results: its table, its figures, and docs/evidence/reproduction.md with its figures in it.

    fedward sweep signguard-table1 --only data=fashion-mnist --profile short
    python scripts/keep_sweep.py sweeps/signguard-table1-short

Writes ``results/NAME/``: ``sweep.csv`` (and ``sweep.parquet``, where pyarrow is installed) with a row for each cell
that is done, a table of rules by attacks in Markdown, ``curves.svg``, and ``by-AXIS.svg`` an axis. What is not done
yet is left out: do this again when there is more. Cells that are kept already and that the sweep does not have are not
thrown away without ``--replace``.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import make_reproduction
from experiments import RESULTS

from fedward.experiments.spec import file_name
from fedward.experiments.store import FolderError
from fedward.report import ReportError, SweepData, read_stored, write_sweep_as
from fedward.report.sweep_figures import CURVES, choices
from fedward.sweeps import Row, write_rows

_SHOWN = 3


def kept(source: Path, place: Path, *, anew: bool = False) -> list[Path]:
    """Write what is done of a sweep into a folder of results; the files.

    Raises:
        SystemExit: nothing is done, or something else is there.
    """
    data = read_stored(source)
    done = tuple(row for row in data.rows if row.status == "done")
    if not done:
        raise SystemExit(f"{source}: no cell is done yet; run fedward sweep first")
    if (place / "experiment.toml").exists():
        raise SystemExit(f"{place}: holds runs of its own; name another folder with --name")
    if not anew and (lost := _lost(place / "sweep.csv", done)):
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise SystemExit(
            f"{place}: has cells that are not done in {source}: {', '.join(lost[:_SHOWN])}{more}; finish them, or say "
            "--replace to lose them"
        )
    place.mkdir(parents=True, exist_ok=True)
    return [*write_rows(done, place), *_figures(replace(data, rows=done), place)]


def _lost(file: Path, done: Sequence[Row]) -> list[str]:
    """The cells of a table that are not among these, by their names."""
    if not file.exists():
        return []
    names = {row.cell for row in done}
    with file.open(encoding="utf-8", newline="") as text:
        return [line["cell"] for line in csv.DictReader(text) if line["cell"] not in names]


def _figures(data: SweepData, place: Path) -> list[Path]:
    for old in (*place.glob("by-*.svg"), place / "curves.svg"):
        old.unlink(missing_ok=True)
    files = [write_sweep_as(data, (place / "table").with_suffix(".md"))]
    for choice in choices(data):
        name = CURVES if choice == CURVES else f"by-{file_name(choice)}"
        files.append(write_sweep_as(data, place / f"{name}.svg", choice))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the sweep")
    parser.add_argument("--name", help="of the folder of results; that of the sweep's folder if not given")
    parser.add_argument("--replace", action="store_true", help="also where cells that are kept are not in the sweep")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folders (default: %(default)s)")
    given = parser.parse_args()
    place = given.results / (given.name or given.folder.resolve().name)
    try:
        files = kept(given.folder, place, anew=given.replace)
    except (FolderError, ReportError) as error:
        raise SystemExit(str(error)) from None
    print("\n".join(f"wrote {file}" for file in files))
    if given.results == RESULTS:
        make_reproduction.main()


if __name__ == "__main__":
    main()
