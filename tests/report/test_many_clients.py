"""Maps of more clients than they have room for: who matters is on them, and they say that they are not all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from fedward.audit import ClientAudit, Evidence
from fedward.report import write_audit

N = 500
"""Of whom maps show 400."""


def audit(
    n: int = N, *, dropped: tuple[int, ...] = (), suspected: tuple[int, ...] = (), long: tuple[int, ...] = ()
) -> Any:
    ids = tuple(f"c{i}" for i in range(n))
    norms = torch.ones(n)
    norms[list(long)] = 50.0
    position = torch.arange(n, dtype=torch.float64)
    evidence = Evidence(
        ids=ids,
        norms=norms,
        layers=("w",),
        layer_norms=norms[:, None],
        to_median=torch.ones(n),
        to_aggregate=None,
        signs=torch.ones(n, 3) / 3,
        cosines=1 - (position[:, None] - position).abs() / n,
        neighbours=((),) * n,
        order=tuple(reversed(range(n))),
        clusters=(0,) * n,
    )
    return ClientAudit(
        names=ids,
        base="",
        accepted=tuple(i not in dropped for i in range(n)),
        reasons=tuple("far" if i in dropped else "accepted" for i in range(n)),
        details={},
        votes=tuple(2 * (i in dropped) + (i in suspected) for i in range(n)),
        needed=2,
        opinions=(),
        evidence=evidence,
    )


def maps(page: str) -> dict[str, tuple[dict[str, Any], str]]:
    found = {}
    for name in ("alike", "layers"):
        drawn = json.loads(re.search(rf'id="{name}-data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
        caption = re.search(rf'id="{name}-data">.*?<figcaption>(.*?)</figcaption>', page, re.DOTALL)[1]  # type: ignore[index]
        found[name] = drawn["data"][0], caption
    return found


@pytest.mark.parametrize("which", ["dropped", "suspected", "long"])
@pytest.mark.parametrize("row", [3, 450])
def test_who_matters_is_on_the_maps(which: str, row: int, tmp_path: Path) -> None:
    page = write_audit(audit(**{which: (row,)}), tmp_path / "page.html").read_text(encoding="utf-8")
    for name, (trace, caption) in maps(page).items():
        assert len(trace["z"]) == len(trace["text"]) == 400
        rows = [line[0].split(",")[0].split(" and ")[0] for line in trace["text"]]
        assert f"c{row}" in rows, name
        assert "400 of 500 clients: who was not accepted" in caption


def test_cells_are_those_of_the_clients_that_they_name(tmp_path: Path) -> None:
    page = write_audit(audit(dropped=(3, 450), long=(499,)), tmp_path / "page.html").read_text(encoding="utf-8")
    drawn = maps(page)
    trace, _ = drawn["alike"]
    for line, words in zip(trace["z"], trace["text"], strict=True):
        for value, told in zip(line, words, strict=True):
            a, b = (int(found) for found in re.findall(r"c(\d+)", told)[:2])
            assert value == pytest.approx(1 - abs(a - b) / N, abs=1e-4)
    firsts = [int(re.findall(r"c(\d+)", words[0])[0]) for words in trace["text"]]
    assert firsts == sorted(firsts, reverse=True)
    trace, _ = drawn["layers"]
    assert [told for [told] in trace["text"] if "norm 50" in told] == ["c499, w: norm 50, 50 times the usual"]


def test_all_of_few_are_shown_without_a_word(tmp_path: Path) -> None:
    page = write_audit(audit(12, dropped=(3,)), tmp_path / "page.html").read_text(encoding="utf-8")
    for trace, caption in maps(page).values():
        assert len(trace["z"]) == 12
        assert "of 12 clients" not in caption
