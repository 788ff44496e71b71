"""The example runs as its page says, started by torchrun with two processes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import fedward.distributed
from tests.processes import PATIENCE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "distributed.md").read_text(encoding="utf-8")


def example(processes: int, *options: str) -> tuple[int, float]:
    """What the example prints: how many lied, and how good the model is in per cent."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    script = [str(ROOT / "examples" / "robust_ddp.py"), *options]
    done = subprocess.run([*command, *script], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    told = re.fullmatch(rf"{processes} processes, (\d) of them liars: accuracy (\d+\.\d) %\n", done.stdout)
    assert told is not None, done.stdout
    return int(told[1]), float(told[2])


def test_the_example_runs() -> None:
    liars, _ = example(2, "--steps", "3")
    assert liars == 0


def test_the_example_survives_a_liar_and_the_mean_does_not() -> None:
    liars, robust = example(4, "--steps", "20")
    assert liars == 1
    assert robust > 50
    assert example(4, "--steps", "20", "--plain")[1] < 30


def test_the_page_uses_what_there_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "fedward.distributed":
                assert {alias.name for alias in node.names} <= set(fedward.distributed.__all__)
    for name in re.findall(r"Sharded\.(\w+)", PAGE):
        assert hasattr(fedward.distributed.Sharded, name)
    for path in re.findall(r"(?:examples|benchmarks)/\w+\.py", PAGE):
        assert (ROOT / path).exists()
