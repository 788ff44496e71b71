"""The tables of the READMEs are those of the figures that are committed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import results_tables

        yield results_tables


def test_every_page_has_the_tables_that_its_figures_make(tables: ModuleType) -> None:
    for page in tables.PAGES:
        assert (ROOT / page).read_text(encoding="utf-8") == tables.filled(page), (
            f"{page} is out of date: python scripts/results_tables.py --write"
        )


def test_every_table_of_results_is_made_of_figures(tables: ModuleType) -> None:
    pages = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "results").glob("*/README.md"))
    assert pages == sorted(set(tables.PAGES) - {"results/claims.md"})
    for page in (*pages, "results/claims.md"):
        rest = tables._BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
        assert not re.search(r"^\|", rest, re.MULTILINE), f"{page} has a table that nothing makes"


def test_a_changed_figure_changes_its_page(tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, (folder, blocks) = "results/behaviour/README.md", tables.PAGES["results/behaviour/README.md"]
    runs = json.loads((ROOT / "results" / folder / "runs.json").read_text())
    runs["krum under alie"]["best_accuracy"] = 0.98765
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "runs.json").write_text(json.dumps(runs))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    assert set(blocks) == {"accuracy", "accepted", "losses"}
    assert "98.8 / " in tables.filled(page)
    (tmp_path / folder / "runs.json").write_text(json.dumps({k: v for k, v in runs.items() if k != "mean under alie"}))
    assert re.search(r"^\| Mean \| [\d.]+ / [\d.]+ \| \.\.\. \|", tables.filled(page), re.MULTILINE)


def test_halves_are_rounded_up(tables: ModuleType) -> None:
    from tables.pieces import number

    assert [number(100 * value) for value in (0.8085, 0.7805, 0.6685, 0.1)] == ["80.9", "78.1", "66.9", "10.0"]
    assert number(-0.25, sign=True) == "-0.3"
    assert number(None) == "..."


def test_old_and_new_figures_are_set_beside_each_other(tables: ModuleType) -> None:
    import compare_results

    tree = compare_results.Tree()
    signguard = compare_results.figures(tree, "signguard")
    assert set(signguard["mean under no-attack"]) == {"best", "last", "byzantine", "honest", "rounds"}
    redteam = compare_results.figures(tree, "redteam")
    assert set(redteam["krum:f=10"]) == {"worst", "without attack", "lowest"}
    assert "accuracy" in compare_results.figures(tree, "flower")["fedward Median: none"]

    old = {"a": {"best": "1", "last": "2"}, "gone": {"best": "3", "last": "3"}, "same": {"best": "0", "last": "0"}}
    new = {"a": {"best": "1", "last": "5"}, "new | one": {"best": "4", "last": "4"}, "same": old["same"]}
    said = compare_results.compared(old, new)
    assert "| a | 1 | 2 -> 5 |" in said
    assert "| gone | 3 -> - | 3 -> - |" in said
    assert "| new \\| one | - -> 4 | - -> 4 |" in said
    assert "| same" not in said
    assert said.endswith("1 of 3 are as they were.")
    assert compare_results.compared(new, new) == "All 3 are as they were."
