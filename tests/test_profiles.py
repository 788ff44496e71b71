"""Where hypothesis is told to be random or not: every run tries the same examples, on a build server as anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
import tests.conftest
from hypothesis import settings
print(settings().derandomize, settings().deadline, settings().max_examples, settings().database)
"""


@pytest.mark.parametrize("environment", [{"CI": "true"}, {}], ids=["server", "elsewhere"])
def test_a_build_server_tries_the_same_examples(environment: dict[str, str]) -> None:
    """Hypothesis has settings of its own for servers, which set CI: those of the project count."""
    paths = {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", SETTINGS]
    run = subprocess.run(command, env={**paths, **environment}, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "None", "100", "None"]
