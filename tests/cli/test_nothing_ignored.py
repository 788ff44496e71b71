"""An option that has nothing to do is refused, and programs are told of failures, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli import choosing
from fedward.cli.app import app
from fedward.experiments.pool import Failed
from tests.cli.test_choose import SHORT
from tests.report.test_audit_page import rounds, write


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_host_without_a_page_to_serve_there(tmp_path: Path, host: str) -> None:
    write(tmp_path / "audit.jsonl", *rounds(1))
    found = CliRunner().invoke(app, ["watch", str(tmp_path), "--once", "--host", host])
    assert found.exit_code == 2
    assert "--host says where --serve serves a page" in " ".join(found.stderr.split())


def test_a_choice_of_which_everything_failed_is_json_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def failing(jobs: Mapping[Path, Any], *_: Any) -> dict[Path, Failed]:
        return {file: Failed(why="the disk is full") for file in jobs}

    monkeypatch.setattr(choosing, "_examine", failing)
    found = CliRunner().invoke(app, ["choose", "--rule", "mean", *SHORT, "--json"])
    assert found.exit_code == 1
    told = json.loads(found.stdout)
    assert told["ranking"] == []
    assert list(told["failed"].values()) == ["the disk is full"]
    assert told["report"] is None
