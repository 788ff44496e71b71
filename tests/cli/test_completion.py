"""Shells complete names of everything that is registered, and nothing heavy is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import fedward as fw
from fedward import published
from fedward.cli import completing
from fedward.cli.shared import LISTS
from fedward.registry.entries import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_names_read_from_the_source_are_those_of_the_catalogue(kind: str) -> None:
    there = {name for entry in fw.catalogue(kind, packaged=True) for name in (entry.name, *entry.aliases)}
    assert there
    assert completing.names(kind) == sorted(there)


def test_published_tables() -> None:
    assert set(completing.published()) == set(published.names())


ASKING = """
import os, sys
from io import StringIO
from fedward.cli.app import app
for words in sys.stdin.read().splitlines():
    shell, _, words = words.partition("|")
    os.environ |= {"_FEDWARD_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "_TYPER_COMPLETE_ARGS": words}
    os.environ["COMP_CWORD"] = str(words.count(" "))
    print("#", words)
    try:
        app(prog_name="fedward")
    except SystemExit:
        pass
print("# torch" if {"torch", "numpy", "pydantic"} & set(sys.modules) else "# light")
"""

OFFERED = {
    "fedward re": {"redteam", "report"},
    "fedward data s": {"show"},
    "fedward run --root": {"--root", "--root-apart"},
    "fedward run --rule multi-": {"multi-krum"},
    "fedward run --rule nn": {"nnm"},
    "fedward run --attack min-": {"min-max", "min-sum"},
    "fedward run --attack fan": {"fang", "fang-krum", "fang-trimmed-mean"},
    "fedward run --data fashion-mnist-": {"fashion-mnist-subset"},
    "fedward run --model sign": {"signguard-cnn"},
    "fedward run --partition dir": {"dirichlet"},
    "fedward run --algorithm local": {"local-sgd"},
    "fedward run --server fed-y": {"fed-yogi"},
    "fedward run --forge b": {"both"},
    "fedward choose --rule al": {"all"},
    "fedward sweep signguard-table": {"signguard-table1", "signguard-table2"},
    "fedward list m": {name for name in LISTS if name.startswith("m")},
}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_complete(shell: str) -> None:
    asked = "\n".join(f"{shell}|{words}" for words in OFFERED)
    environment = {**os.environ, "COLUMNS": "80"}
    told = subprocess.run(
        [sys.executable, "-c", ASKING], input=asked, capture_output=True, text=True, env=environment, check=True
    ).stdout
    *parts, light = told.split("# ")[1:]
    assert light.strip() == "light"
    for part, (words, offered) in zip(parts, OFFERED.items(), strict=True):
        head, _, lines = part.partition("\n")
        assert head == words
        if shell == "bash":
            assert set(lines.split()) == offered, words
        else:
            assert all(f'"{name}"' in lines for name in offered), words


def test_the_version_loads_nothing_heavy() -> None:
    source = (
        "import sys; from fedward.cli.app import app; app(['--version'], standalone_mode=False); print(*sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    assert told.startswith(fw.__version__)
    assert not {"torch", "numpy", "pydantic", "scipy"} & set(told.split())


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_can_be_shown(shell: str) -> None:
    source = "from fedward.cli.app import app; app(prog_name='fedward')"
    environment = {**os.environ, "_FEDWARD_COMPLETE": f"source_{shell}"}
    told = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, env=environment, check=True)
    assert "_fedward_completion" in told.stdout
