"""Results are of one code, and say which; those that are older than the code are named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fedward.experiments.versions import code, versions
from tests.processes import started, until

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"

# Made before runs recorded the code that made them. A folder that is made again goes off this list.
UNKNOWN: frozenset[str] = frozenset()

# Specified, and not run yet. A folder that has figures goes off this list.
NOT_RUN: frozenset[str] = frozenset()

TINY = """
[all]
data = "fashion-mnist-subset"
model = "linear"
clients = 10
byzantine = 2
batch_size = 4
evaluate_every = 5
rounds = {rounds}

[[runs]]
rule = ["mean", "krum"]
attack = "sign-flip"
"""


@pytest.fixture(scope="module")
def ages() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import ages

        yield ages


def names() -> list[str]:
    return sorted(folder.name for folder in (ROOT / "results").iterdir() if folder.is_dir())


@pytest.mark.parametrize("name", names())
def test_a_folder_of_results_is_of_this_code(name: str, ages: ModuleType) -> None:
    verdict = ages.verdict(ages.read(name))
    assert verdict.kind != "wrong", verdict.text
    if verdict.kind == "unknown":
        assert name in UNKNOWN, verdict.text
        pytest.skip(verdict.text)
    if verdict.kind == "not run":
        assert name in NOT_RUN, verdict.text
        pytest.skip(verdict.text)
    assert name not in NOT_RUN, f"{name} has figures: take it off the list above"
    assert name not in UNKNOWN, f"{name} says what made it: take it off the list above"
    if verdict.kind == "older":
        pytest.skip(verdict.text)


def written(folder: Path, *made_by: dict[str, Any] | None) -> Path:
    """A folder of results whose runs were made by these versions."""
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "experiment.toml").write_text(TINY.format(rounds=4))
    runs = {f"run {k}": {"versions": v, "seconds": 1.0} for k, v in enumerate(made_by)}
    (folder / "tiny" / "runs.json").write_text(json.dumps(runs))
    return folder


def test_what_is_said_of_the_age_of_a_folder(ages: ModuleType, tmp_path: Path) -> None:
    now = versions()
    old = {**now, "code": "0123456789ab", "commit": "0" * 12}

    def said(name: str, *made_by: dict[str, Any] | None) -> tuple[str, str]:
        found = ages.verdict(ages.read("tiny", written(tmp_path / name, *made_by)))
        return found.kind, found.text

    assert said("now", {**now, "commit": "f" * 12}) == ("", "")
    kind, text = said("old", old, old)
    assert kind == "older"
    assert f"2 made at {'0' * 12} (code 0123456789ab, now {code()})" in text
    assert 'make results ONLY="tiny"' in text
    assert said("mixed", {**now, "commit": "f" * 12}, old)[0] == "wrong"
    assert said("without commit", {**now, "commit": None})[0] == "wrong"
    assert said("some unknown", {**now, "commit": "f" * 12}, {"fedward": "0.1.0"})[0] == "wrong"
    assert said("unknown", {"fedward": "0.1.0"}, None)[0] == "unknown"
    assert said("nothing")[0] == "wrong"
    (written(tmp_path / "specified") / "tiny" / "runs.json").unlink()
    found = ages.verdict(ages.read("tiny", tmp_path / "specified"))
    assert (found.kind, "not run yet" in found.text) == ("not run", True)


def test_a_run_that_other_code_has_gone_on_with_is_of_several_codes(ages: ModuleType, tmp_path: Path) -> None:
    now = {**versions(), "commit": "f" * 12}
    folder = written(tmp_path, now)
    file = folder / "tiny" / "runs.json"
    run = json.loads(file.read_text())
    run["run 0"]["earlier"] = [{"rounds": 3, "versions": {**now, "code": "0123456789ab"}}]
    file.write_text(json.dumps(run))
    assert ages.verdict(ages.read("tiny", folder)).kind == "wrong"


def test_examinations_stand_each_by_itself(ages: ModuleType, tmp_path: Path) -> None:
    """One of them may be made anew; one that other code has gone on with is of several codes all the same."""
    text = 'data = "fashion-mnist-subset"\n\n[redteam]\nrules = ["mean", "median"]\n'
    found = ROOT / "results" / "redteam" / "findings"

    def said(name: str, *codes: str) -> tuple[str, str]:
        folder = tmp_path / name / "examined"
        (folder / "findings").mkdir(parents=True)
        (folder / "experiment.toml").write_text(text)
        for rule, code_ in zip(("mean", "median"), codes, strict=True):
            head, *lines = (found / f"{rule}.jsonl").read_text(encoding="utf-8").splitlines()
            parts = [json.loads(head)]
            parts[0]["versions"] |= {"code": code_[:1] * 12, "commit": "f" * 12}
            if code_[1:]:
                parts.append(parts[0] | {"versions": parts[0]["versions"] | {"code": code_[1:] * 12}})
            (folder / "findings" / f"{rule}.jsonl").write_text("\n".join([*map(json.dumps, parts), *lines]) + "\n")
        verdict = ages.verdict(ages.read("examined", tmp_path / name))
        return verdict.kind, verdict.text

    assert said("one anew", "a", "b")[0] == "older"
    assert "1 made at" in said("told", "a", "b")[1]
    assert said("gone on with", "a", "ab")[0] == "wrong"


def test_results_survive_a_kill_and_are_made_once(tmp_path: Path) -> None:
    folder, work = tmp_path / "results", tmp_path / "work"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "experiment.toml").write_text(TINY.format(rounds=400))
    command = [sys.executable, str(SCRIPTS / "results.py"), "--results", str(folder), "--work", str(work)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    records = work / "tiny" / "mean-under-sign-flip" / "records.jsonl"
    with started([*command, "--jobs", "1"], env=environment, stdout=subprocess.DEVNULL) as first:
        until(lambda: first.poll() is not None or (records.exists() and records.read_bytes().count(b"\n") > 20))
        assert first.poll() is None, "it has ended before it was killed"
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert not (folder / "tiny" / "runs.json").exists()
    time.sleep(0.5)
    before = records.read_text().splitlines()
    time.sleep(0.5)
    assert records.read_text().splitlines() == before, "a worker outlives the process that it works for"
    said = subprocess.run([*command, "--jobs", "1"], env=environment, capture_output=True, text=True, check=True).stdout
    assert "2 of 2 to do" in said
    assert "tiny is written" in said
    assert records.read_text().splitlines()[:15] == before[:15]
    runs = json.loads((folder / "tiny" / "runs.json").read_text())
    assert [run["rounds"] for run in runs.values()] == [400, 400]
    assert {run["versions"]["code"] for run in runs.values()} == {code()}
    assert not any("earlier" in run for run in runs.values())
