"""Claims compare runs of one length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def as_long() -> Iterator[Callable[..., list[dict[str, Any]]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "scripts")
        from tables.claims_siren import as_long

        yield as_long


def run(**accuracies: float) -> dict[str, Any]:
    curve = {number.removeprefix("r"): value for number, value in accuracies.items()}
    return {"accuracy_by_round": curve, "best_accuracy": max(curve.values()), "final_accuracy": [*curve.values()][-1]}


def test_a_reference_is_compared_as_it_was_after_as_many_rounds(
    as_long: Callable[..., list[dict[str, Any]]],
) -> None:
    reference = run(r2=0.5, r10=0.7, r40=0.8)
    assert as_long([reference], [run(r2=0.4, r10=0.6)]) == [run(r2=0.5, r10=0.7)]
    assert as_long([reference], [run(r40=0.75)]) == [reference]
    assert as_long([reference], [run(r40=0.75), run(r10=0.6)]) == [run(r2=0.5, r10=0.7)]
    assert as_long([reference], []) == [reference]
