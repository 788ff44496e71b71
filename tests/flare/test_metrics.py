"""What clients of NVFlare say of themselves ends no job, whatever number it is."""

from __future__ import annotations

from typing import Any

import pytest

from .test_aggregator import made, model, moved, needed


@needed
@pytest.mark.parametrize("odd", [10**400, float("nan"), float("inf"), "much", None, [1.0], {"a": 1.0}])
def test_a_metric_that_is_no_number_counts_for_nothing(odd: Any) -> None:
    aggregator = made("median")
    for k in range(5):
        said = {"loss": odd if k == 2 else float(k)}
        aggregator.accept_model(model(f"client-{k}", moved(0.1 * k), metrics=said))
    assert aggregator.aggregate_model().metrics == {"loss": 2.0}
