"""Folders of results: several seeds, what is kept of other code's runs, and folders that are written in part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fedward.experiments.spec import SpecError
from fedward.experiments.versions import code
from fedward.sweeps import read_sweep

SCRIPTS = Path(__file__).parents[2] / "scripts"
RESULTS = SCRIPTS.parent / "results"

TINY = """
data = "fashion-mnist-subset"
model = "linear"
clients = 4
byzantine = 1
batch_size = 4
evaluate_every = 2
rounds = 5
cost = 36

[[runs]]
group = "flipped"
rule = ["mean", "median"]
attack = "sign-flip"
seed = [0, 1]

[[runs]]
rule = "mean"
attack = "no-attack"
cost = 72
"""
NAMES = [
    "flipped/mean under sign-flip",
    "flipped/median under sign-flip",
    "flipped/mean under sign-flip, seed 1",
    "flipped/median under sign-flip, seed 1",
    "mean under no-attack",
]


@pytest.fixture(scope="module")
def results() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import results

        yield results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of folders of results that holds one."""
    (tmp_path / "results" / "tiny").mkdir(parents=True)
    (tmp_path / "results" / "tiny" / "experiment.toml").write_text(TINY)
    return tmp_path / "results"


def test_seeds_make_a_grid_and_only_the_first_has_the_plain_name(results: ModuleType, folder: Path) -> None:
    experiment = results.read("tiny", folder)
    assert [job.name for job in experiment.jobs] == NAMES
    assert [job.spec.seed for job in experiment.jobs] == [0, 0, 1, 1, 0]
    assert [job.group for job in experiment.jobs] == ["flipped"] * 4 + [""]
    assert len({job.place(folder) for job in experiment.jobs}) == 5


def test_what_is_to_be_done_is_estimated_by_group(results: ModuleType, folder: Path, tmp_path: Path) -> None:
    experiment = results.read("tiny", folder)
    told = "tiny: about 0.3 hours of a core\n  flipped: 4 of 4 to do, 0.2 h\n  runs: 1 of 1 to do, 0.1 h"
    assert results.planned(experiment, tmp_path) == told
    results.carried_out(experiment.jobs[-1], tmp_path, code("redteam"))
    assert "runs: 0 of 1 to do, 0.0 h" in results.planned(experiment, tmp_path)


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*/experiment.toml")), ids=lambda file: file.parent.name)
def test_what_a_folder_of_runs_is_made_of_is_a_sweep(results: ModuleType, file: Path) -> None:
    """`fedward sweep` takes it as well, and its runs are called the same there."""
    jobs = results.read(file.parent.name).jobs
    if any(job.options is not None for job in jobs) or not jobs:
        with pytest.raises(SpecError, match=r"unknown key '(redteam|script)'"):
            read_sweep(file)
        return
    sweep = read_sweep(file)
    assert sweep.name == file.parent.name
    assert [(cell.name, cell.spec) for cell in sweep.cells] == [(job.name, job.spec) for job in jobs]


def test_a_file_of_before_has_what_its_runs_have_in_common_in_a_table(results: ModuleType, folder: Path) -> None:
    before = results.read("tiny", folder).jobs
    (folder / "tiny" / "experiment.toml").write_text(f"[all]{TINY}")
    assert results.read("tiny", folder).jobs == before


def test_an_unknown_key_is_told_with_file_and_run(results: ModuleType, folder: Path) -> None:
    (folder / "tiny" / "experiment.toml").write_text(TINY.replace('"no-attack"', '"no-atack"'))
    with pytest.raises(results.SpecError, match=r"experiment.toml: mean under no-atack: .*no-attack"):
        results.read("tiny", folder)
    for text, why in (("pictures = []\n", "unknown key 'pictures'"), ("[script]\n[x]\n", "x: a folder of a script")):
        (folder / "tiny" / "experiment.toml").write_text(text)
        with pytest.raises(results.SpecError, match=f"experiment.toml: {why}"):
            results.read("tiny", folder)


def test_a_folder_is_written_in_part_when_asked(results: ModuleType, folder: Path, tmp_path: Path) -> None:
    experiment = results.read("tiny", folder)
    results.write_parts([experiment], tmp_path)
    assert not (folder / "tiny" / "runs.json").exists()
    results.carried_out(experiment.jobs[2], tmp_path, code("redteam"))
    results.write_parts([experiment], tmp_path)
    assert list(json.loads((folder / "tiny" / "runs.json").read_text())) == [NAMES[2]]


def test_runs_of_other_code_are_kept_if_they_come_out_the_same(
    results: ModuleType, folder: Path, tmp_path: Path
) -> None:
    import ages

    experiment = results.read("tiny", folder)
    job = experiment.jobs[0]
    place = job.place(tmp_path)

    def made_by_other_code() -> None:
        results.carried_out(job, tmp_path, code("redteam"))
        head = json.loads((place / "run.json").read_text())
        head["versions"].update(code="0123456789ab", commit="0" * 12)
        del head["config"]["late"]  # which that code had not yet
        (place / "run.json").write_text(json.dumps(head))
        assert not results.finished(job, tmp_path)

    made_by_other_code()
    before = (place / "records.jsonl").read_bytes()
    assert "kept" in results.carried_out(job, tmp_path, code("redteam"), True).text
    assert results.finished(job, tmp_path)
    assert (place / "records.jsonl").read_bytes() == before

    results.write_parts([experiment], tmp_path)
    run = json.loads((folder / "tiny" / "runs.json").read_text())[job.name]
    assert run["versions"]["code"] == "0123456789ab"
    assert run["replayed"] == {"rounds": 5, "versions": {**run["versions"], **run["replayed"]["versions"]}}
    assert run["replayed"]["versions"]["code"] == code()
    assert [part.code for part in ages.parts(experiment)] == [code()]

    # What does not come out the same is made anew, and so is everything where nobody asks for more.
    lines = before.splitlines()
    second = json.loads(lines[1])
    second["train_loss"] += 1e-12
    (place / "records.jsonl").write_text(
        "\n".join([lines[0].decode(), json.dumps(second), *map(bytes.decode, lines[2:])]) + "\n"
    )
    results.kept.forget(place)
    assert "best" in results.carried_out(job, tmp_path, code("redteam"), True).text
    assert json.loads((place / "run.json").read_text())["versions"]["code"] == code()
    made_by_other_code()
    assert "best" in results.carried_out(job, tmp_path, code("redteam")).text


def test_what_records_have_not_had_yet_is_not_kept(results: ModuleType, folder: Path, tmp_path: Path) -> None:
    text = TINY.replace('rule = ["mean", "median"]', 'rule = "fedseca"').replace("seed = [0, 1]\n", "")
    (folder / "tiny" / "experiment.toml").write_text(text)
    job = results.read("tiny", folder).jobs[0]
    place = job.place(tmp_path)
    results.carried_out(job, tmp_path, code("redteam"))
    assert results.kept.played_again(job.spec, place)
    lines = [json.loads(line) for line in (place / "records.jsonl").read_text().splitlines()]
    assert "concordance" in lines[0]["scores"]
    (place / "records.jsonl").write_text("".join(json.dumps({**line, "scores": {}}) + "\n" for line in lines))
    assert not results.kept.played_again(job.spec, place)


def test_another_specification_is_not_kept(results: ModuleType, folder: Path, tmp_path: Path) -> None:
    job = results.read("tiny", folder).jobs[0]
    results.carried_out(job, tmp_path, code("redteam"))
    place = job.place(tmp_path)
    assert results.kept.whole(job.spec, place)
    assert not results.kept.whole(job.spec.model_copy(update={"batch_size": 5}), place)
    assert not results.kept.whole(job.spec.model_copy(update={"rounds": 6}), place)


def recorded_anew(results: ModuleType, folder: Path, work: Path, number: int = 2) -> tuple[Any, Path]:
    """A run that only ``runs.json`` has, and an empty place for runs, as in a fresh clone."""
    experiment = results.read("tiny", folder)
    results.carried_out(experiment.jobs[number], work / "first", code("redteam"))
    results.write_parts([experiment], work / "first")
    return results.read("tiny", folder), work / "second"


def test_a_run_that_a_folder_of_results_has_is_finished_in_every_clone(
    results: ModuleType, folder: Path, tmp_path: Path
) -> None:
    experiment, work = recorded_anew(results, folder, tmp_path)
    assert [job.name for job in experiment.jobs if results.finished(job, work)] == [NAMES[2]]
    written = json.loads((folder / "tiny" / "runs.json").read_text())
    results.carried_out(experiment.jobs[0], work, code("redteam"))
    results.write_parts([experiment], work)
    both = json.loads((folder / "tiny" / "runs.json").read_text())
    assert list(both) == [NAMES[0], NAMES[2]]
    assert both[NAMES[2]] == written[NAMES[2]]

    (folder / "tiny" / "experiment.toml").write_text(TINY.replace("batch_size = 4", "batch_size = 5"))
    assert not any(results.finished(job, work) for job in results.read("tiny", folder).jobs)


def of_other_code(folder: Path, **changes: Any) -> dict[str, Any]:
    """The run that is recorded, as if other code had made it."""
    file = folder / "tiny" / "runs.json"
    runs: dict[str, Any] = json.loads(file.read_text())
    (name,) = runs
    runs[name]["versions"] = {**(runs[name]["versions"] or {}), "code": "0123456789ab", "commit": "0" * 12}
    runs[name].pop("replayed", None)
    runs[name].update(changes)
    file.write_text(json.dumps(runs))
    return runs[name]


def test_a_recorded_run_of_other_code_counts_if_it_begins_the_same(
    results: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, work = recorded_anew(results, folder, tmp_path)
    before = of_other_code(folder)
    experiment = results.read("tiny", folder)
    job = experiment.jobs[2]
    assert not results.finished(job, work)
    results.write_parts([experiment], work)
    assert f"1 runs of other code are left out, such as {NAMES[2]}: first --keep" in capsys.readouterr().out
    assert json.loads((folder / "tiny" / "runs.json").read_text()) == {NAMES[2]: before}

    assert "kept" in results.carried_out(job, work, code("redteam"), True).text
    assert results.finished(job, work)
    results.write_parts([experiment], work)
    run = json.loads((folder / "tiny" / "runs.json").read_text())[NAMES[2]]
    assert run.pop("replayed")["versions"]["code"] == code()
    assert run == before
    assert results.finished(results.read("tiny", folder).jobs[2], tmp_path / "third")

    of_other_code(folder, accuracy_by_round={})
    assert not results.recorded.played_again(results.read("tiny", folder).jobs[2], tmp_path / "no test")
    of_other_code(folder, versions=None)  # as files of before that said what made them
    assert not results.finished(results.read("tiny", folder).jobs[2], tmp_path / "unknown")
    of_other_code(folder, versions=before["versions"])
    tests = {**before["accuracy_by_round"], "2": before["accuracy_by_round"]["2"] + 0.0001}
    of_other_code(folder, accuracy_by_round=tests)
    job = results.read("tiny", folder).jobs[2]
    work = tmp_path / "fourth"
    assert "best" in results.carried_out(job, work, code("redteam"), True).text
    assert results.in_a_folder(job, work)


def test_scores_and_decisions_of_a_recorded_run_are_held_against_its_rounds(
    results: ModuleType, folder: Path, tmp_path: Path
) -> None:
    text = TINY.replace('rule = ["mean", "median"]', 'rule = ["fedseca", "siren"]').replace("seed = [0, 1]\n", "")
    (folder / "tiny" / "experiment.toml").write_text(text)
    for number, key in ((0, "concordance"), (1, "accepted")):
        (folder / "tiny" / "runs.json").unlink(missing_ok=True)
        _, work = recorded_anew(results, folder, tmp_path / key, number)
        run = of_other_code(folder)
        wrong = {**run[key], "1": None} if isinstance(run[key], dict) else [None, *run[key][1:]]
        assert results.recorded.played_again(results.read("tiny", folder).jobs[number], work)
        of_other_code(folder, **{key: wrong})
        assert not results.recorded.played_again(results.read("tiny", folder).jobs[number], work)


@pytest.mark.parametrize(("earlier", "counts"), [("the same", True), ("0123456789ab", False), (None, False)])
def test_a_run_that_was_resumed_at_another_commit_of_the_same_code_counts(
    results: ModuleType, folder: Path, tmp_path: Path, earlier: str | None, counts: bool
) -> None:
    job = results.read("tiny", folder).jobs[2]
    results.carried_out(job, tmp_path, code("redteam"))
    head = json.loads((job.place(tmp_path) / "run.json").read_text())
    before = {**head["versions"], "commit": "0" * 12, "code": code() if earlier == "the same" else earlier}
    head["earlier"] = [{"rounds": 2, "versions": before if earlier else None}]
    (job.place(tmp_path) / "run.json").write_text(json.dumps(head))
    assert results.finished(job, tmp_path) == counts
    assert results.kept.whole(job.spec, job.place(tmp_path)) == counts

    (folder / "tiny" / "runs.json").write_text(
        json.dumps({job.name: results.collect_runs.collected(job.place(tmp_path))})
    )
    assert results.finished(results.read("tiny", folder).jobs[2], tmp_path / "another") == counts
