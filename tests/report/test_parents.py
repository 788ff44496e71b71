"""A report takes a folder of whatever: it finds what lies there, or says what it found and what to name."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.experiments.run import execute
from fedward.experiments.spec import make_spec
from fedward.report import ReportError
from fedward.report.parents import unfolded
from fedward.sweeps import Local, plan, read_sweep, run_sweep

TABLE = """
title = "Mine"
data = "fashion-mnist-subset"
model = "linear"
clients = 5
byzantine = 1
rounds = 1
rule = ["mean"]
attack = "alie"
"""
AUDIT = '{"format": "fedward-audit", "version": 1}\n'


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a week of work leaves it."""
    place = tmp_path_factory.mktemp("work")
    spec = make_spec({"data": "fashion-mnist-subset", "model": "linear", "clients": 5, "byzantine": 1, "rounds": 1})
    execute(spec, place / "runs/monday/one")
    for name in ("monday/deep/er/two", "tuesday/three"):
        copytree(place / "runs/monday/one", place / "runs" / name)
    (place / "mine.toml").write_text(TABLE, encoding="utf-8")
    run_sweep(plan(read_sweep(place / "mine.toml"), place / "pair/one"), Local(workers=1))
    for name in ("nested/below/mine", "pair/two"):
        copytree(place / "pair/one", place / name)
    (place / "redteam").mkdir()
    (place / "redteam/report.html").write_text("a page", encoding="utf-8")
    (place / "empty/deep").mkdir(parents=True)
    return place


def test_what_is_found(work: Path) -> None:
    assert unfolded(work / "runs").paths == (work / "runs",)
    assert unfolded(work / "runs/monday/one").paths == (work / "runs/monday/one",)
    assert unfolded(work / "runs/tuesday").paths == (work / "runs/tuesday/three",)
    assert unfolded(work / "nested").paths == (work / "nested/below/mine",)
    assert unfolded(work / "pair/one").paths == (work / "pair/one",)
    assert unfolded(work / "nowhere").paths == (work / "nowhere",)
    pair = unfolded(work / "pair")
    assert pair.paths == (work / "pair",)
    assert pair.note == (
        f"{work}/pair holds 2 sweeps ({work}/pair/one, {work}/pair/two): their runs are compared; "
        f"name one sweep, such as {work}/pair/one, for its own page"
    )


def test_what_cannot_be_one_page_is_said_with_what_to_name(work: Path) -> None:
    with pytest.raises(ReportError, match="holds no run, sweep or audit, at whatever depth"):
        unfolded(work / "empty")
    with pytest.raises(ReportError, match=r"but a page about what it holds: .*redteam/report\.html"):
        unfolded(work / "redteam")
    federation = work / "pair/federation"
    federation.mkdir()
    (federation / "audit.jsonl").write_text(AUDIT, encoding="utf-8")
    with pytest.raises(ReportError, match=r"2 sweeps \(.*\), 1 audit \(.*\), which make no single page; name "):
        unfolded(work / "pair")
    (federation / "audit.jsonl").unlink()
    federation.rmdir()


def test_audits_are_found_beside_runs(work: Path) -> None:
    places = [work / "mixed" / name for name in ("a/site", "b/site")]
    for place in places:
        place.mkdir(parents=True)
        (place / "audit.jsonl").write_text(AUDIT, encoding="utf-8")
    assert unfolded(work / "mixed").paths == tuple(places)


@pytest.mark.parametrize(
    ("what", "words"), [("runs", "one"), ("nested", "Mine"), ("pair", "mean under alie"), ("runs/tuesday", "three")]
)
def test_a_page_is_written_of_any_parent(work: Path, what: str, words: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["report", str(work / what), "-o", str(page)])
    assert result.exit_code == 0, result.output
    assert words in page.read_text(encoding="utf-8")
