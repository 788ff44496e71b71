"""Where hypothesis is told to be random or not: every run tries the same examples, on a build server as anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
import tests.conftest
from hypothesis import settings
print(settings().derandomize, settings().deadline, settings().max_examples, settings().database)
"""


@pytest.mark.parametrize("ci", ["true", ""])
def test_a_build_server_tries_the_same_examples(ci: str) -> None:
    """Hypothesis has settings of its own for servers, which set CI: those of the project count."""
    environment = {**os.environ, "CI": ci, "GITHUB_ACTIONS": ci, "PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", SETTINGS], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "None", "100", "None"]
