"""The script that tries versions of Flower asks for those that the project says, and the project caps none."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_oldest_the_pinned_and_the_newest() -> None:
    requirement = runpy.run_path(str(ROOT / "scripts" / "flower_versions.py"))["requirement"]
    oldest = re.search(r'flower = \["flwr\[simulation\]>=([\d.]+)"\]', (ROOT / "pyproject.toml").read_text())
    assert oldest is not None, "the range of flwr has an end, or another form"
    assert requirement("oldest") == f"flwr~={oldest[1]}.0"
    assert f"\n{requirement('pinned')}\n" in (ROOT / "constraints.txt").read_text()
    assert requirement("newest") == f"flwr>={oldest[1]}"
    assert requirement("1.40.0") == "flwr==1.40.0"
