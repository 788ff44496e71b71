"""What a GPU is to do, tried where there is none: the checks run, can fail, and the script says that it has no GPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu, gpu_checks
from fedward import sim

ROOT = Path(__file__).parents[2]


def test_checks_pass_where_both_devices_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = gpu_checks._runs()
    monkeypatch.setattr(gpu_checks, "MODELS", ("signguard-cnn:dropout=0", gpu_checks.MODELS[-1]))
    monkeypatch.setattr(gpu_checks, "_runs", lambda: {name: runs[name] for name in ("root data", "fed-adam")})
    found = list(gpu_checks.checks("cpu"))
    assert [finding for finding in found if not finding.passed] == []
    kinds = {finding.name.partition(" ")[0] for finding in found}
    assert kinds == {"rule", "mixer", "attack", "gradient", "passes", "bfloat16", "crop", "run", "resumed"}
    assert len(found) > 80


@pytest.mark.parametrize("name", gpu_checks._runs())
def test_every_run_of_the_checks_can_be_made(name: str) -> None:
    run = gpu_checks._simulation(gpu_checks._runs()[name], "cpu")
    assert next(run.run(1)).round == 1


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        gpu_checks._near(torch.ones(2), torch.tensor([1.0, 1.1]))

    monkeypatch.setattr(gpu_checks, "named", lambda device: iter([("wrong", wrong), ("right", lambda: None)]))
    first, second = gpu_checks.checks("cpu")
    assert not first.passed
    assert "differs by 0.1" in first.why
    assert second.passed


def test_timings_and_training_give_lines() -> None:
    later = time.monotonic() + 60
    lines = list(gpu.rules_at_reference("cpu", (20, 500), later))
    assert [line["what"] for line in lines] == ["read", "gram", *gpu.TIMED]
    assert all(line["seconds"] >= 0 for line in lines)
    assert list(gpu.rounds_of(("small-cnn",), "cpu", 2, time.monotonic())) == []
    (first, *_) = gpu.rounds_of(("small-cnn",), "cpu", 2, later)
    assert first["contender"] == "plain loop"
    assert first["seconds"] > 0


def test_without_a_gpu_it_says_so_and_measures_nothing(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here, which benchmarks/gpu.sh would use")
    told = subprocess.run(
        ["sh", str(ROOT / "benchmarks" / "gpu.sh"), str(tmp_path / "out")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == gpu.NO_GPU
    assert not (tmp_path / "out").exists()


def test_training_goes_on_until_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "build_model", lambda text, shape, classes: torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(12, classes)
    ))  # fmt: skip
    split = sim.Split(inputs=torch.randn(200, 3, 2, 2), labels=torch.arange(200) % 10)
    data = sim.Dataset(name="noise", train=split, test=split, classes=10)
    lines = []
    for line in gpu.training("cpu", data, time.monotonic() + 60, every=1):
        lines.append(line)
        if len(lines) == 3:
            break
    assert [line["run"] for line in lines] == list(gpu.TRAINED)
