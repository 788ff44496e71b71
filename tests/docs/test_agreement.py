"""Measures of how alike two rows are, and rows that are caught in training."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def agreement() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import agreement

        yield agreement


def test_measures_are_their_definitions(agreement: ModuleType) -> None:
    generator = np.random.default_rng(0)
    a = generator.normal(size=40).round(1)  # with ties
    b = (a + generator.normal(size=40)).round(1)
    assert agreement.pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert agreement.cosine(a, b) == pytest.approx((a @ b) / np.sqrt((a @ a) * (b @ b)))
    assert agreement.cosine(a, 0 * b) == 0
    assert agreement.concordance(a, b) == pytest.approx(
        np.mean([np.sign(x) * np.sign(y) for x, y in zip(a, b, strict=True)])
    )
    same = ties_a = ties_b = 0
    for i, j in combinations(range(40), 2):
        same += np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])
        ties_a += a[i] == a[j]
        ties_b += b[i] == b[j]
    pairs = 40 * 39 / 2
    assert agreement.kendall(a, b) == pytest.approx(same / np.sqrt((pairs - ties_a) * (pairs - ties_b)))


def test_rows_are_those_that_were_sent(agreement: ModuleType) -> None:
    tiny = {"data": "fashion-mnist-subset", "model": "linear", "algorithm": "local-sgd:steps=1,lr=0.1"}
    lines = list(agreement.measured(("scaling:factor=10", "mimic:target=1"), (1, 2), **tiny))
    assert [(line["attack"], line["round"]) for line in lines] == [
        ("scaling:factor=10", 1),
        ("scaling:factor=10", 2),
        ("mimic:target=1", 1),
        ("mimic:target=1", 2),
    ]
    for line in lines:
        assert len(line["cosine"]["honest"]) == 3
        assert len(line["cosine"]["forged"]) == 6
    for line in lines[2:]:  # clients 0, 1, 2 with 3 and 4: both are copies of 1
        assert line["concordance"]["forged"][2:4] == line["cosine"]["forged"][2:4] == [1.0, 1.0]
        assert max(line["cosine"]["forged"][:2]) < 1


def test_the_same_figures_make_the_same_picture(agreement: ModuleType, tmp_path: Path) -> None:
    def drawn(name: str, forged: float) -> bytes:
        values = {name: {"honest": [0.5, 0.4], "forged": [forged, 0.1]} for name in agreement.MEASURES}
        agreement.draw([{"attack": "no-attack", "round": 1, **values}], tmp_path / name)
        return (tmp_path / name).read_bytes()

    assert drawn("a.svg", -0.5) == drawn("b.svg", -0.5) != drawn("c.svg", 0.3)
