"""The examples of the contributing guide run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import stack

ROOT = Path(__file__).parents[2]


def blocks(file: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_contributing() -> None:
    rule, distances, own_row, check, _, attack = blocks("CONTRIBUTING.md")
    scope: dict[str, Any] = {
        "__name__": __name__,
        "my_numpy_function": lambda G: G[np.argsort(np.linalg.norm(G, axis=1), kind="stable")[: len(G) - 2]].mean(0),
    }
    exec(distances, scope)
    rows = torch.tensor([[1.0], [2.0], [30.0]])
    torch.testing.assert_close(scope["Central"](f=1)(rows), torch.tensor([1.5]))
    exec(own_row, scope)
    torch.testing.assert_close(scope["NearMedian"](f=1)(rows), torch.tensor([1.5]))
    exec(rule, scope)
    scope["fw"] = fw
    exec(check, scope)
    exec(attack, scope)
    torch.testing.assert_close(fw.build("short-rows", f=1)(rows), torch.tensor([1.5]))
    as_function = fw.attack(lambda honest, own: 3 * honest.mean(0))
    torch.testing.assert_close(fw.build("overshoot")(rows, rows[:2]), as_function(rows, rows[:2]))


def table_of_statistics() -> list[tuple[str, str]]:
    return re.findall(
        r"^  \| `(.*?)`.*? \| `(.*?)` \|$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize(("asked", "named"), table_of_statistics())
def test_what_a_rule_names_is_what_its_question_reads(asked: str, named: str) -> None:
    scope: dict[str, Any] = {**vars(stack), "rows": torch.ones(1, 40)}
    updates = stack.Dense(torch.randn(5, 40, generator=torch.Generator().manual_seed(0)))
    eval(asked, scope | {"updates": updates})
    assert updates.columns_read > 0
    named_before = stack.Dense(torch.randn(5, 40, generator=torch.Generator().manual_seed(0)))
    named_before.compute(eval(named, scope))
    read = named_before.columns_read
    eval(asked, scope | {"updates": named_before})
    assert named_before.columns_read == read


def test_the_table_has_every_question_and_every_statistic() -> None:
    asked, named = map(" ".join, zip(*table_of_statistics(), strict=True))
    for question in ("norms", "gram", "sq_dists", "cosines", "sign_counts", "concordance", "compute"):
        assert f"{question}(" in asked
    own = {cls.__name__ for cls in stack.Statistic.__subclasses__() if cls.__name__ in stack.__all__}
    assert {name for name in own if f"{name}(" not in named} <= {"MagnitudeCounts"}
