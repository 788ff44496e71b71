"""Many runs at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fedward.experiments.pool import Failed
from fedward.experiments.run import Summary, execute, run_grid
from fedward.experiments.spec import RunSpec, make_spec
from fedward.experiments.store import RunFolder


def spec(rule: str, **changes: object) -> RunSpec:
    quick = {"data": "fashion-mnist-subset", "model": "linear", "clients": 12, "byzantine": 2, "batch_size": 8}
    return make_spec({**quick, "rounds": 500, "evaluate_every": 100, "rule": rule, **changes})


def test_an_interrupted_grid_saves_every_run_and_starts_no_more(tmp_path: Path) -> None:
    jobs = {tmp_path / rule: spec(rule) for rule in ("mean", "sign-guard-sim", "median")}

    def interrupt(rounds: Mapping[Path, int]) -> None:
        if rounds.get(tmp_path / "sign-guard-sim", 0) > 5:  # whoever still loads is not waited for
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_grid(jobs, workers=2, on_progress=interrupt)
    assert not (tmp_path / "median").exists()
    done = len(RunFolder(tmp_path / "sign-guard-sim").records.read_text().splitlines())
    assert 0 < done < 500
    first: list[int] = []
    execute(spec("sign-guard-sim"), tmp_path / "sign-guard-sim", on_record=lambda record: first.append(record.round))
    assert first[0] == done + 1
    assert first[-1] == 500


def test_a_failing_run_costs_no_other_its_outcome(tmp_path: Path) -> None:
    execute(spec("mean", rounds=2), tmp_path / "mean")
    jobs = {tmp_path / "mean": spec("mean", lr=0.5), tmp_path / "median": spec("median", rounds=2)}
    failed, done = run_grid(jobs, workers=1).values()
    assert isinstance(failed, Failed)
    assert "server was" in failed.why
    assert isinstance(done, Summary)
    assert done.rounds == 2
