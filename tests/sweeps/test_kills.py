"""A sweep that is killed again and again is in the end the one that nobody has disturbed: the short form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loaded import module_of

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_sweep.py"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc, which Linux has")
def test_killed_and_finished_is_the_same(tmp_path: Path) -> None:
    result = module_of(SCRIPT).tried(tmp_path, kills=2, cells=2, workers=1, seed=3, rounds=24)
    assert result["same"]
    assert result["done"] == result["cells"] == 2
    assert result["left over"] == 0
