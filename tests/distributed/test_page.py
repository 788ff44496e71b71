"""The example runs as its page says, started by torchrun with two processes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import fedward.distributed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "distributed.md").read_text(encoding="utf-8")


def test_the_example_runs() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(ROOT / "examples" / "robust_ddp.py"), "--steps", "3"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"2 processes, 0 of them liars: accuracy \d+\.\d %\n", done.stdout)


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
