"""Tables of runs ask for runs that are specified, by the names that they have, and do without those not made yet."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
FOLDERS = ("desgd", "desgd-cnn", "fedseca", "fedseca-cifar10", "siren")
SCORES = {"fedseca": "concordance", "siren": "malicious index"}


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import results_tables

        yield results_tables


@pytest.fixture(scope="module")
def specified(tables: ModuleType) -> dict[str, Any]:
    """The experiments, by folder."""
    import experiments

    return {name: experiments.read(name) for name in FOLDERS}


def invented(job: Any, number: int) -> dict[str, Any]:
    """A run as `collect_runs` has it, with figures that nobody has measured."""
    every = job.spec.evaluate_every
    curve = {str(r): round(0.5 + 0.4 * r / job.spec.rounds, 4) for r in range(every, job.spec.rounds + 1, every)}
    scores = {}
    if (name := SCORES.get(job.experiment)) is not None:
        values = [1.0, 0.0, None, *[0.5] * (job.spec.clients - 3)]
        scores[name] = {str(r + 1): values for r in range(job.spec.rounds)}
    return {
        "config": json.loads(json.dumps(job.spec.resolved())),
        "versions": {"commit": "f" * 12, "code": "c" * 12},
        "rounds": job.spec.rounds,
        "best_accuracy": max(curve.values()),
        "final_accuracy": list(curve.values())[-1] - number / 10_000,
        "final_balanced_accuracy": 0.5,
        "final_f1": 0.5,
        "byzantine_accepted": 0.25,
        "honest_accepted": 0.75,
        "seconds": 1.0,
        "skipped": 0,
        "accuracy_by_round": curve,
        "confidence_by_round": curve,
        **scores,
    }


@pytest.fixture
def results(tables: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of results as they are specified, without any run."""
    for name in FOLDERS:
        shutil.copytree(ROOT / "results" / name, tmp_path / name, ignore=shutil.ignore_patterns("runs.json"))
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    return tmp_path


def pages() -> list[str]:
    return [*(f"results/{name}/README.md" for name in FOLDERS), "results/claims.md"]


def test_without_runs_every_cell_says_so(tables: ModuleType, results: Path) -> None:
    for page in pages():
        text = tables.filled(page)
        assert "..." in text
        assert not re.search(r"\b(holds|does not\*\*) \|$", text, re.MULTILINE)


def test_with_all_runs_no_cell_is_missing(tables: ModuleType, results: Path, specified: dict[str, Any]) -> None:
    for name, experiment in specified.items():
        runs = {job.name: invented(job, number) for number, job in enumerate(experiment.jobs)}
        (results / name / "runs.json").write_text(json.dumps(runs))
    for page in pages():
        text = "\n".join(match["text"] for match in tables._BLOCK.finditer(tables.filled(page)))
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert not [line for line in lines if "..." in line or "not run yet" in line]


def test_every_picture_has_runs_to_draw(tables: ModuleType, results: Path, specified: dict[str, Any]) -> None:
    import draw_runs

    for name, experiment in specified.items():
        for picture in experiment.pictures:
            shown = [job for job in experiment.jobs if re.search(picture["match"], job.name)]
            assert len(shown) > 1, picture
            if "score" in picture:
                assert all(picture["score"] in job.spec.make_rule().traits().recorded for job in shown)
                runs = {job.name: invented(job, 0) for job in shown[:2]}
                draw_runs.draw_score(runs, picture["score"], results / picture["file"], picture.get("map", False))
                assert (results / picture["file"]).stat().st_size > 1000
        # Every picture of a page is one that is drawn, and is there: what is not run yet has none.
        kept = ROOT / "results" / name
        pictures = {picture["file"] for picture in experiment.pictures if (kept / picture["file"]).exists()}
        assert set(re.findall(r"\]\(([\w-]+\.svg)\)", (results / name / "README.md").read_text())) == pictures


def test_lines_of_a_score_are_told_apart_by_who_is_byzantine(tables: ModuleType) -> None:
    import draw_runs

    assert draw_runs.clients_of({"config": {"byzantine": 2}}) == {0, 1}
    assert draw_runs.clients_of({"config": {"byzantine": "3,4"}}) == {3, 4}
    assert draw_runs.clients_of({"config": {"byzantine": "3,"}}) == {3}


def test_seeds_are_shown_by_mean_and_range(tables: ModuleType) -> None:
    from tables.pieces import best, over_seeds

    runs = [{"best_accuracy": value} for value in (0.8, 0.81, 0.85)]
    assert over_seeds(runs, best) == "82.0 (80.0 to 85.0, 3 seeds)"
    assert over_seeds(runs[:1], best) == "80.0"
    assert over_seeds([], best) == "..."


def test_a_page_says_which_code_has_made_its_runs(tables: ModuleType, tmp_path: Path) -> None:
    from tables.pieces import made

    versions = {"commit": "a" * 12, "code": "c" * 12}
    runs = {
        "a": {"config": {}, "versions": versions},
        "b": {"config": {}, "versions": versions},
        "c": {"config": {}, "versions": versions, "replayed": {"versions": {"commit": "b" * 12, "code": "d" * 12}}},
        "d": {"config": {}, "versions": None},
    }
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    told = made(tmp_path)
    assert f"2 runs of commit {'a' * 12} (code {'c' * 12});" in told
    assert f"1 run of commit {'a' * 12} (code {'c' * 12}), whose first rounds came out the same at {'b' * 12}" in told
    assert "1 run of a commit that is not known" in told
